"""Storing and reading bars as versions, beside a ready stream copied into a bare keyed table, and beside pandas.

The limit is what psql's copy does: bytes that are ready go into a table of seven columns and one key, and come out of
it unread. Ours hashes each bar, locks its instrument, checks it, keeps where it came from and since when it is known.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import psycopg
from sqlalchemy import create_engine

from benchmarks.features import random_bars
from benchmarks.measure import Comparison, compare
from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument

_KNOWN = datetime(2024, 1, 2, tzinfo=UTC)
_FROM, _TO = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_COLUMNS = "conid, opened_at, open, high, low, close, volume"
_BARE = (
    "conid bigint, opened_at timestamptz, open float8, high float8, low float8, close float8, volume float8,"
    " primary key (conid, opened_at)"
)


def run() -> list[Comparison]:
    """Compare at 10,000, 100,000 and 1,000,000 bars on an embedded server with its durable settings."""
    found = []
    with start_server() as server:
        for symbols in (40, 400, 4000):
            found += _at(new_database(server, f"bars_{symbols}"), symbols)
    return found


def _at(url: str, symbols: int, days: int = 250) -> list[Comparison]:
    bars = random_bars(symbols, days)
    database = Database(url)
    store = PostgresBars(database)
    conids = list(range(1, symbols + 1))
    store.save_instruments([Instrument(i, f"S{i:04d}", "NASDAQ") for i in conids])
    store.save_bars(bars, BarSize.DAY, source="bench", known_from=_KNOWN)
    ready = _ready_stream(url)
    sides: dict[str, Callable[[], object]] = {
        "ready stream into a bare keyed table (the limit)": lambda: _copy_in(url, ready)
    }
    is_small = len(bars) <= 100_000
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    if is_small:
        sides["pandas to_sql"] = lambda: bars.to_sql("bench_to_sql", engine, if_exists="replace", index=False)
    save = _fresh(lambda moved: store.save_bars(moved, BarSize.DAY, source="bench", known_from=_KNOWN), bars)
    stored = compare(f"B1 save bars as versions, {symbols} symbols", len(bars), save, sides, rounds=3)
    again = compare(
        f"B1 the same bars again, {symbols} symbols",
        len(bars),
        lambda: store.save_bars(bars, BarSize.DAY, source="bench", known_from=_KNOWN),
        {},
        rounds=3,
    )
    # Every round of storing added bars of later days; what is read is the first batch.
    end = bars["opened_at"].max().to_pydatetime() + timedelta(seconds=1)
    sides = {"copied out of the bare table, unread (the limit)": lambda: _copy_out(url)}
    if is_small:
        sides["pandas read_sql"] = lambda: pd.read_sql("bench_bare", engine)

    def load() -> pd.DataFrame:
        return store.load_bars(conids, BarSize.DAY, _FROM, end)

    read = compare(f"B2 read bars to a frame, {symbols} symbols", len(bars), load, sides, rounds=3)
    results = [replace(stored, note=_peak(save)), again, replace(read, note=_peak(load))]
    database.close()
    engine.dispose()
    return results


def _peak(way: Callable[[], object]) -> str:
    tracemalloc.start()
    try:
        way()
        return f"peak memory of ours {tracemalloc.get_traced_memory()[1] / 2**20:,.0f} MiB"
    finally:
        tracemalloc.stop()


def _fresh(way: Callable[[pd.DataFrame], object], bars: pd.DataFrame) -> Callable[[], object]:
    """Each round stores bars of other days, so that every one of them is new. Moving them is part of the time."""
    rounds = iter(range(1, 100))

    def run() -> object:
        return way(bars.assign(opened_at=bars["opened_at"] + timedelta(days=1000 * next(rounds))))

    return run


def _ready_stream(url: str) -> bytes:
    statement = f"copy md.bar ({_COLUMNS}) to stdout (format binary)"
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as stream:
        return b"".join(bytes(piece) for piece in stream)


def _copy_in(url: str, ready: bytes) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
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
