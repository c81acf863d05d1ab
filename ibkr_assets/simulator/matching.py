"""Whether and at what price an order trades against a daily bar. Pure: an order, a bar, an answer.

Only what a daily tape reveals is used. At the open there is one price. At the close an order that worked since the
open is tried against the day's range, because the price was there while it worked; one that came later is tried
against the close alone. How much of it trades, and what becomes of the rest, is the venue's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ibkr_assets.simulator.book import VenueOrder
from ibkr_assets.simulator.tape import TapeBar


@dataclass(frozen=True, slots=True)
class Match:
    """`price` is None where the order does not trade; `is_triggered` tells that a stop was reached."""

    price: Decimal | None
    is_triggered: bool = False


def match_at_price(order: VenueOrder, price: Decimal) -> Match:
    """Try an order against one price, the open or the close. It trades at that price or not at all."""
    is_triggered = order.is_triggered or not order.is_stop or _reached(order, price)
    if not is_triggered:
        return Match(None)
    limit = order.limit
    return Match(price if limit is None or _is_within(order, price, limit) else None, is_triggered)


def match_in_range(order: VenueOrder, bar: TapeBar) -> Match:
    """Try an order that worked since the open, and did not trade there, against the rest of the day.

    A limit order trades at its limit where the day touched it; a stop trades at its stop. A stop-limit trades at its
    stop where its limit allows that, and otherwise not on this day: in which order a day visits two prices is
    unknown. A market order whose volume was not there at the open takes the close.
    """
    limit, stop = order.limit, order.stop
    if order.is_stop and not order.is_triggered:
        assert stop is not None
        if not _is_touched_beyond(order, bar, stop):
            return Match(None)
        return Match(stop if limit is None or _is_within(order, stop, limit) else None, is_triggered=True)
    if limit is None:
        return Match(bar.close, is_triggered=True)
    touched = bar.low <= limit if order.is_buy else bar.high >= limit
    return Match(limit if touched else None, is_triggered=True)


def _is_within(order: VenueOrder, price: Decimal, limit: Decimal) -> bool:
    return price <= limit if order.is_buy else price >= limit


def _reached(order: VenueOrder, price: Decimal) -> bool:
    assert order.stop is not None
    return price >= order.stop if order.is_buy else price <= order.stop


def _is_touched_beyond(order: VenueOrder, bar: TapeBar, stop: Decimal) -> bool:
    return bar.high >= stop if order.is_buy else bar.low <= stop
