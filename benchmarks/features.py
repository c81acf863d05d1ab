"""The feature set against the pandas idiom, on 500 symbols of daily bars."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.measure import Comparison, compare
from ibkr_assets.features.compute import compute_features


def run() -> list[Comparison]:
    """Compare at 50 and at 500 symbols."""
    return [_at(symbols) for symbols in (50, 500)]


def _at(symbols: int, days: int = 504) -> Comparison:
    bars = random_bars(symbols, days)
    return compare(
        f"features, {symbols} symbols x {days} daily bars",
        len(bars),
        lambda: compute_features(bars),
        {"pandas groupby, four of the indicators": lambda: _pandas(bars)},
        rounds=3,
    )


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
