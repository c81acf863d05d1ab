"""What a split or a dividend means for the one account: the records that follow, at an ex-date's or pay date's open.

Which actions there are is the tape's; what a record does to cash and shares is `book`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from ibkr_assets.simulator.account import ZERO
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tape import ActionKind, CorporateAction, Tape

#: The tape has no pay dates: a dividend is paid at the open of the first session this much after its ex-date.
PAY_AFTER = timedelta(days=14)


def payments(book: Book, at: datetime, day: date) -> Iterator[Record]:
    """Dividends that become cash at the open of `day`, one record a contract."""
    due = [accrual for accrual in book.account.accruals if accrual.pays_on == day]
    for conid in sorted({accrual.conid for accrual in due}):
        amount = sum((accrual.amount for accrual in due if accrual.conid == conid), ZERO)
        detail = {"day": day.isoformat(), "amount": str(amount)}
        yield Record("payment", at, account=book.account.name, conid=conid, detail=detail)


def entitlement(book: Book, tape: Tape, at: datetime, action: CorporateAction) -> Record | None:
    """What the account gets for the shares it held at the previous close; None without any, or when done before.

    A split of a position is `ratio` new shares for an old one. A dividend is owed from the ex-date and paid at the
    first session at least 14 days later; a short position owes it.
    """
    day = action.ex_day.isoformat()
    held = book.account.quantity(action.conid)
    if not held or (action.kind.value, action.conid, day) in book.actions_done:
        return None
    detail: dict[str, Any] = {"day": day, "held": str(held)}
    if action.kind is ActionKind.SPLIT:
        detail["ratio"] = str(action.amount)
    else:
        pays = tape.first_session_from(action.ex_day + PAY_AFTER)
        detail |= {"amount": str(held * action.amount), "pays_on": pays.day.isoformat() if pays else None}
    return Record(action.kind.value, at, account=book.account.name, conid=action.conid, detail=detail)
