"""Judging bars by every reason, beside the pandas idiom for the reasons that it can express.

pandera is no dependency of the project; on such a frame it makes the comparisons of the idiom, and keeps books on top.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from benchmarks.features import random_bars
from benchmarks.measure import Comparison, compare
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.validation import judge

FIRST, DAYS = date(2003, 1, 2), 2520


def run() -> list[Comparison]:
    """Compare at 5, 50 and 500 symbols of ten years."""
    return [_at(symbols) for symbols in (5, 50, 500)]


def _at(symbols: int) -> Comparison:
    calendar = exchange_calendar("XNYS")
    sessions = calendar.sessions(FIRST, calendar.last_day)[:DAYS]
    opens = pd.DatetimeIndex([session.opens_at for session in sessions])
    bars = random_bars(symbols, DAYS).assign(opened_at=np.tile(opens, symbols))
    instruments = [Instrument(i, f"S{i:04d}", "XNYS") for i in range(1, symbols + 1)]
    return compare(
        f"B3 judge bars, {symbols} symbols x {DAYS} daily bars",
        len(bars),
        lambda: judge(bars, calendar=calendar, sessions=sessions, instruments=instruments),
        {"pandas idiom: ranges, order, duplicates, jumps by groupby": lambda: _pandas(bars, opens)},
        rounds=3,
    )


def _pandas(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> pd.DataFrame:
    prices = bars[["open", "high", "low", "close"]]
    by_conid = bars.groupby("conid", sort=False)
    change = by_conid["close"].pct_change()
    usual = change.groupby(bars["conid"], sort=False).transform(lambda values: values.rolling(60).std())
    is_wrong = (
        bars[["open", "high", "low", "close", "volume"]].isna().any(axis=1)
        | (prices <= 0).any(axis=1)
        | (bars["volume"] < 0)
        | (bars["high"] < prices.max(axis=1))
        | (bars["low"] > prices.min(axis=1))
        | bars.duplicated(["conid", "opened_at"])
        | ~bars["opened_at"].isin(opens)
        | (by_conid["opened_at"].diff() <= pd.Timedelta(0))
        | ((change.abs() > 0.25) & (change.abs() > 12 * usual.shift()))
    )
    return bars[is_wrong]
