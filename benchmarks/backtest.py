"""Backtests of one strategy, with every trade kept, against a plain vectorised run of it that keeps none.

The vectorised run is what a person writes in a notebook: numpy, fixed shares, equity from positions and closes, no
cash, no commission, no list of trades.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.features import random_bars
from benchmarks.measure import Comparison, compare
from ibkr_assets.backtest import sweep as work
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.grid import combinations, parse_grid
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import Tape, tapes_of
from ibkr_assets.strategies.registry import build_strategy

FAST, SLOW, SHARES, CASH = 20, 50, 100.0, 1e7
TERMS = Terms(CASH, parse_size(f"fixed:{SHARES:g}"), parse_commission("bps:1"), parse_slippage("none"))


def run() -> list[Comparison]:
    """One long tape of two lengths, many tapes, and a grid of parameters."""
    return [_one(100_000), _one(1_000_000), _many(), _sweep()]


def _one(bars: int) -> Comparison:
    tapes, strategy = tapes_of(_minutes(bars)), build_strategy("sma_cross", {"fast": FAST, "slow": SLOW})
    trades = len(backtest(strategy, tapes, TERMS).trades)
    return compare(
        f"backtest, 1 symbol, {bars:,} bars, {trades:,} trades",
        bars,
        lambda: compute_metrics(backtest(strategy, tapes, TERMS)),
        {"numpy, vectorised, no trades": lambda: _vectorised(tapes[0], FAST, SLOW)},
        rounds=3,
    )


def _many(symbols: int = 500, days: int = 2_520) -> Comparison:
    tapes = tapes_of(random_bars(symbols, days))
    strategy = build_strategy("sma_cross", {"fast": FAST, "slow": SLOW})
    return compare(
        f"backtest, {symbols} symbols x {days} bars on one account",
        symbols * days,
        lambda: compute_metrics(backtest(strategy, tapes, TERMS)),
        {"numpy, vectorised, no trades": lambda: [_vectorised(tape, FAST, SLOW) for tape in tapes]},
        rounds=3,
    )


def _sweep(days: int = 2_520) -> Comparison:
    tapes = tapes_of(random_bars(1, days))
    tried = combinations(parse_grid(["fast=2:41:1", "slow=50:194:6"]), {})
    return compare(
        f"sweep of {len(tried)} combinations x {days} bars, with figures",
        len(tried) * days,
        lambda: work.sweep("sma_cross", tried, tapes, TERMS),
        {"numpy, vectorised, no trades": lambda: [_vectorised(tapes[0], p["fast"], p["slow"]) for p in tried]},
        rounds=3,
    )


def _vectorised(tape: Tape, fast: int, slow: int) -> float:
    """The Sharpe ratio of fixed shares while the fast average is above the slow one, filled at the next open."""
    sums = np.concatenate(([0.0], np.cumsum(tape.close)))
    short = (sums[slow:] - sums[slow - fast : -fast]) / fast
    long = (sums[slow:] - sums[:-slow]) / slow
    held = np.zeros(len(tape))
    held[slow:] = (short > long)[:-1] * SHARES
    bought = np.diff(held, prepend=0.0)
    equity = CASH - np.cumsum(bought * tape.open) + held * tape.close
    returns = equity[1:] / equity[:-1] - 1
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(252))


def _minutes(bars: int) -> pd.DataFrame:
    generator = np.random.default_rng(7)
    close = np.round(100 * np.exp(generator.normal(0, 0.0005, bars).cumsum()), 2)
    opened = np.round(close * (1 + generator.normal(0, 0.0002, bars)), 2)
    return pd.DataFrame(
        {
            "conid": 1, "symbol": "XYZ", "opened_at": pd.date_range("2000-01-03", periods=bars, freq="min", tz="UTC"),
            "open": opened, "high": np.maximum(opened, close) + 0.02, "low": np.minimum(opened, close) - 0.02,
            "close": close, "volume": 1e5,
        }
    )  # fmt: skip
