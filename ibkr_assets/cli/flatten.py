"""`kill --flatten`: what the second person's word sets going, step by step.

What goes here: asking twice, waiting until nothing works any more, and proposing. What does not: which orders close
a position (`execution.flatten`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ibkr_assets import bootstrap
from ibkr_assets.cli.output import say
from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.domain.order import OrderState, account_ref
from ibkr_assets.execution.login import current_login

if TYPE_CHECKING:
    from ibkr_assets.settings import Settings

ASKED = {"flatten": "asked"}
_CANCELLED_WITHIN_S = 60.0
_NEW_YORK = ZoneInfo("America/New_York")


def flatten(settings: Settings, control: Callable[..., None]) -> None:
    """Ask for it, or do it as the second person. Raises ConfigurationError while the setting is off.

    Raises Unavailable when working orders are not cancelled in time: ask again, nothing was closed.
    """
    if not settings.may_flatten:
        raise ConfigurationError("may_flatten: is off; closing every position is allowed by that setting alone")
    ref = account_ref(bootstrap.account(settings))
    login = current_login()
    ledger = bootstrap.order_ledger(settings)
    permission = ledger.of_account(ref).permission
    if not permission.is_flatten_asked_by_another(actor=login.name, session=login.session):
        control("kill_cancel", f"account:{ref}", evidence=ASKED)
        say("positions are closed when a second person asks for the same within 15 minutes")
        return
    control("kill_flatten", f"account:{ref}")
    _await_cancels(settings, ref)
    _propose(settings, ref)


def _await_cancels(settings: Settings, ref: str) -> None:
    sends = bootstrap.order_ledger(settings).of_account(ref).sends
    at_broker = [s for s in OrderState if s.holds_risk and s is not OrderState.APPROVED]
    deadline = time.monotonic() + _CANCELLED_WITHIN_S
    while left := sends.records(at_broker):
        if time.monotonic() > deadline:
            raise Unavailable(f"{len(left)} orders still work after {_CANCELLED_WITHIN_S:.0f} s; nothing was closed")
        time.sleep(0.5)


def _propose(settings: Settings, ref: str) -> None:
    from ibkr_assets.execution.flatten import closing_orders
    from ibkr_assets.execution.propose import review_with

    holdings = bootstrap.order_ledger(settings).of_account(ref).account.books().holdings
    held = {conid: holding.quantity for conid, holding in holdings.items()}
    instruments = [i for i in bootstrap.bar_store(settings).instruments() if held.get(i.conid)]
    now = bootstrap.clock(settings).now()
    calendar, limits = bootstrap.calendar(settings), bootstrap.limits_in_force(settings)
    session = calendar.next_session(now.astimezone(_NEW_YORK).date() - timedelta(days=1))
    orders = closing_orders(
        held,
        bootstrap.bar_source(settings).fetch_quotes(instruments) if instruments else {},
        instruments,
        account_ref=ref,
        mode=settings.mode,
        now=now,
        session=session if now < session.closes_at else calendar.next_session(session.day),
        collar_fraction=limits.price_collar_fraction,
    )
    book = bootstrap.intent_book(settings)
    for intent in orders:
        review = review_with(book, intent, limits=limits, platform_mode=settings.mode, now=now, calendar=calendar)
        record = book.propose(intent, review, now=now, dagster_run_id=None, created_by="kill --flatten", limits=limits)
        what = f"{intent.side} {intent.quantity} {intent.symbol} limit {intent.limit_price}"
        say(f"{what}: {record.state} {record.reason}")
