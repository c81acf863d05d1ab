"""Years of bars in one run: a directory of Parquet files through validation and features into Postgres.

What is timed is `ibkr-assets bars import DIR` and `ibkr-assets bars features`, without the interpreter's start. Peak
memory is what the process held at most in a stage, libraries included; the server's is not in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.ingest.features import build_feature_parts
from ibkr_assets.ingest.imports import import_bars
from ibkr_assets.market.calendar import exchange_calendar

#: Symbols and sessions of each size of bars.
SCALES = {
    "small": {BarSize.DAY: (50, 504), BarSize.MINUTE: (5, 21)},
    "full": {BarSize.DAY: (500, 2520), BarSize.MINUTE: (50, 252)},
}
FIRST = date(2012, 1, 3)


@dataclass(slots=True)
class Backfill:
    """Rows, seconds and peak memory of each stage."""

    name: str
    stages: list[tuple[str, int, float, float]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line a stage."""
        text = [f"backfill {self.name}"]
        for stage, rows, seconds, peak in self.stages:
            rate = rows / seconds
            text.append(f"    {stage:<34} {rows:>10,} rows {seconds:8.1f} s {rate:>10,.0f} rows/s {peak:6,.0f} MiB")
        total = sum(seconds for _, _, seconds, _ in self.stages)
        rows = self.stages[0][1]
        return [*text, f"    {'all':<34} {rows:>10,} rows {total:8.1f} s {rows / total:>10,.0f} rows/s"]


def run(scale: str = "small") -> list[Backfill]:
    """Both sizes of bars, at the scale `small` or `full`."""
    if scale not in SCALES:
        sys.exit(f"--scale {scale}: expected one of {', '.join(SCALES)}")
    with start_server() as server:
        return [
            _fill(new_database(server, f"backfill_{size.name.lower()}"), size, symbols, days)
            for size, (symbols, days) in SCALES[scale].items()
        ]


def _fill(url: str, size: BarSize, symbols: int, days: int) -> Backfill:
    calendar = exchange_calendar("XNYS")
    sessions = calendar.sessions(FIRST, calendar.last_day)[:days]
    instruments = {f"S{i:04d}": Instrument(i, f"S{i:04d}", "XNYS") for i in range(1, symbols + 1)}
    found = Backfill(f"{symbols} symbols x {days} sessions of {size.value} bars")
    database = Database(url, statement_timeout_s=600)
    store = PostgresBars(database)
    with tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as directory:
        for place, symbol in enumerate(instruments):
            make_bars(place, sessions, size).to_parquet(Path(directory) / f"{symbol}.parquet")
        _stage(found, "bars import: store and judge", lambda: import_bars(
            store, calendar, Path(directory), size=size, resolve=instruments.__getitem__, clock=_Later(),
            progress=_say,
        ).rows)  # fmt: skip
    _stage(found, "bars features: compute and store", lambda: sum(map(len, build_feature_parts(
        store, calendar, instruments=list(instruments.values()), sessions=sessions, size=size, progress=_say,
    ))))  # fmt: skip
    database.close()
    return found


class _Later:
    """A clock at which all of the bars are over."""

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC)


def make_bars(seed: int, sessions: list[TradingSession], size: BarSize) -> pd.DataFrame:
    """A random walk on the grid of the sessions: opened_at, open, high, low, close, volume."""
    if size is BarSize.DAY:
        opened_at = pd.DatetimeIndex([session.opens_at for session in sessions])
    else:
        spans = [pd.date_range(s.opens_at, s.closes_at, freq="min", inclusive="left") for s in sessions]
        opened_at = pd.DatetimeIndex(np.concatenate([span.asi8 for span in spans])).tz_localize("UTC")
    generator = np.random.default_rng(seed)
    spread = 0.01 if size is BarSize.DAY else 0.0005
    close = np.round(100 * np.exp(generator.normal(0, spread, len(opened_at)).cumsum()), 2)
    opened = np.round(np.roll(close, 1) * (1 + generator.normal(0, spread / 4, len(close))), 2)
    opened[0] = close[0]
    return pd.DataFrame({
        "opened_at": opened_at, "open": opened, "high": np.maximum(opened, close) + 0.05,
        "low": np.minimum(opened, close) - 0.05, "close": close,
        "volume": generator.integers(1_000, 9_000_000, len(close)).astype(float),
    })  # fmt: skip


def _say(line: str) -> None:
    sys.stderr.write(f"    {line}\n")


def _stage(found: Backfill, name: str, work: Callable[[], int]) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
    began = time.perf_counter()
    rows = work()
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text()
    peak_kib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    found.stages.append((name, rows, seconds, peak_kib / 1024))
