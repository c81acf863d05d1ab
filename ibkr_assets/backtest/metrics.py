"""The figures of a result, each with the convention it is computed by.

What goes here: the figures' names and conventions, and the way from a result to them. What does not: the arithmetic
(`backtest.figures`), and results of real accounts, which are exact (`portfolio.performance`). A figure that its
convention gives no value is None, never a made-up number. The names and formulas are those of the
field's common library of statistics, so that its users can compare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.luck import Shape
from ibkr_assets.backtest.result import Result
from ibkr_assets.features.frame import Floats

#: What each figure is. r are the returns of consecutive days: equity at the end of a UTC day over that of the day
#: before, minus one; there is one fewer than days. A year is 252 of them; the risk-free rate is 0.
CONVENTIONS: dict[str, str] = {
    "final_equity": "cash + position x close after the last bar, USD",
    "total_return": "final equity / starting cash - 1",
    "cagr": "(1 + product of r)^(252 / number of r) - 1",
    "volatility": "sample standard deviation of r (ddof 1) x sqrt(252)",
    "sharpe": "mean r / sample standard deviation of r (ddof 1) x sqrt(252), risk-free 0; Sharpe (1994)",
    "sortino": "mean r / sqrt(sum of squared negative r / number of all r) x sqrt(252), target 0; Sortino (1994)",
    "max_drawdown": "lowest of equity / highest equity so far - 1, at the ends of days, starting cash included",
    "calmar": "cagr / absolute maximum drawdown; Young (1991)",
    "value_at_risk_95": "5 % quantile of the normal distribution with mean and sample deviation (ddof 1) of r, one day",
    "positive_days": "positive r / r that are not zero",
    "hit_rate": "closed trades with pnl_net above zero / closed trades",
    "profit_factor": "sum of positive pnl_net / absolute sum of negative pnl_net, closed trades",
    "exposure": "bars with any position after their fills / all bars",
    "turnover": "value of all fills, both sides / mean equity / years, a year being 252 r",
    "trades": "closed trades",
    "commission": "commissions of all fills, positions still open included, USD",
    "not_opened": "openings that were wanted and not made: no cash, a size of zero, or refused by risk",
}

#: Figures that count.
COUNTS = {"trades", "not_opened"}


@dataclass(frozen=True, slots=True)
class Returns:
    """Equity at the end of each UTC day, the day of each, and the returns between them."""

    days: npt.NDArray[np.datetime64]
    equity: Floats
    values: Floats


def daily_returns(result: Result) -> Returns:
    """The last equity of each UTC day. Returns are empty where equity was ever zero or less."""
    days = result.times.astype("datetime64[D]")
    is_last = last_of_days(days)
    equity = result.equity[is_last]
    values = equity[1:] / equity[:-1] - 1 if (equity > 0).all() else np.empty(0)
    return Returns(days[is_last], equity, values)


def last_of_days(days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.bool_]:
    """Whether each moment, given as its day, is the last of it."""
    return np.append(days[1:] != days[:-1], [True])


def compute_metrics(result: Result) -> dict[str, float | None]:
    """Every figure of CONVENTIONS, in its order."""
    return judge(result)[0]


def judge(result: Result) -> tuple[dict[str, float | None], Shape | None]:
    """Every figure, and the shape of the daily returns."""
    from ibkr_assets.backtest import compiled

    figures, shape = compiled.judge(result)
    return metrics_of(figures[None, :])[0], shapes_of(shape[None, :])[0]


def metrics_of(figures: Floats) -> list[dict[str, float | None]]:
    """Figures by account: None for what cannot be computed, no trades, no returns, or a division by zero."""
    found: list[dict[str, float | None]] = []
    are_whole = np.asarray(np.isfinite(figures).all(axis=1))
    for values, is_whole in zip(figures.tolist(), are_whole.tolist(), strict=True):
        row = dict(zip(CONVENTIONS, values, strict=True))
        if not is_whole:
            row = {name: value if math.isfinite(value) else None for name, value in row.items()}
        for name in COUNTS:
            row[name] = int(row[name])
        found.append(row)
    return found


def shapes_of(shapes: Floats) -> list[Shape | None]:
    """The shapes of the returns by account; None where there are not enough."""
    are_known = np.asarray(np.isfinite(shapes).all(axis=1))
    rows = zip(shapes.tolist(), are_known.tolist(), strict=True)
    return [Shape(row[0], row[1], row[2], int(row[3])) if is_known else None for row, is_known in rows]


def drawdowns(starting_cash: float, returns: Returns) -> Floats:
    """How far each day's equity is below the highest so far, as a fraction: zero or negative."""
    highest = np.maximum.accumulate(np.maximum(returns.equity, starting_cash))
    return returns.equity / highest - 1
