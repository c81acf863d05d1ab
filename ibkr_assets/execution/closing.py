"""Closing one position by hand: an order for each strategy that holds a part of it, through the gate of every order.

What goes here: from shares by strategy and a price to proposed intents. What does not: closing everything, which takes
two persons (`flatten`), and sending. Each strategy's own book is closed by its own order, so that none goes on as if it
still held what was sold; it may open the position again at its next signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.errors import InputError
from ibkr_assets.execution.flatten import closing_orders
from ibkr_assets.execution.propose import review_with
from ibkr_assets.risk.price import collar_usd

if TYPE_CHECKING:
    from datetime import datetime

    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.order import Mode
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import IntentBook, IntentRecord
    from ibkr_assets.risk.facts import Limits

_NEW_YORK = ZoneInfo("America/New_York")


def close_position(
    shares: Mapping[str, Decimal],
    price_usd: Decimal | None,
    instrument: Instrument,
    *,
    book: IntentBook,
    calendar: ExchangeCalendar,
    now: datetime,
    limits: Limits,
    account_ref: str,
    mode: Mode,
    platform_mode: Mode,
    created_by: str,
) -> list[IntentRecord]:
    """Propose what closes `shares` (signed, by strategy) of one instrument, and return every order's record.

    `price_usd` is the newest known price; the submitter holds each order against a fresh quote before it leaves.
    `mode` is the orders' (`dry_run` for a rehearsal), `now` the market clock. Raises InputError where nothing is held,
    no price is known, or strategies hold against each other: then no order of one alone closes the position.
    """
    held = {owner: quantity for owner, quantity in shares.items() if quantity}
    if not held:
        raise InputError(f"position: none is held in {instrument.symbol}")
    if len({quantity > 0 for quantity in held.values()}) > 1:
        parts = ", ".join(f"{owner} {quantity}" for owner, quantity in sorted(held.items()))
        raise InputError(f"position: strategies hold {instrument.symbol} against each other ({parts})")
    by_fraction = limits.price_collar_fraction * (price_usd or 0)
    atr = book.average_true_range(instrument.conid, now)
    collar = by_fraction if atr is None or price_usd is None else collar_usd(price_usd, atr, limits)
    quote = Quote(instrument.conid, price_usd, None, None, is_halted=False, availability="stored", updated_at=now)
    records = []
    for owner, quantity in sorted(held.items()):
        (order,) = closing_orders(
            {instrument.conid: quantity}, {instrument.conid: quote}, [instrument], account_ref=account_ref, mode=mode,
            now=now, session=_session(calendar, now), collars_usd={instrument.conid: collar},
        )  # fmt: skip
        intent = replace(order, strategy_id=owner)
        review = review_with(book, intent, limits=limits, platform_mode=platform_mode, now=now, calendar=calendar)
        records.append(book.propose(intent, review, now=now, dagster_run_id=None, created_by=created_by, limits=limits))
    return records


def _session(calendar: ExchangeCalendar, now: datetime) -> TradingSession:
    """The session that is on, or the next one."""
    session = calendar.next_session(now.astimezone(_NEW_YORK).date() - timedelta(days=1))
    return session if now < session.closes_at else calendar.next_session(session.day)
