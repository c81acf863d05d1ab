"""The indicators of the feature set in vectorbt, as its users write them, over frames of bars x symbols.

Runs in the environment of the peers. `load` keeps the bars; `compute` runs what vectorbt has of the set: averages, RSI,
MACD, bands, ATR, the returns and their deviation.
"""

import numpy as np
import pandas as pd
import vectorbt as vbt

bars: dict[str, pd.DataFrame] = {}


def load(path: str) -> None:
    """Highs, lows and closes, bars x symbols, from a numpy file."""
    with np.load(path) as file:
        bars.update({name: pd.DataFrame(file[name]) for name in file.files})


def compute() -> int:
    """All of them; the number of values."""
    high, low, close = bars["high"], bars["low"], bars["close"]
    found = [vbt.MA.run(close, window).ma for window in (10, 20, 50)]
    found += [vbt.MA.run(close, window, ewm=True).ma for window in (12, 26)]
    found.append(vbt.RSI.run(close, 14, ewm=True).rsi)
    macd = vbt.MACD.run(close, 12, 26, 9, macd_ewm=True, signal_ewm=True)
    found += [macd.macd, macd.signal, macd.hist]
    bands = vbt.BBANDS.run(close, 20, alpha=2)
    found += [bands.upper, bands.middle, bands.lower, vbt.ATR.run(high, low, close, 14, ewm=True).atr]
    returns = close.vbt.pct_change()
    logarithms = np.log1p(returns)
    found += [returns, logarithms, vbt.MSTD.run(logarithms, 20).mstd]
    return sum(frame.size for frame in found)
