"""`kill --flatten`: what the second person's word sets going, step by step.

What goes here: asking twice, waiting until nothing works any more, and proposing. What does not: which orders close
a position (`execution.flatten`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer

from ibkr_assets import bootstrap
from ibkr_assets.cli.output import say
from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.domain.order import OrderState, account_ref
from ibkr_assets.execution.login import current_login

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import Quote
    from ibkr_assets.ports import IntentBook
    from ibkr_assets.risk.limits import Limits
    from ibkr_assets.settings import Settings

ASKED = {"flatten": "asked"}
_CANCELLED_WITHIN_S = 60.0
_NEW_YORK = ZoneInfo("America/New_York")


def flatten(settings: Settings, control: Callable[..., None]) -> None:
    """Ask for it, or do it as the second person. Raises ConfigurationError while the setting is off.

    Raises Unavailable when working orders are not cancelled in time: ask again, nothing was closed. Ends the command
    with 1 when a closing order was not approved: that position stays.
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
    held = {conid: holding.quantity for conid, holding in holdings.items() if holding.quantity}
    instruments = [i for i in bootstrap.bar_store(settings).instruments() if i.conid in held]
    now = bootstrap.clock(settings).now()
    calendar, limits = bootstrap.calendar(settings), bootstrap.limits_in_force(settings)
    session = calendar.next_session(now.astimezone(_NEW_YORK).date() - timedelta(days=1))
    quotes = bootstrap.bar_source(settings).fetch_quotes(instruments) if instruments else {}
    book = bootstrap.intent_book(settings)
    orders = closing_orders(
        held,
        quotes,
        instruments,
        account_ref=ref,
        mode=settings.mode,
        now=now,
        session=session if now < session.closes_at else calendar.next_session(session.day),
        collars_usd=_collars_usd(book, quotes, now, limits),
    )
    is_all_approved = True
    for intent in orders:
        review = review_with(book, intent, limits=limits, platform_mode=settings.mode, now=now, calendar=calendar)
        record = book.propose(intent, review, now=now, dagster_run_id=None, created_by="kill --flatten", limits=limits)
        what = f"{intent.side} {intent.quantity} {intent.symbol} limit {intent.limit_price}"
        say(f"{what}: {record.state} {record.reason}")
        is_all_approved = is_all_approved and record.state is OrderState.APPROVED
    if not is_all_approved:
        raise typer.Exit(1)


def _collars_usd(book: IntentBook, quotes: Mapping[int, Quote], now: datetime, limits: Limits) -> dict[int, Decimal]:
    """How far the review lets each limit be from its quote; the fraction alone where no daily range is known."""
    from ibkr_assets.risk.price import collar_usd

    collars = {}
    for conid, quote in quotes.items():
        if quote.last is not None:
            atr = book.average_true_range(conid, now)
            by_fraction = limits.price_collar_fraction * quote.last
            collars[conid] = by_fraction if atr is None else collar_usd(quote.last, atr, limits)
    return collars
