"""The arithmetic of the figures, for many accounts over the same days at once: one row of every matrix an account.

What goes here: formulas on equity lines and on closed trades, in floats; NaN or infinity stands where one has no value.
What does not: their names, conventions and words (`backtest.metrics`).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ibkr_assets.backtest.lines import Ints, sum_by
from ibkr_assets.features.frame import Floats

PERIODS_A_YEAR = 252
#: Of the standard normal distribution: 5 % of it is below.
_LOW_5 = NormalDist().inv_cdf(0.05)


class Accounts(NamedTuple):
    """What the figures follow from. `equity` is accounts x days, at their ends; closed trades stand in two columns.

    `exposure` is the part of all bars with any position; money in USD.
    """

    starting_cash: float
    equity: Floats
    final_equity: Floats
    mean_equity: Floats
    exposure: Floats
    traded_usd: Floats
    commission: Floats
    not_opened: Ints | Floats
    trade_account: Ints
    pnl_net: Floats


class Moments(NamedTuple):
    """Of the daily returns of each account; `ratio` is mean over sample deviation, `kurtosis` of the normal is 3."""

    mean: Floats
    deviation: Floats
    ratio: Floats
    skewness: Floats
    kurtosis: Floats
    returns: int


def returns_of(accounts: Accounts) -> Floats:
    """Accounts x days but one. An account that ever had nothing or less has no returns: its row is NaN."""
    equity = accounts.equity
    returns: Floats = equity[:, 1:] / equity[:, :-1]
    returns -= 1.0
    returns[(equity <= 0).any(axis=1)] = np.nan
    return returns


def compute_moments(returns: Floats) -> Moments:
    """NaN for fewer than two returns, and where they never change."""
    count = returns.shape[1]
    with np.errstate(all="ignore"):
        mean = returns.mean(axis=1) if count > 1 else np.full(len(returns), np.nan)
        centred = returns - mean[:, None]
        squares = centred * centred
        sum2 = squares.sum(axis=1)
        sum3 = np.einsum("ij,ij->i", squares, centred)
        sum4 = np.einsum("ij,ij->i", squares, squares)
        deviation = np.sqrt(sum2 / (count - 1)) if count > 1 else np.full(len(returns), np.nan)
        variance = sum2 / max(count, 1)
        return Moments(
            mean, deviation, mean / deviation, sum3 / count / variance**1.5, sum4 / count / (variance * variance), count
        )


def compute_figures(accounts: Accounts) -> dict[str, Floats]:
    """Every figure by name, one value an account, in the order of `backtest.metrics.CONVENTIONS`."""
    returns = returns_of(accounts)
    return figures_of(accounts, returns, compute_moments(returns))


def figures_of(accounts: Accounts, returns: Floats, moments: Moments) -> dict[str, Floats]:
    """As `compute_figures`, where returns and moments are known."""
    with np.errstate(all="ignore"):
        count, equity = max(returns.shape[1], 0), accounts.equity
        losses = np.minimum(returns, 0.0)
        downside = np.sqrt(np.einsum("ij,ij->i", losses, losses) / count)
        growth = equity[:, -1] / equity[:, 0]
        has_lost_all = np.isnan(returns[:, 0]) if count else np.ones(len(equity), dtype=np.bool_)
        cagr = np.where(has_lost_all, np.nan, np.power(growth, PERIODS_A_YEAR / max(count, 1)) - 1)
        drawdown = _lowest_drawdown(accounts)
        year = math.sqrt(PERIODS_A_YEAR)
        up, down = np.count_nonzero(returns > 0, axis=1), np.count_nonzero(returns < 0, axis=1)
        trades, won, gains, pains = _of_trades(accounts)
        return {
            "final_equity": accounts.final_equity,
            "total_return": accounts.final_equity / accounts.starting_cash - 1,
            "cagr": cagr,
            "volatility": moments.deviation * year,
            "sharpe": moments.ratio * year,
            "sortino": moments.mean / downside * year,
            "max_drawdown": drawdown,
            "calmar": cagr / np.abs(drawdown),
            "value_at_risk_95": moments.mean + moments.deviation * _LOW_5,
            "positive_days": up / (up + down),
            "hit_rate": won / trades,
            "profit_factor": gains / pains,
            "exposure": accounts.exposure,
            "turnover": accounts.traded_usd / accounts.mean_equity * PERIODS_A_YEAR / count,
            "trades": trades,
            "commission": accounts.commission,
            "not_opened": np.asarray(accounts.not_opened, dtype=np.float64),
        }


def _lowest_drawdown(accounts: Accounts) -> Floats:
    """The lowest of equity over the highest so far, starting cash included, minus one."""
    highest = np.maximum.accumulate(accounts.equity, axis=1)
    np.maximum(highest, accounts.starting_cash, out=highest)
    np.divide(accounts.equity, highest, out=highest)
    lowest: Floats = highest.min(axis=1)
    return lowest - 1


def _of_trades(accounts: Accounts) -> tuple[Floats, Floats, Floats, Floats]:
    """By account: closed trades, those that won, what they won, and what the others lost."""
    count, pnl = len(accounts.equity), accounts.pnl_net

    def total(values: Floats) -> Floats:
        return sum_by(accounts.trade_account, values, count)

    return (
        total(np.ones(pnl.size)), total((pnl > 0).astype(float)), total(np.maximum(pnl, 0.0)),
        total(np.maximum(-pnl, 0.0)),
    )  # fmt: skip
