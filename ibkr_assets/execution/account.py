"""The platform's books beside the broker's account: cash, dividends, positions.

What goes here: explaining every difference, or naming it. What does not: the sums (`adapters.postgres`), splits
(`splits`), what it is all worth (`valuation`), and trading a difference away: the books never follow a difference that
nobody can explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.broker import AccountRead
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.ledger import Blocks, Break, CashEvent, Holding
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.seat import log
from ibkr_assets.execution.valuation import find_marks, value_account

if TYPE_CHECKING:
    from datetime import datetime

    from ibkr_assets.domain.broker import CashLedger
    from ibkr_assets.domain.ledger import Books
    from ibkr_assets.execution.seat import Seat

ZERO = Decimal(0)
#: The broker's figures come in cents.
CENT = Decimal("0.01")
#: Differences of more than so many instruments stop the whole account.
MOST_POSITION_BREAKS = 3
_READS = 3
#: The detail of events that were not seen one by one.
MIXED = "paid and newly owed between two looks"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What compares unequal. `events` explain the cash; None when they do not."""

    positions: tuple[Break, ...]
    events: tuple[CashEvent, ...] | None
    cash_difference: Decimal

    @property
    def is_equal(self) -> bool:
        """True when every difference is explained."""
        return not self.positions and self.events is not None


def read_account(seat: Seat, books: Books) -> AccountRead | None:
    """Cash, positions and prices that belong together, or None when the account keeps changing.

    Prices are asked for also of what only the books hold: they have to be valued too.
    """
    market_at = seat.clock.now()
    before = seat.broker.cash_ledger()
    for _ in range(_READS):
        positions = seat.broker.positions()
        held = {p.conid: _instrument(p.conid, p.symbol, p.currency) for p in positions if p.quantity}
        ours = {h.conid: _instrument(h.conid, h.symbol, "USD") for h in books.holdings.values()}
        wanted = ours | held
        quotes = seat.broker.quotes(list(wanted.values())) if wanted else {}
        after = seat.broker.cash_ledger()
        if _figures(before) == _figures(after):
            return AccountRead(market_at=market_at, cash=after, positions=positions, quotes=quotes)
        market_at, before = seat.clock.now(), seat.broker.cash_ledger()
    return None


def compare(books: Books, read: AccountRead) -> Comparison:
    """Hold the books against what was read."""
    difference = read.cash.cash - books.cash
    return Comparison(
        positions=tuple(_position_breaks(books, read)),
        events=explain_cash(difference, accrued_before=books.accrued, accrued_now=read.cash.accrued_dividends),
        cash_difference=difference,
    )


def explain_cash(difference: Decimal, *, accrued_before: Decimal, accrued_now: Decimal) -> tuple[CashEvent, ...] | None:
    """The dividends that explain a difference of cash in USD, or None when they do not.

    Dividends owed that rise without cash are an accrual; cash that changes by exactly what they fall is a payment. Both
    between two looks cannot be told apart with certainty: such events say so in their detail.
    """
    is_cash_equal = abs(difference) < CENT
    new = accrued_now - accrued_before + (ZERO if is_cash_equal else difference)
    if is_cash_equal:
        return () if new == 0 else (CashEvent("accrual", new),)
    if not _is_part(difference, accrued_before):
        return None
    if abs(new) < CENT:
        return (CashEvent("dividend", accrued_before - accrued_now),)
    return (CashEvent("dividend", difference, MIXED), CashEvent("accrual", new, MIXED))


def open_books(seat: Seat, books: Books, read: AccountRead) -> None:
    """Take over what the account holds before the platform's first execution, once."""
    opening = read.cash.cash - books.cash
    holdings = []
    marks = find_marks(read.positions, read.quotes)
    for position in read.positions:
        known = books.holdings.get(position.conid)
        quantity = position.quantity - (known.quantity if known else ZERO)
        if quantity != 0:
            holdings.append(Holding(position.conid, position.symbol, quantity, marks.get(position.conid)))
    now = read.market_at
    seat.ledger.account.save_opening(opening, holdings, market_at=now)
    if read.cash.accrued_dividends != 0:
        seat.ledger.account.save_cash_events([CashEvent("accrual", read.cash.accrued_dividends)], market_at=now)
    log.info("books opened with %s USD and %d positions", opening, len(holdings))


