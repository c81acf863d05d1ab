"""The feature set beside bare TA-Lib calls of the same indicators, and beside the pandas idiom."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from benchmarks.measure import Comparison, compare
from ibkr_assets.features.compute import compute_features


def run() -> list[Comparison]:
    """Compare at 5, 50 and 500 symbols of ten years."""
    return [_at(symbols) for symbols in (5, 50, 500)]


def _at(symbols: int, days: int = 2520) -> Comparison:
    bars = random_bars(symbols, days)
    return compare(
        f"B4 features, {symbols} symbols x {days} daily bars",
        len(bars),
        lambda: compute_features(bars),
        {
            "bare TA-Lib calls, nothing checked or kept together": lambda: _talib(bars, symbols),
            "pandas groupby, four of the indicators": lambda: _pandas(bars),
        },
        rounds=3,
    )


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
    close = bars.groupby("conid", sort=False)["close"]
    return pd.DataFrame(
        {
            "sma_20": close.transform(lambda values: values.rolling(20).mean()),
            "ema_12": close.transform(lambda values: values.ewm(span=12, adjust=False).mean()),
            "std_20": close.transform(lambda values: values.rolling(20).std()),
            "return_1": close.pct_change(),
        }
    )


def random_bars(symbols: int, days: int) -> pd.DataFrame:
    """Bars of random walks, with a fixed seed: conid, symbol, opened_at, open, high, low, close, volume."""
    generator = np.random.default_rng(7)
    steps = generator.normal(0, 0.01, (symbols, days)).cumsum(axis=1)
    close = np.round(100 * np.exp(steps), 2)
    opened = np.round(close * (1 + generator.normal(0, 0.003, close.shape)), 2)
    high = np.maximum(opened, close) + 0.5
    low = np.minimum(opened, close) - 0.5
    opened_at = pd.date_range("2020-01-02 14:30", periods=days, freq="B", tz="UTC")
    return pd.DataFrame(
        {
            "conid": np.repeat(np.arange(1, symbols + 1), days),
            "symbol": np.repeat([f"S{i:04d}" for i in range(1, symbols + 1)], days),
            "opened_at": np.tile(opened_at, symbols),
            "open": opened.ravel(),
            "high": high.ravel(),
            "low": low.ravel(),
            "close": close.ravel(),
            "volume": generator.integers(1_000, 9_000_000, symbols * days).astype(float),
        }
    )
