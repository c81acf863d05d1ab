"""The figures of a result, each with the convention it is computed by.

What goes here: arithmetic on the equity line and on closed trades, in floats. What does not: results of real accounts,
which are exact (`portfolio.performance`). A figure that its convention gives no value is None, never a made-up number.
The names and formulas are those of the field's common library of statistics, so that its users can compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.result import Result
from ibkr_assets.features.frame import Floats

PERIODS_A_YEAR = 252
_CONFIDENCE = 0.95

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


@dataclass(frozen=True, slots=True)
class Returns:
    """Equity at the end of each UTC day, the day of each, and the returns between them."""

    days: npt.NDArray[np.datetime64]
    equity: Floats
    values: Floats


def daily_returns(result: Result) -> Returns:
    """The last equity of each UTC day. Returns are empty where equity was ever zero or less."""
    days = result.times.astype("datetime64[D]")
    is_last = np.append(days[1:] != days[:-1], [True])
    equity = result.equity[is_last]
    values = equity[1:] / equity[:-1] - 1 if (equity > 0).all() else np.empty(0)
    return Returns(days[is_last], equity, values)


def compute_metrics(result: Result) -> dict[str, float | None]:
    """Every figure of CONVENTIONS, in its order."""
    returns = daily_returns(result)
    figures: dict[str, Callable[[], float]] = {
        "final_equity": lambda: float(result.equity[-1]),
        "total_return": lambda: float(result.equity[-1]) / result.starting_cash - 1,
        "cagr": lambda: _cagr(returns.values),
        "volatility": lambda: _deviation(returns.values) * math.sqrt(PERIODS_A_YEAR),
        "sharpe": lambda: _mean(returns.values) / _deviation(returns.values) * math.sqrt(PERIODS_A_YEAR),
        "sortino": lambda: _mean(returns.values) / _downside(returns.values) * math.sqrt(PERIODS_A_YEAR),
        "max_drawdown": lambda: float(drawdowns(result.starting_cash, returns).min()),
        "calmar": lambda: _cagr(returns.values) / abs(float(drawdowns(result.starting_cash, returns).min())),
        "value_at_risk_95": lambda: _value_at_risk(returns.values),
        "positive_days": lambda: float((returns.values > 0).sum()) / float((returns.values != 0).sum()),
        "hit_rate": lambda: sum(trade.pnl_net > 0 for trade in result.trades) / len(result.trades),
        "profit_factor": lambda: _profit_factor(result),
        "exposure": lambda: float(result.exposed.mean()),
        "turnover": lambda: _turnover(result, returns.values),
        "trades": lambda: len(result.trades),
        "commission": lambda: _commissions(result),
        "not_opened": lambda: len(result.not_opened),
    }
    assert list(figures) == list(CONVENTIONS)
    return {name: _value(figure) for name, figure in figures.items()}


def drawdowns(starting_cash: float, returns: Returns) -> Floats:
    """How far each day's equity is below the highest so far, as a fraction: zero or negative."""
    highest = np.maximum.accumulate(np.maximum(returns.equity, starting_cash))
    return returns.equity / highest - 1


def _value(figure: Callable[[], float]) -> float | None:
    """None for what cannot be computed: no trades, no returns, or a division by zero."""
    try:
        value = figure()
    except (ZeroDivisionError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _mean(returns: Floats) -> float:
    if returns.size < 2:
        raise ValueError("too few returns")
    return float(returns.mean())


def _deviation(returns: Floats) -> float:
    if returns.size < 2:
        raise ValueError("too few returns")
    return float(returns.std(ddof=1))


def _downside(returns: Floats) -> float:
    return math.sqrt(float((returns[returns < 0] ** 2).sum()) / returns.size)


def _cagr(returns: Floats) -> float:
    return math.pow(float(np.prod(1 + returns)), PERIODS_A_YEAR / returns.size) - 1


def _value_at_risk(returns: Floats) -> float:
    deviation = _deviation(returns)
    return NormalDist(_mean(returns), deviation).inv_cdf(1 - _CONFIDENCE) if deviation else _mean(returns)


def _profit_factor(result: Result) -> float:
    won = sum(trade.pnl_net for trade in result.trades if trade.pnl_net > 0)
    lost = -sum(trade.pnl_net for trade in result.trades if trade.pnl_net < 0)
    return won / lost


def _commissions(result: Result) -> float:
    return sum(trade.commission for trade in result.trades) + sum(one.commission for one in result.open_positions)


def _turnover(result: Result, returns: Floats) -> float:
    return result.traded_usd / float(result.equity.mean()) * PERIODS_A_YEAR / returns.size
