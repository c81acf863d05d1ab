"""Whether and at what price an order trades against a bar of a day or a minute. Pure: an order, a bar, an answer.

Only what the tape reveals is used. At a bar's open there is one price, and a stop or a limit that it passed trades
there. When the bar is over, an order that worked since its open is tried against its range, because the price was
there while it worked; one that came later is tried against the close alone. How much of it trades, and what becomes
of the rest, is the work of `trading_day`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ibkr_assets.simulator.bars import TapeBar
from ibkr_assets.simulator.trailing import follow
from ibkr_assets.simulator.venue_order import VenueOrder


@dataclass(frozen=True, slots=True)
class Match:
    """`price` is None where the order does not trade; `is_triggered` tells that a stop was reached.

    `stop` is where a trailing order's stop is afterwards, None for other orders.
    """

    price: Decimal | None
    is_triggered: bool = False
    stop: Decimal | None = None


def match_at_price(order: VenueOrder, price: Decimal) -> Match:
    """Try an order against one price, an open or a close. It trades at that price or not at all."""
    if order.is_stop and not order.is_triggered and not _reached(order, price):
        return Match(None, stop=follow(order, price) if order.is_trailing else None)
    limit = order.limit
    return Match(
        price if limit is None or _is_within(order, price, limit) else None, is_triggered=True, stop=order.trail_stop
    )


def match_in_range(order: VenueOrder, bar: TapeBar) -> Match:
    """Try an order that worked since the open, and did not trade there, against the rest of the bar.

    A limit order trades at its limit where the bar touched it; a stop trades at its stop. A stop-limit trades at its
    stop where its limit allows that, and otherwise not in this bar: in which order a bar visits two prices is
    unknown. A market or midprice order whose volume was not there at the open takes the close.
    """
    if order.is_trailing and not order.is_triggered:
        return _match_trailing(order, bar)
    limit, stop = order.limit, order.stop
    if order.is_stop and not order.is_triggered:
        assert stop is not None
        if not _is_touched_beyond(order, bar, stop):
            return Match(None)
        return Match(stop if limit is None or _is_within(order, stop, limit) else None, is_triggered=True)
    if limit is None:
        return Match(bar.close, is_triggered=True, stop=order.trail_stop)
    if order.order_type == "MIDPRICE" and _is_within(order, bar.close, limit):
        return Match(bar.close, is_triggered=True)
    touched = bar.low <= limit if order.is_buy else bar.high >= limit
    return Match(limit if touched else None, is_triggered=True, stop=order.trail_stop)


def _match_trailing(order: VenueOrder, bar: TapeBar) -> Match:
    """A trailing stop against a bar's range.

    Where the bar reached the stop as it stood, it was reached there at the latest. Otherwise the stop follows the
    best price, and where the close is beyond that new stop, the market must have come back through it.
    """
    assert order.trail_stop is not None
    stop = order.trail_stop
    if not _is_touched_beyond(order, bar, stop):
        stop = follow(order, bar.low if order.is_buy else bar.high)
        if not (bar.close >= stop if order.is_buy else bar.close <= stop):
            return Match(None, stop=stop)
    offset = Decimal(0)
    if order.order_type == "TRAILLMT":
        assert order.price is not None
        assert order.aux_price is not None
        offset = order.price - order.aux_price
    return Match(stop if _is_within(order, stop, stop + offset) else None, is_triggered=True, stop=stop)


def _is_within(order: VenueOrder, price: Decimal, limit: Decimal) -> bool:
    return price <= limit if order.is_buy else price >= limit


def _reached(order: VenueOrder, price: Decimal) -> bool:
    stop = order.stop
    if stop is None:
        return False
    return price >= stop if order.is_buy else price <= stop


def _is_touched_beyond(order: VenueOrder, bar: TapeBar, stop: Decimal) -> bool:
    return bar.high >= stop if order.is_buy else bar.low <= stop