def settle_account(seat: Seat, books: Books, read: AccountRead, comparison: Comparison) -> dict[str, Any]:
    """Store what the comparison says: explaining events, differences, and what the account is worth.

    Returns both sides as text, for whoever asked.
    """
    reach("account.compared")
    if comparison.events:
        seat.ledger.account.save_cash_events(comparison.events, market_at=read.market_at)
        books = seat.ledger.account.books()
    _store_breaks(seat, comparison, read.market_at)
    snapshot = value_account(seat, books, read)
    reach("account.stored")
    return _both_sides(books, read, None if snapshot is None else snapshot.nav_platform)


def _both_sides(books: Books, read: AccountRead, nav: Decimal | None) -> dict[str, Any]:
    theirs = {position.conid: position for position in read.positions if position.quantity != 0}
    marks = find_marks(read.positions, read.quotes)
    positions = []
    for conid in sorted(theirs.keys() | books.holdings.keys()):
        ours = books.holdings.get(conid)
        symbol = ours.symbol if ours is not None else theirs[conid].symbol
        row = {"conid": conid, "symbol": symbol, "books": str(ZERO if ours is None else ours.quantity)}
        row["broker"] = str(theirs[conid].quantity if conid in theirs else ZERO)
        row["price"] = str(marks[conid]) if conid in marks else None
        positions.append(row)
    return {
        "positions": positions,
        "cash": {"books": str(books.cash), "broker": str(read.cash.cash)},
        "dividends_owed": {"books": str(books.accrued), "broker": str(read.cash.accrued_dividends)},
        "nav": {"platform": None if nav is None else str(nav), "broker": str(read.cash.net_liquidation)},
    }


def _instrument(conid: int, symbol: str, currency: str) -> Instrument:
    return Instrument(conid, symbol, exchange="SMART", currency=currency)


def _position_breaks(books: Books, read: AccountRead) -> list[Break]:
    theirs = {position.conid: position for position in read.positions if position.quantity != 0}
    marks = find_marks(read.positions, read.quotes)
    breaks = []
    for conid in sorted(theirs.keys() | books.holdings.keys()):
        held = theirs[conid].quantity if conid in theirs else ZERO
        ours = books.holdings[conid].quantity if conid in books.holdings else ZERO
        if held != ours:
            symbol = theirs[conid].symbol if conid in theirs else books.holdings[conid].symbol
            detail = {"symbol": symbol, "broker": str(held), "books": str(ours)}
            detail |= {"market_at": read.market_at.isoformat()}
            detail |= {"price": str(marks[conid])} if conid in marks else {}
            breaks.append(Break("position", str(conid), Blocks.CONID, detail, conid=conid))
    return breaks


def _store_breaks(seat: Seat, comparison: Comparison, market_at: datetime) -> None:
    for found in comparison.positions:
        if seat.ledger.differences.save_break(found, unless_equal=("broker", "books")):
            log.error("position of %s: broker %s, books %s", *(found.detail[k] for k in ("symbol", "broker", "books")))
    seat.ledger.differences.resolve(
        "position", keep=[found.subject for found in comparison.positions], resolved_by="positions agree again"
    )
    if len(comparison.positions) > MOST_POSITION_BREAKS:
        detail = {"instruments": str(len(comparison.positions))}
        seat.ledger.differences.save_break(Break("positions", "many", Blocks.ACCOUNT, detail))
    else:
        seat.ledger.differences.resolve("positions", keep=[], resolved_by="positions agree again")
    if comparison.events is None:
        detail = {"difference_usd": str(comparison.cash_difference)}
        found = Break("cash", "USD", Blocks.NOTHING, detail)
        if seat.ledger.differences.save_break(found, unless_equal=("difference_usd",)):
            log.error("cash at the broker is %s USD off the books, unexplained", comparison.cash_difference)
    else:
        seat.ledger.differences.resolve("cash", keep=[], resolved_by="cash agrees again")
    if any(event.detail == MIXED for event in comparison.events or ()):
        detail = {"difference_usd": str(comparison.cash_difference), "events": MIXED}
        seat.ledger.differences.save_break(Break("cash_mixed", str(market_at), Blocks.NOTHING, detail))


def _figures(ledger: CashLedger) -> tuple[Decimal, Decimal, Decimal]:
    return ledger.cash, ledger.accrued_dividends, ledger.net_liquidation


def _is_part(amount: Decimal, whole: Decimal) -> bool:
    """True when `amount` lies between nothing and `whole`, on its side of zero."""
    return abs(amount) <= abs(whole) + CENT and (amount > 0) == (whole > 0)
