"""Storing and reading bars as versions, beside a ready stream copied into a bare keyed table, and beside pandas.

The limit is what psql's copy does: bytes that are ready go into a table of seven columns and one key, and come out of
it unread. From ours the same columns are read, and in a row of their own with what names each version besides. Storing
ours hashes each bar, locks its instrument, checks it, keeps where it came from and since when it is known.
Both tables are empty when the first bars come, and hold the days before when later ones do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
from sqlalchemy import create_engine

from benchmarks.features import random_bars
from benchmarks.measure import Comparison, Table, compare, peak_mib
from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument

#: Symbols of each scale, with 250 daily bars each; at the largest a round takes minutes.
SCALES = {"small": (40, 400, 4000), "full": (40, 400, 4000, 40_000)}
DAYS = 250
_KNOWN = datetime(2024, 1, 2, tzinfo=UTC)
_FROM, _TO = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_COLUMNS = "conid, opened_at, open, high, low, close, volume"
_BARE = (
    "conid bigint, opened_at timestamptz, open float8, high float8, low float8, close float8, volume float8,"
    " primary key (conid, opened_at)"
)
_HEAD = 19
_LAYOUT = np.dtype([
    ("fields", ">i2"), ("length", ">i4"), ("conid", ">i8"), ("width", ">i4"), ("opened_at", ">i8"), ("values", "V60"),
])  # fmt: skip


def run(scale: str = "small") -> Iterator[Table]:
    """Compare at 10,000, 100,000 and 1,000,000 bars, at the scale `full` also at ten million."""
    columns = ("", "bars", "seconds", "bars/s", "x limit", "x pandas", "MiB more")
    with start_server() as server:
        for symbols in SCALES[scale]:
            rows = _at(new_database(server, f"bars_{symbols}"), symbols)
            yield Table(
                f"B1 and B2, {symbols * DAYS:,} bars of {symbols:,} symbols, beside the bare copy", columns, rows
            )


def _at(url: str, symbols: int) -> list[tuple[str, ...]]:
    bars = random_bars(symbols, DAYS)
    rounds = 5 if len(bars) <= 100_000 else 3 if len(bars) <= 1_000_000 else 1
    database = Database(url, statement_timeout_s=600)
    store = PostgresBars(database)
    conids = list(range(1, symbols + 1))
    store.save_instruments([Instrument(i, f"S{i:05d}", "NASDAQ") for i in conids])
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    has_pandas = len(bars) <= 100_000  # a minute a round beyond that

    def save(batch: pd.DataFrame) -> None:
        store.save_bars(batch, BarSize.DAY, source="bench", known_from=_KNOWN)

    def save_first() -> None:
        _empty(url)
        save(bars)

    def load() -> pd.DataFrame:
        return store.load_bars(conids, BarSize.DAY, _FROM, end, has_versions=False)

    def load_versions() -> pd.DataFrame:
        return store.load_bars(conids, BarSize.DAY, _FROM, end)

    save(bars)
    ready = _ready_stream(url)
    sides: dict[str, Callable[[], object]] = {"limit": lambda: _copy_in(url, ready, is_first=True)}
    if has_pandas:
        sides["pandas"] = lambda: bars.to_sql("bench_to_sql", engine, if_exists="replace", index=False)
    first = compare("save the first bars", len(bars), save_first, sides, rounds=rounds)
    found = [_row(first, peak_mib(save_first))]

    batches = [_moved(bars, ready, place) for place in range(1, rounds + 1)]
    later, streams = iter([batch for batch, _ in batches]), iter([stream for _, stream in batches])
    sides = {"limit": lambda: _copy_in(url, next(streams), is_first=False)}
    found.append(_row(compare("save later days", len(bars), lambda: save(next(later)), sides, rounds=rounds)))
    found.append(_row(compare("save the same again", len(bars), lambda: save(bars), {}, rounds=rounds)))

    batches.clear()
    save_first()
    _copy_in(url, ready, is_first=True)
    end = bars["opened_at"].max().to_pydatetime() + timedelta(seconds=1)
    sides = {"limit": lambda: _copy_out(url)}
    if has_pandas:
        sides["pandas"] = lambda: pd.read_sql("bench_bare", engine)
    found.append(_row(compare("read to a frame", len(bars), load, sides, rounds=rounds), peak_mib(load)))
    sides = {"limit": lambda: _copy_out(url)}
    named = "read with version and hash"
    found.append(_row(compare(named, len(bars), load_versions, sides, rounds=rounds), peak_mib(load_versions)))
    database.close()
    engine.dispose()
    return found


def _row(found: Comparison, peak: float | None = None) -> tuple[str, ...]:
    ratios = (found.others_s.get(side) for side in ("limit", "pandas"))
    return (
        found.name, f"{found.rows:,}", f"{found.ours_s:.3f}", f"{found.rows / found.ours_s:,.0f}",
        *("" if seconds is None else f"{seconds / found.ours_s:.2f}" for seconds in ratios),
        "" if peak is None else f"{peak:,.0f}",
    )  # fmt: skip


def _moved(bars: pd.DataFrame, ready: bytes, place: int) -> tuple[pd.DataFrame, bytes]:
    """The same bars some years later, as a frame and as a stream."""
    days = 1000 * place
    body = np.frombuffer(bytearray(ready[_HEAD:-2]), dtype=_LAYOUT)
    body["opened_at"] += days * 86_400_000_000
    moved = bars.assign(opened_at=bars["opened_at"] + timedelta(days=days))
    return moved, ready[:_HEAD] + body.tobytes() + ready[-2:]


def _empty(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("truncate md.bar")


def _ready_stream(url: str) -> bytes:
    statement = f"copy md.bar ({_COLUMNS}) to stdout (format binary)"
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as stream:
        return b"".join(bytes(piece) for piece in stream)


def _copy_in(url: str, ready: bytes, *, is_first: bool) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        if is_first:
            cursor.execute("drop table if exists bench_bare")
            cursor.execute(f"create table bench_bare ({_BARE})")
        with cursor.copy(f"copy bench_bare ({_COLUMNS}) from stdin (format binary)") as stream:
            for start in range(0, len(ready), 1 << 20):
                stream.write(ready[start : start + (1 << 20)])


def _copy_out(url: str) -> None:
    statement = "copy bench_bare to stdout (format binary)"
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as stream:
        stream.read()
        size = 3
        while size > 2:  # as psql does: a message at a time, and away with it; the last has two bytes
            size, _ = connection.pgconn.get_copy_data(0)
        stream.read()
