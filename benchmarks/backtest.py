"""B6: one strategy over a million bars, over 500 symbols on one account, and over a grid of 1,000 parameter sets.

Beside it, in a process of their own (`make bench` installs them): vectorbt and backtesting.py, over the same bars, with
the same commission, fills and sizes. Each keeps its trades and gives equity, Sharpe ratio and drawdown; ours all its
figures. Closed trades, their bars and the last equity are compared before anything is timed. Prices are not rounded to
cents here, so that no two averages tie: a tie is no crossing for us and may be one for others. Seconds are of the
processor, because the machine may be shared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import Comparison, Took, compare, peak_mib
from benchmarks.peer import Peer, start_peer
from ibkr_assets.backtest import sweep as work
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.grid import combinations, parse_grid
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import Tape, tapes_of
from ibkr_assets.strategies.registry import build_strategy

FAST, SLOW, CASH = 20, 50, 1e7
TERMS = Terms(CASH, parse_size("fixed:100"), parse_commission("bps:1"), parse_slippage("none"))
GRID = combinations(parse_grid(["fast=2:41:1", "slow=50:194:6"]), {})
#: Closed trades, the sums of their entry and exit bars, and the last equity of all accounts.
Sums = tuple[int, int, int, float]


def run() -> list[Comparison]:
    """Longer tapes, more tapes, and grids of parameters; backtesting.py only where it ends within a minute."""
    with start_peer("backtests") as peer:
        return [
            _one(10_000, peer, ("vectorbt_run", "backtesting_run"), rounds=9),
            _one(100_000, peer, ("vectorbt_run", "backtesting_run"), rounds=5),
            _one(1_000_000, peer, ("vectorbt_run",), rounds=7),
            _many(peer, 5),
            _many(peer, 50),
            _many(peer, 500),
            _sweep(peer, 252),
            _sweep(peer, 2_520),
            _sweep(peer, 25_200, ()),
        ]


def _one(bars: int, peer: Peer | None, others: Sequence[str], rounds: int) -> Comparison:
    tapes, strategy = tapes_of(_random(1, bars, "min")), build_strategy("sma_cross", {"fast": FAST, "slow": SLOW})

    def trade() -> Result:
        result = backtest(strategy, tapes, TERMS)
        compute_metrics(result)
        return result

    result = trade()
    trades = [(one.entry_bar, one.exit_bar) for one in result.trades]
    sums = len(trades), sum(e for e, _ in trades), sum(x for _, x in trades), float(result.equity[-1])
    name = f"B6 backtest, 1 symbol x {bars:,} bars, {len(trades):,} trades"
    return _beside(name, bars, trade, sums, _Asked(peer, tapes, [[FAST, SLOW]], others), rounds)


def _many(peer: Peer | None, symbols: int, days: int = 2_520) -> Comparison:
    tapes = tapes_of(_random(symbols, days, "B"))
    strategy = build_strategy("sma_cross", {"fast": FAST, "slow": SLOW})

    def trade() -> Result:
        result = backtest(strategy, tapes, TERMS)
        compute_metrics(result)
        return result

    result = trade()
    trades = [(one.entry_bar, one.exit_bar) for one in result.trades]
    sums = len(trades), sum(e for e, _ in trades), sum(x for _, x in trades), float(result.equity[-1])
    name = f"B6 backtest, {symbols} symbols x {days:,} bars on one account, {len(trades):,} trades"
    return _beside(name, symbols * days, trade, sums, _Asked(peer, tapes, [[FAST, SLOW]], ("vectorbt_run",)), 9)


def _sweep(peer: Peer | None, days: int, others: Sequence[str] = ("vectorbt_run",)) -> Comparison:
    tapes = tapes_of(_random(1, days, "h" if days > 10_000 else "B"))
    rows = work.sweep("sma_cross", GRID, tapes, TERMS).rows
    trades = np.concatenate([row.trades for row in rows])
    equity = sum(row.metrics["final_equity"] or 0.0 for row in rows)
    sums = len(trades), int(trades["entry_bar"].sum()), int(trades["exit_bar"].sum()), equity
    pairs = [[params["fast"], params["slow"]] for params in GRID]
    name = f"B6 sweep, {len(GRID):,} parameter sets x {days:,} bars, {len(trades):,} trades"
    asked = _Asked(peer, tapes, pairs, others)
    return _beside(name, len(GRID) * days, lambda: work.sweep("sma_cross", GRID, tapes, TERMS), sums, asked, 9)


class _Asked:
    """What the peer trades: the same bars, and pairs of windows."""

    def __init__(
        self, peer: Peer | None, tapes: Sequence[Tape], pairs: list[list[int]], functions: Sequence[str]
    ) -> None:
        self.peer, self.pairs, self.functions = peer, pairs, functions if peer else ()
        if peer is not None:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "bars.npz"
                columns = {
                    name: np.stack([getattr(tape, name) for tape in tapes], axis=1) for name in ("open", "close")
                }
                np.savez(path, **columns)
                peer.ask("load", str(path))

    def run(self, function: str) -> tuple[Took, Sums]:
        assert self.peer is not None
        took, result = self.peer.ask(function, self.pairs)
        return took, tuple(result)


def _beside(name: str, bars: int, ours: Callable[[], object], sums: Sums, asked: _Asked, rounds: int) -> Comparison:
    for function in asked.functions:
        _, theirs = asked.run(function)  # the first run also compiles
        if sums[:3] != theirs[:3] or abs(sums[3] - theirs[3]) > 1e-9 * abs(sums[3]):
            raise RuntimeError(f"{name}: {function} trades otherwise: {theirs}, ours {sums}")
    others: dict[str, Callable[[], object]] = {
        f"{function.removesuffix('_run')}, the same trades and equity": lambda function=function: asked.run(function)[0]
        for function in asked.functions
    }
    found = compare(name, bars, ours, others, rounds=rounds, clock=time.process_time)
    note = f"ours held {peak_mib(ours):,.0f} MiB more while it ran"
    if asked.peer is None:
        note += "; vectorbt and backtesting.py are not installed: `make bench` installs them"
    return Comparison(found.name, found.rows, found.ours_s, found.others_s, note)


def _random(symbols: int, bars: int, step: str) -> pd.DataFrame:
    """Random walks, with a fixed seed."""
    generator = np.random.default_rng(7)
    scale = 0.01 if step == "B" else 0.0005
    close = 100 * np.exp(generator.normal(0, scale, (symbols, bars)).cumsum(axis=1))
    opened = close * (1 + generator.normal(0, scale / 3, close.shape))
    return pd.DataFrame(
        {
            "conid": np.repeat(np.arange(1, symbols + 1), bars),
            "symbol": np.repeat([f"S{place:04d}" for place in range(1, symbols + 1)], bars),
            "opened_at": np.tile(pd.date_range("2000-01-03", periods=bars, freq=step, tz="UTC"), symbols),
            "open": opened.ravel(), "high": np.maximum(opened, close).ravel(), "low": np.minimum(opened, close).ravel(),
            "close": close.ravel(), "volume": 1e5,
        }
    )  # fmt: skip
