"""Judging bars by every reason, beside pandera and the pandas idiom for the reasons that these can express.

pandera wants another pandas and runs in the environment of the peers; it is given ranges, order of prices, sessions
and copies, and no jumps. All times are CPU seconds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.features import random_bars
from benchmarks.measure import Table, compare, peak_mib
from benchmarks.peer import Peer, start_peer
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.validation import judge

FIRST, DAYS = date(2003, 1, 2), 2520
#: Symbols of each scale.
SCALES = {"small": (5, 50, 500), "full": (5, 50, 500, 4000)}


def run(scale: str = "small") -> Iterator[Table]:
    """Compare at 5, 50 and 500 symbols of ten years, at the scale `full` also at 4,000."""
    columns = ("", "bars", "ours ns/bar", "x pandera", "x pandas", "MiB more")
    with start_peer("validation") as peer:
        rows = [_at(symbols, peer) for symbols in SCALES[scale]]
    yield Table("B3 judge bars by every reason, beside pandera's and pandas' subset", columns, rows)


def _at(symbols: int, peer: Peer | None) -> tuple[str, ...]:
    calendar = exchange_calendar("XNYS")
    sessions = calendar.sessions(FIRST, calendar.last_day)[:DAYS]
    opens = pd.DatetimeIndex([session.opens_at for session in sessions])
    bars = random_bars(symbols, DAYS).assign(opened_at=np.tile(opens, symbols))
    instruments = [Instrument(i, f"S{i:04d}", "XNYS") for i in range(1, symbols + 1)]

    def ours() -> object:
        return judge(bars, calendar=calendar, sessions=sessions, instruments=instruments)

    sides: dict[str, Callable[[], object]] = {"pandas": lambda: _pandas(bars, opens)}
    if peer is not None:
        with tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as directory:
            path = Path(directory) / "bars.npz"
            columns = {name: bars[name].to_numpy() for name in ("conid", "open", "high", "low", "close", "volume")}
            np.savez(path, opened_at=_nanoseconds(bars["opened_at"]), opens=_nanoseconds(opens.to_series()), **columns)
            peer.ask("load", str(path))
        sides["pandera"] = lambda: peer.ask("judge")[0]
    ours()
    found = compare("", len(bars), ours, sides, rounds=15 if symbols < 100 else 3, clock=time.process_time)
    ratios = (found.others_s.get(side) for side in ("pandera", "pandas"))
    return (
        f"{symbols} symbols x {DAYS} daily bars", f"{len(bars):,}", f"{found.ours_s / len(bars) * 1e9:.0f}",
        *("" if seconds is None else f"{seconds / found.ours_s:.2f}" for seconds in ratios),
        f"{peak_mib(ours):,.0f}",
    )  # fmt: skip


def _nanoseconds(moments: pd.Series) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = moments.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return values


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
