"""The arithmetic of the figures of one account, written so that it can be compiled to machine code.

What goes here: formulas on an equity line and on closed trades, in floats; NaN or infinity stands where one has no
value. What does not: their names, conventions and words (`backtest.metrics`), and compiling them (`backtest.compiled`).
Sums are added in eight parts, so that they do not wait for each other: the same on every machine.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

PERIODS_A_YEAR = 252
#: Of the standard normal distribution: 5 % of it is below.
_LOW_5 = NormalDist().inv_cdf(0.05)


class Activity(NamedTuple):
    """What the figures follow from beside the equity by day.

    `exposure` is the part of all bars with any position; money in USD.
    """

    starting_cash: float
    final_equity: float
    mean_equity: float
    exposure: float
    traded_usd: float
    commission: float
    missed: float


def figures_of(equity: Any, returns: Any, pnl: Any, activity: Activity, figures: Any, shape: Any) -> None:
    """Write every figure, in the order of `backtest.metrics.CONVENTIONS`, and the shape of the daily returns.

    `equity` is at the ends of days, `returns` is room for one fewer, `pnl` is of closed trades. The shape is the mean
    over the sample deviation, skewness, kurtosis (3 is normal) and the number of returns. An account that ever had
    nothing or less has no returns.
    """
    count = returns.size
    has_lost_all = returns_of(equity, returns)
    mean = math.nan if count < 2 or has_lost_all else total(returns) / count
    sum2, sum3, sum4, losses, up, down = moments_of(returns, mean)
    deviation = math.sqrt(sum2 / (count - 1)) if count > 1 else math.nan
    variance = sum2 / max(count, 1)
    ratio = quotient(mean, deviation)
    shape[0], shape[1] = ratio, quotient(quotient(sum3, count), variance**1.5)
    shape[2] = quotient(quotient(sum4, count), variance * variance)
    shape[3] = count
    downside = math.nan if has_lost_all else math.sqrt(quotient(losses, count))
    cagr = math.nan
    if count and not has_lost_all:
        cagr = (equity[-1] / equity[0]) ** (PERIODS_A_YEAR / count) - 1
    drawdown, year = lowest_drawdown(equity, activity.starting_cash), math.sqrt(PERIODS_A_YEAR)
    won, gains, pains = 0, 0.0, 0.0
    for place in range(pnl.size):
        won += pnl[place] > 0
        gains += max(pnl[place], 0.0)
        pains += max(-pnl[place], 0.0)
    figures[0] = activity.final_equity
    figures[1] = activity.final_equity / activity.starting_cash - 1
    figures[2] = cagr
    figures[3] = deviation * year
    figures[4] = ratio * year
    figures[5] = quotient(mean, downside) * year
    figures[6] = drawdown
    figures[7] = quotient(cagr, abs(drawdown))
    figures[8] = mean + deviation * _LOW_5
    figures[9] = quotient(up, up + down)
    figures[10] = quotient(won, pnl.size)
    figures[11] = quotient(gains, pains)
    figures[12] = activity.exposure
    figures[13] = quotient(quotient(activity.traded_usd, activity.mean_equity) * PERIODS_A_YEAR, count)
    figures[14] = pnl.size
    figures[15] = activity.commission
    figures[16] = activity.missed


def quotient(above: float, below: float) -> float:
    """As processors divide: infinite or NaN by zero."""
    if below != 0:
        return above / below
    return above * math.inf if above else math.nan


def total(values: Any) -> float:
    """The sum."""
    whole = values.size // 8 * 8
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for at in range(0, whole, 8):
        a += values[at]
        b += values[at + 1]
        c += values[at + 2]
        d += values[at + 3]
        e += values[at + 4]
        f += values[at + 5]
        g += values[at + 6]
        h += values[at + 7]
    for at in range(whole, values.size):
        a += values[at]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


def returns_of(equity: Any, returns: Any) -> bool:
    """Write equity over that of the day before, minus one. Returns whether there was ever nothing or less left."""
    has_lost_all = False
    for day in range(equity.size):
        has_lost_all |= equity[day] <= 0
    before, after = equity[: returns.size], equity[1:]
    for day in range(returns.size):
        returns[day] = after[day] / before[day] - 1.0
    if has_lost_all:
        returns[:] = math.nan
    return has_lost_all


def moments_of(returns: Any, mean: float) -> tuple[float, float, float, float, int, int]:
    """Sums of the second, third and fourth powers from the mean, of squared losses, and how many rose and fell."""
    sum2, sum3, sum4, losses, up, down = 0.0, 0.0, 0.0, 0.0, 0, 0
    for day in range(returns.size):
        value = returns[day]
        centred = value - mean
        square = centred * centred
        sum2 += square
        sum3 += square * centred
        sum4 += square * square
        loss = min(value, 0.0)
        losses += loss * loss
        up += value > 0
        down += value < 0
    return sum2, sum3, sum4, losses, up, down


def lowest_drawdown(equity: Any, starting_cash: float) -> float:
    """The lowest of equity over the highest so far, starting cash included, minus one."""
    highest, lowest, limit = starting_cash, 1.0, starting_cash
    for day in range(equity.size):
        value = equity[day]
        if value > highest:
            highest = value
            limit = lowest * highest + abs(lowest * highest) * 1e-9
        elif value < limit:  # dividing takes longer than all else here: only where it might matter
            lowest = min(lowest, value / highest)
            limit = lowest * highest + abs(lowest * highest) * 1e-9
    return lowest - 1
