"""A second, real Postgres database with a table of bars that is not ours, its names as odd as names can be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from ibkr_assets.adapters.source_settings import ForeignTableSettings

SCHEMA, TABLE = 'their "data"', "bars; drop table bars --"
COLUMNS = {
    "symbol": "Ticker", "time": 'ts"', "open": "o", "high": "h", "low": "l", "close": "select", "volume": "vol %s",
}  # fmt: skip
TYPES = ("text", "timestamptz", "double precision", "double precision", "double precision", "numeric", "bigint")


@dataclass
class Foreign:
    """The database by its owner's URL."""

    url: str

    def settings(self, **changes: Any) -> ForeignTableSettings:
        values = {"url": self.url, "table_schema": SCHEMA, "table": TABLE, "columns": COLUMNS} | changes
        return ForeignTableSettings.model_validate(values)

    def create(self, types: Sequence[str] = TYPES) -> None:
        """The table, anew."""
        pairs = [
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in zip(COLUMNS.values(), types, strict=True)
        ]
        with psycopg.connect(self.url) as connection:
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
            connection.execute(sql.SQL("drop table if exists {} cascade").format(sql.Identifier(SCHEMA, TABLE)))
            connection.execute(
                sql.SQL("create table {} ({})").format(sql.Identifier(SCHEMA, TABLE), sql.SQL(", ").join(pairs))
            )

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Rows of symbol, time and the five values, as text that the table's types can read."""
        with psycopg.connect(self.url) as connection:
            connection.cursor().executemany(
                sql.SQL("insert into {} values (%s, %s, %s, %s, %s, %s, %s)").format(sql.Identifier(SCHEMA, TABLE)),
                [[None if value is None else str(value) for value in row] for row in rows],
            )

    def add_bars(self, bars: pd.DataFrame, times: Sequence[Any] | None = None) -> None:
        """A frame of bars; `times` in place of their openings."""
        moments = bars["opened_at"].tolist() if times is None else times
        values = bars[["open", "high", "low", "close"]].astype(object).to_numpy().tolist()
        volumes = bars["volume"].astype("int64").tolist()
        rows = zip(bars["symbol"].tolist(), moments, values, volumes, strict=True)
        self.add([[symbol, moment, *map(repr, prices), volume] for symbol, moment, prices, volume in rows])


@contextmanager
def foreign_database(server: Any) -> Iterator[Foreign]:
    """A new database on `server` with an empty table; dropped afterwards."""
    name = f"theirs_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(f"create database {name} owner ibkr_platform")
    try:
        foreign = Foreign(server.url(name, "ibkr_platform"))
        foreign.create()
        yield foreign
    finally:
        with server.connect() as connection:
            connection.execute(f"drop database {name} with (force)")
