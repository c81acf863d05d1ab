"""The crossing of two averages in vectorbt and in backtesting.py, each as its users write it.

Runs in the environment of the peers. `load` keeps the bars; the others trade them and return what there is to compare:
the number of closed trades, their entry and exit bars as sums, and the last equity.
"""

import warnings

import backtesting
import numpy as np
import pandas as pd
import vectorbt as vbt

warnings.simplefilter("ignore")
TERMS = {"size": 100, "fees": 1e-4, "init_cash": 1e7, "freq": "1D"}
bars: dict[str, np.ndarray] = {}


def load(path: str) -> None:
    """Opens and closes, bars x symbols, from a numpy file."""
    with np.load(path) as file:
        bars.update({name: file[name] for name in file.files})


def vectorbt_run(pairs: list[list[int]]) -> list[float]:
    """Every pair of windows over one symbol, or the only pair over all symbols on one account.

    The frames have no times: with a million of them and more pandas looks names up a hundred times slower.
    """
    opens, closes = pd.DataFrame(bars["open"]), pd.DataFrame(bars["close"])
    if closes.shape[1] == 1:
        opens, closes = opens[0], closes[0]
    fast, slow = (vbt.MA.run(closes, [pair[side] for pair in pairs]).ma.to_numpy() for side in (0, 1))
    fast, slow = fast.reshape(len(closes), -1), slow.reshape(len(closes), -1)
    is_above = np.zeros((len(closes) + 1, fast.shape[1]), dtype=bool)
    is_above[1:] = fast > slow
    entries = np.zeros((len(closes), fast.shape[1]), dtype=bool)
    exits = entries.copy()
    entries[1:] = is_above[1:-1] & ~is_above[:-2]  # decided at a close, filled at the next open
    exits[1:] = ~is_above[1:-1] & is_above[:-2]
    shared = {"group_by": True, "cash_sharing": True} if bars["close"].shape[1] > 1 else {}
    portfolio = vbt.Portfolio.from_signals(closes, entries, exits, price=opens, **TERMS, **shared)
    equity = portfolio.value()
    portfolio.sharpe_ratio()
    portfolio.max_drawdown()
    trades = portfolio.trades.records
    trades = trades[trades["status"] == 1]
    last = np.asarray(equity)[-1].sum() if equity.ndim == 2 else equity.iloc[-1]
    return [len(trades), int(trades["entry_idx"].sum()), int(trades["exit_idx"].sum()), float(last)]


class Crossing(backtesting.Strategy):
    """Long while the fast average is above the slow one."""

    fast, slow = 20, 50

    def init(self) -> None:
        """Both averages, which the library finds as attributes."""
        self.short = self.I(self._average, self.data.Close, self.fast)
        self.long = self.I(self._average, self.data.Close, self.slow)

    @staticmethod
    def _average(close: np.ndarray, window: int) -> pd.Series:
        return pd.Series(close).rolling(window).mean()

    def next(self) -> None:
        """Open, hold or close."""
        is_above = self.short[-1] > self.long[-1]
        if is_above and not self.position:
            self.buy(size=TERMS["size"])
        elif not is_above and self.position:
            self.position.close()


def backtesting_run(pairs: list[list[int]]) -> list[float]:
    """The only pair over the only symbol."""
    (fast, slow) = pairs[0]
    opens, closes = bars["open"][:, 0], bars["close"][:, 0]
    frame = pd.DataFrame(
        {"Open": opens, "High": np.maximum(opens, closes), "Low": np.minimum(opens, closes), "Close": closes}
    )
    stats = backtesting.Backtest(frame, Crossing, cash=TERMS["init_cash"], commission=TERMS["fees"]).run(
        fast=fast, slow=slow
    )
    trades = stats["_trades"]
    sums = [len(trades), int(trades["EntryBar"].sum()), int(trades["ExitBar"].sum())]
    return [*sums, float(stats["_equity_curve"]["Equity"].iloc[-1])]
