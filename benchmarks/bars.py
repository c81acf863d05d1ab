"""Storing bars as versions, against a bare COPY into a keyed table and against pandas' to_sql."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
from sqlalchemy import create_engine

from benchmarks.features import random_bars
from benchmarks.measure import Comparison, compare
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.migrate import migrate
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.stack.postgres import EmbeddedPostgres

_KNOWN = datetime(2024, 1, 2, tzinfo=UTC)


def run() -> list[Comparison]:
    """Compare at 5,000 and 50,000 bars on an embedded server with its durable settings."""
    data_dir = Path(tempfile.mkdtemp(prefix="ibkr-assets-bench-"))
    data_dir.chmod(0o755)
    server = EmbeddedPostgres(data_dir)
    try:
        server.start()
        server.ensure_databases()
        url = server.url("platform", "ibkr_platform")
        migrate(url)
        return [_at(url, symbols) for symbols in (20, 200)]
    finally:
        server.stop()
        shutil.rmtree(data_dir)


def _at(url: str, symbols: int, days: int = 250) -> Comparison:
    bars = random_bars(symbols, days)
    store = PostgresBars(Database(url))
    store.save_instruments([Instrument(i, f"S{i:04d}", "NASDAQ") for i in range(1, symbols + 1)])
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    return compare(
        f"save bars as versions, {symbols} symbols",
        len(bars),
        _fresh(lambda moved: store.save_bars(moved, BarSize.DAY, source="bench", known_from=_KNOWN), bars),
        {
            "COPY into a bare keyed table (the limit)": _fresh(lambda moved: _copy(url, moved), bars),
            "pandas to_sql": lambda: bars.to_sql("bench_to_sql", engine, if_exists="replace", index=False),
        },
        rounds=3,
    )


def _fresh(way: Callable[[pd.DataFrame], object], bars: pd.DataFrame) -> Callable[[], object]:
    """Each round stores bars of other days, so that every one of them is new."""
    rounds = iter(range(1, 100))

    def run() -> object:
        moved = bars.copy()
        moved["opened_at"] = moved["opened_at"] + timedelta(days=1000 * next(rounds))
        return way(moved)

    return run


def _copy(url: str, bars: pd.DataFrame) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("drop table if exists bench_bare")
        cursor.execute(
            "create table bench_bare (conid bigint, opened_at timestamptz, o float8, h float8, l float8,"
            " c float8, v float8, primary key (conid, opened_at))"
        )
        columns = ["conid", "opened_at", "open", "high", "low", "close", "volume"]
        with cursor.copy("copy bench_bare from stdin") as copy:
            for row in bars[columns].itertuples(index=False):
                copy.write_row(row)
