"""The feature set beside bare TA-Lib calls of the same indicators, pandas' idiom by group, and vectorbt.

vectorbt wants another pandas and runs in the environment of the peers. All times are CPU seconds. Nobody else looks at
the order of bars or for holes in them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import talib

from benchmarks.measure import Table, compare, peak_mib
from benchmarks.peer import Peer, start_peer
from ibkr_assets.features.compute import compute_features

#: Symbols and bars of each: years of days, and days of minutes.
SHAPES = {
    "daily bars": ((5, 2520), (50, 2520), (500, 2520)),
    "minute bars": ((5, 9828), (5, 98_280), (50, 98_280)),
}
WAYS = ("TA-Lib", "pandas", "vectorbt")


def run() -> Iterator[Table]:
    """Compare at 1 x, 10 x and 100 x the bars, in both shapes."""
    columns = ("", "bars", "ours ns/bar", *(f"x {way}" for way in WAYS), "MiB more", "of it results")
    with start_peer("features") as peer:
        rows = [_at(symbols, bars, name, peer) for name, sizes in SHAPES.items() for symbols, bars in sizes]
    yield Table("B4 sixteen features, beside bare TA-Lib calls, pandas by group and vectorbt", columns, rows)


def _at(symbols: int, length: int, name: str, peer: Peer | None) -> tuple[str, ...]:
    bars = random_bars(symbols, length, freq="B" if name == "daily bars" else "min")
    sides: dict[str, Callable[[], object]] = {"TA-Lib": lambda: _talib(bars, symbols), "pandas": lambda: _pandas(bars)}
    if peer is not None:
        with tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as directory:
            path = Path(directory) / "bars.npz"
            wide = {name: bars[name].to_numpy().reshape(symbols, -1).T for name in ("high", "low", "close")}
            np.savez(path, **wide)
            peer.ask("load", str(path))
        sides["vectorbt"] = lambda: peer.ask("compute")[0]
        sides["vectorbt"]()
    compute_features(bars)
    rounds = 15 if len(bars) < 200_000 else 5  # what takes milliseconds is told apart from noise by asking more often
    found = compare("", len(bars), lambda: compute_features(bars), sides, rounds=rounds, clock=time.process_time)
    ratios = (found.others_s.get(way) for way in WAYS)
    return (
        f"{symbols} symbols x {length:,} {name}", f"{len(bars):,}", f"{found.ours_s / len(bars) * 1e9:.0f}",
        *("" if seconds is None else f"{seconds / found.ours_s:.2f}" for seconds in ratios),
        f"{peak_mib(lambda: compute_features(bars)):,.0f}", f"{16 * 8 * len(bars) / 2**20:,.0f}",
    )  # fmt: skip


def _talib(bars: pd.DataFrame, symbols: int) -> list[object]:
    """The same sixteen columns; TA-Lib's own deviation in place of the sample deviation."""
    columns = [bars[name].to_numpy().reshape(symbols, -1) for name in ("high", "low", "close")]
    found: list[object] = []
    for high, low, close in zip(*columns, strict=True):
        log_return = talib.LN(talib.ROCR(close, 1))
        found += [talib.SMA(close, window) for window in (10, 20, 50)]
        found += [talib.EMA(close, 12), talib.EMA(close, 26), talib.RSI(close, 14), *talib.MACD(close, 12, 26, 9)]
        found += [*talib.BBANDS(close, 20, 2.0, 2.0), talib.ATR(high, low, close, 14), talib.ROCP(close, 1)]
        found += [log_return, talib.STDDEV(log_return, 20)]
    return found


def _pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """As it is written with groups that pandas goes through itself; its exponential averages start at the first bar."""
    group = bars["conid"]

    def rolling(values: pd.Series, window: int) -> pd.core.window.rolling.RollingGroupby:
        return values.groupby(group, sort=False).rolling(window)

    def smooth(values: pd.Series, **how: float) -> np.ndarray:
        return values.groupby(group, sort=False).ewm(adjust=False, **how).mean().to_numpy()

    close, before = bars["close"], bars.groupby("conid", sort=False)["close"].shift()
    found = {f"sma_{window}": rolling(close, window).mean().to_numpy() for window in (10, 20, 50)}
    found |= {"ema_12": smooth(close, span=12), "ema_26": smooth(close, span=26)}
    change = close - before
    gain, loss = smooth(change.clip(lower=0), alpha=1 / 14), smooth((-change).clip(lower=0), alpha=1 / 14)
    found["rsi_14"] = 100 * gain / np.where(gain + loss == 0, 1.0, gain + loss)
    line = pd.Series(found["ema_12"] - found["ema_26"], index=bars.index)
    signal = smooth(line, span=9)
    found |= {"macd": line, "macd_signal": signal, "macd_hist": line - signal}
    deviation = rolling(close, 20).std(ddof=0).to_numpy()
    found |= {"bb_upper": found["sma_20"] + 2 * deviation, "bb_lower": found["sma_20"] - 2 * deviation}
    ranges = np.maximum(bars["high"], before) - np.minimum(bars["low"], before)
    log_return = np.log(close / before)
    found |= {"atr_14": smooth(ranges, alpha=1 / 14), "return_1": close / before - 1, "log_return_1": log_return}
    found["volatility_20"] = rolling(log_return, 20).std().to_numpy()
    return pd.DataFrame(found)


def random_bars(symbols: int, bars: int, *, freq: str = "B") -> pd.DataFrame:
    """Bars of random walks, with a fixed seed: conid, symbol, opened_at, open, high, low, close, volume."""
    generator = np.random.default_rng(7)
    steps = generator.normal(0, 0.01 if freq == "B" else 0.001, (symbols, bars)).cumsum(axis=1)
    close = np.round(100 * np.exp(steps), 2)
    opened = np.round(close * (1 + generator.normal(0, 0.003, close.shape)), 2)
    high = np.maximum(opened, close) + 0.5
    low = np.minimum(opened, close) - 0.5
    opened_at = pd.date_range("2020-01-02 14:30", periods=bars, freq=freq, tz="UTC")
    return pd.DataFrame(
        {
            "conid": np.repeat(np.arange(1, symbols + 1), bars),
            "symbol": np.repeat([f"S{i:04d}" for i in range(1, symbols + 1)], bars),
            "opened_at": np.tile(opened_at, symbols),
            "open": opened.ravel(),
            "high": high.ravel(),
            "low": low.ravel(),
            "close": close.ravel(),
            "volume": generator.integers(1_000, 9_000_000, symbols * bars).astype(float),
        }
    )
