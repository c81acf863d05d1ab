"""Where the stop of a trailing order is: it follows the market at its distance, in the order's favour alone.

Pure sums. When prices are looked at is `trading_day`'s work, and what a reached stop means is `matching`'s.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ibkr_assets.simulator.venue_order import VenueOrder

_CENT = Decimal("0.01")


def stop_behind(order: VenueOrder, price: Decimal) -> Decimal:
    """The stop in USD at the order's distance from `price`, rounded to the tick away from the market."""
    return stop_at_distance(price, order.trail, order.trail_unit, is_buy=order.is_buy)


def stop_at_distance(price: Decimal, trail: Decimal | None, unit: str | None, *, is_buy: bool) -> Decimal:
    """The stop in USD that is `trail` behind `price`: above it for a buy, below it for a sale."""
    assert trail is not None
    distance = trail if unit == "amt" else price * trail / 100
    if is_buy:
        return (price + distance).quantize(_CENT, ROUND_CEILING)
    return max((price - distance).quantize(_CENT, ROUND_FLOOR), _CENT)


def follow(order: VenueOrder, best: Decimal) -> Decimal:
    """The stop after the market was at `best`: never further from the market than before."""
    moved = stop_behind(order, best)
    if order.trail_stop is None:
        return moved
    return min(order.trail_stop, moved) if order.is_buy else max(order.trail_stop, moved)
