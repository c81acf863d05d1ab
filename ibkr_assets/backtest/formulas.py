"""The formulas of an order in plain numbers: its size, the price it fills at, its commission, and what a bar touches.

What goes here: arithmetic that the loop over events (`backtest.engine`) and its compiled twin (`backtest.kernel`) both
call, so that there is one of each. What does not: how the choices are written and described (`backtest.sizes`,
`backtest.slippage`, `backtest.commissions`). Only numbers go in and out, because all of it is compiled too.
"""

from __future__ import annotations

import math
from typing import Any

#: Cash that ends a hair below a whole share, or a level a hair from the price it stands for, by rounding alone.
ROUNDING = 1e-9
FIXED, PERCENT = 0, 1
BASIS_POINTS, IBKR_FIXED, IBKR_TIERED = 0, 1, 2
WORSE, HALF_SPREAD, VOLUME_SHARE = 0, 1, 2
#: IBKR Pro, United States; `backtest.commissions` says where and when they were read.
VALUE_MAXIMUM = 0.01
FIXED_PER_SHARE_USD, FIXED_MINIMUM_USD = 0.005, 1.0
TIERED_MINIMUM_USD = 0.35
#: USD a share for the shares of a calendar month up to each number; a rate is for the shares within its own tier.
TIERS: tuple[tuple[float, float], ...] = (
    (300_000.0, 0.0035), (3_000_000.0, 0.002), (20_000_000.0, 0.0015), (100_000_000.0, 0.001), (math.inf, 0.0005),
)  # fmt: skip


def shares_of(size_by: int, size: float, cash: float, price: float) -> float:
    """Whole shares of an opening: fixed, or so many percent of cash at the price it fills at, rounded down."""
    if size_by == FIXED:
        return size
    return max(0.0, float(math.floor(cash * size / 100 / price + ROUNDING)))


def fill_price(slip_by: int, slip: float, price: float, side: float, shares: float, volume: float) -> float:
    """The price of a buy (`side` +1) or sale (-1) of `shares` in a bar of `volume` shares."""
    if slip_by == WORSE:
        return price * (1 + side * slip / 10_000) if slip else price
    if slip_by == HALF_SPREAD:
        return max(price + side * slip / 2, price / 100)
    share = min(1.0, shares / volume) if volume > 0 else 1.0
    return price * (1 + side * slip * share * share)


def fee_of(fee_by: int, rate: float, shares: float, price: float, before: float) -> float:
    """The commission of an order; `before` are the shares of the calendar month so far."""
    if fee_by == BASIS_POINTS:
        return shares * price * (rate / 10_000)
    if fee_by == IBKR_FIXED:
        return min(max(shares * FIXED_PER_SHARE_USD, FIXED_MINIMUM_USD), shares * price * VALUE_MAXIMUM)
    charged, floor, last = 0.0, 0.0, before + shares
    for ceiling, of_tier in TIERS:
        charged += max(0.0, min(last, ceiling) - max(before, floor)) * of_tier
        floor = ceiling
    return min(max(charged, TIERED_MINIMUM_USD), shares * price * VALUE_MAXIMUM)


def is_unpaid(value: float, free: float) -> bool:
    """Whether an opening is worth more than the free cash."""
    return value > free + ROUNDING * abs(free)


def levels_of(close: float, want: float, stop: float, target: float) -> tuple[float, float]:
    """Stop and target of a position, from the close that was decided on."""
    return close * (1 - want * stop), close * (1 + want * target)


def is_at_or_below(price: Any, level: float) -> Any:
    """Whether a price, or each of many, touches a level from above, which rounding may have moved away from it."""
    return price <= level + ROUNDING * level


def is_at_or_above(price: Any, level: float) -> Any:
    """Whether a price, or each of many, touches a level from below."""
    return price >= level - ROUNDING * level
