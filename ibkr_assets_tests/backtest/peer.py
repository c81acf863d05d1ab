"""backtesting.py trading the directions that a rule, written out bar by bar, wants: the other side of a comparison.

What goes here: the library's data sets as bar files, and a strategy of the library's own kind. Nothing of ours decides,
sizes or fills here. Where the two differ in their rules, the sentence stands beside the line that levels it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd
from backtesting import Backtest, Strategy

from ibkr_assets_tests.fakes.tape import real_bars

#: Shares (signed) and price to USD.
Fee = Callable[[float, float], float]


@dataclass(frozen=True)
class Order:
    """What every opening has: `shares`, or `percent` of cash; with `bracket` a stop and a target, as fractions."""

    shares: int | None = None
    percent: float | None = None
    bracket: tuple[float, float] | None = None


@dataclass(frozen=True)
class Peer:
    """Closed trades as (signed size, entry bar, exit bar, entry price, exit price, commission), and equity by bar."""

    trades: list[tuple[float, ...]]
    equity: list[float]
    sharpe: float


def data_set(name: str, directory: Path) -> Path:
    """A bar file of a data set that comes with backtesting.py (GOOG, EURUSD, BTCUSD) or with bokeh's sample data."""
    own = files("backtesting.test") / f"{name}.csv"
    if own.is_file():
        frame = pd.read_csv(str(own)).rename(columns={"Unnamed: 0": "opened_at"})
    else:
        frame = real_bars(name)
        frame["opened_at"] = frame["opened_at"].dt.date
    frame.columns = [column.lower() for column in frame.columns]
    path = directory / f"{name}.csv"
    frame[["opened_at", "open", "high", "low", "close", "volume"]].to_csv(path, index=False)
    return path


def trade(path: Path, wanted: Sequence[int], order: Order, *, cash: float, fee: Fee) -> Peer:
    """Run backtesting.py over a bar file; it fills at the next open and its orders stop first inside one bar."""
    frame = pd.read_csv(path, index_col=0, parse_dates=True)
    frame.columns = [column.title() for column in frame.columns]
    opens = frame["Open"].tolist()

    class Wanted(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            t = len(self.data) - 1
            if wanted[t] == (wanted[t - 1] if t else 0):
                return
            # A reversal is two orders at the same open: the library fills closings first, then what opens.
            freed = sum(one.size * (opens[min(t + 1, len(opens) - 1)] - one.entry_price) for one in self.trades)
            for one in self.trades:
                freed -= fee(one.size, opens[min(t + 1, len(opens) - 1)])
            self.position.close()
            if wanted[t] and t + 1 < len(opens):
                self._open(wanted[t], opens[t + 1], self._broker._cash + freed)

        def _open(self, side: int, opened: float, cash: float) -> None:
            size: float = order.shares or 0
            if order.percent is not None:
                # The library's own share of cash is floored at the price with its commission, ours at the open
                # alone; without commission they are the same, and the library's own is taken.
                size = order.percent / 100
                if fee(1, opened):
                    size = math.floor(cash * order.percent / 100 / opened)
            stop, target = order.bracket or (None, None)
            close = self.data.Close[-1]
            levels = {} if stop is None else {"sl": close * (1 - side * stop), "tp": close * (1 + side * target)}
            (self.buy if side > 0 else self.sell)(size=size, **levels)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of positions that stay open at the end
        stats = Backtest(frame, Wanted, cash=cash, commission=fee, finalize_trades=False).run()
    columns = ["Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "Commission"]
    rows = [tuple(float(value) for value in row) for row in stats["_trades"][columns].to_numpy()]
    return Peer(rows, stats["_equity_curve"]["Equity"].tolist(), float(stats["Sharpe Ratio"]))
