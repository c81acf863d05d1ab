"""Instruments and versioned bars in Postgres: with verdicts and features, the `BarStore` of the system of record.

What goes here: set-based SQL over batches that arrive by COPY. What does not: when to fetch which bars (`ingest`),
what a row must have to be a bar (`adapters.postgres.bar_rows`), verdicts and gaps (`adapters.postgres.verdicts`), and
features (`adapters.postgres.features`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.bar_rows import VALUES, BarRows, bar_rows, instants
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.features import PostgresFeatures
from ibkr_assets.adapters.postgres.verdicts import PostgresVerdicts
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ports import BarsSaved

# One writer an instrument at a time: two fetches of the same bars would both take the next version.
LOCK_INSTRUMENTS = """
select pg_advisory_xact_lock(hashtextextended('md.bar ' || conid, 0))
from (select unnest(%s::bigint[]) as conid order by conid) as wanted
"""
INCOMING = """
create temporary table incoming (
  conid bigint, opened_at timestamptz, open double precision, high double precision, low double precision,
  close double precision, volume double precision, row_sha bytea
) on commit drop
"""
CHANGED = """
create temporary table changed on commit drop as
select i.*, b.version as old_version, b.known_from as old_known_from
from incoming i
left join md.bar b on b.conid = i.conid and b.bar_size = %(size)s and b.opened_at = i.opened_at and b.known_to is null
where b.row_sha is distinct from i.row_sha
"""
CLOSE = """
update md.bar b set known_to = greatest(%(known_from)s, b.known_from)
from changed c
where c.old_version is not null
  and b.conid = c.conid and b.bar_size = %(size)s and b.opened_at = c.opened_at and b.version = c.old_version
"""
OPEN = """
insert into md.bar (conid, bar_size, opened_at, version, known_from, open, high, low, close, volume, source, row_sha)
select conid, %(size)s, opened_at, coalesce(old_version, 0) + 1, greatest(%(known_from)s, old_known_from),
  open, high, low, close, volume, %(source)s, row_sha
from changed
"""
LOAD = """
select b.conid, i.symbol, (extract(epoch from b.opened_at) * 1000000)::bigint,
  b.open, b.high, b.low, b.close, b.volume, b.version, encode(b.row_sha, 'hex')
from md.bar b
join md.instrument i using (conid)
where b.conid = any(%(conids)s) and b.bar_size = %(size)s and b.opened_at >= %(start)s and b.opened_at < %(end)s
  and {known}
  and (not %(is_validated)s or exists (
    select from md.bar_verdict v
    where v.conid = b.conid and v.bar_size = b.bar_size and v.opened_at = b.opened_at and v.version = b.version
      and v.verdict = 'accepted'))
order by b.conid, b.opened_at
"""
CURRENT = sql.SQL("b.known_to is null")
AS_OF = sql.SQL("b.known_from <= %(as_of)s and (b.known_to is null or %(as_of)s < b.known_to)")


class PostgresBars(PostgresVerdicts, PostgresFeatures):
    """Implements `ports.BarStore`. Every method is one transaction; any number of processes may use it at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Store instruments by conid; a newer description replaces the older one.

        Raises DataError when a symbol belongs to another conid already.
        """
        rows = [(i.conid, i.symbol, i.exchange, i.currency, i.tick, i.lot) for i in sorted(instruments, key=_conid)]
        statement = """
            insert into md.instrument as old (conid, symbol, exchange, currency, tick, lot, resolved_at)
            values (%s, %s, %s, %s, %s, %s, clock_timestamp())
            on conflict (conid) do update set (symbol, exchange, currency, tick, lot, resolved_at) = (
              excluded.symbol, excluded.exchange, excluded.currency, excluded.tick, excluded.lot, excluded.resolved_at)
        """
        try:
            with self._database.connect() as connection:
                connection.cursor().executemany(statement, rows)
        except errors.UniqueViolation as error:
            raise DataError(f"instruments: {error.diag.message_detail}") from None

    def instruments(self, symbols: Sequence[str] | None = None) -> list[Instrument]:
        """Known instruments, by symbol. Raises InputError naming the symbols that are not known."""
        with self._database.connect() as connection:
            rows = connection.execute(
                "select conid, symbol, exchange, currency, tick, lot from md.instrument "
                "where %(symbols)s::text[] is null or symbol = any(%(symbols)s)",
                {"symbols": None if symbols is None else list(symbols)},
            ).fetchall()
        found = sorted((Instrument(*row) for row in rows), key=lambda instrument: instrument.symbol)
        unknown = sorted(set(symbols or ()) - {instrument.symbol for instrument in found})
        if unknown:
            raise InputError(f"symbols: not known: {', '.join(unknown)}")
        return found

    def save_bars(self, bars: pd.DataFrame, size: BarSize, *, source: str, known_from: datetime) -> BarsSaved:
        """Store bars as fetched. The same values again write nothing; other values close the old version.

        A number that is not finite is stored as missing. Rows that are no bars at all go to `md.rejected_row`, with
        the reason. Raises DataError when a column is missing or an instrument is not known.
        """
        rows, rejected = bar_rows(bars, size)
        conids = np.unique(rows.conids).tolist()
        arguments = {"size": size.value, "known_from": known_from, "source": source}
        with self._database.connect() as connection:
            _save_rejected(connection, rejected.rows, arguments)
            if not conids:
                return BarsSaved(0, 0, 0)
            _refuse_unknown(connection, conids)
            connection.execute(LOCK_INSTRUMENTS, (conids,))
            _copy_bars(connection, rows)
            changed = connection.execute(CHANGED, arguments).rowcount
            revised = connection.execute(CLOSE, arguments).rowcount
            connection.execute(OPEN, arguments)
            connection.execute("drop table incoming, changed")
        return BarsSaved(inserted=changed - revised, revised=revised, unchanged=len(rows.conids) - changed)

    def save_rejected(self, rows: pd.DataFrame, size: BarSize, *, source: str, known_from: datetime) -> None:
        """Keep rows that are no bars: any columns, of them `conid` (which may be missing) and `reason`."""
        with self._database.connect() as connection:
            _save_rejected(connection, rows, {"size": size.value, "known_from": known_from, "source": source})

    def load_bars(
        self,
        conids: Sequence[int],
        size: BarSize,
        start: datetime,
        end: datetime,
        *,
        is_validated: bool = False,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """Bars opened in [start, end): BAR_COLUMNS plus `version` (int) and `row_sha` (hex), by conid and time.

        Current versions, or those that were known at `as_of`. With `is_validated` only bars whose version passed
        validation. A missing number is NaN; `opened_at` is aware UTC.
        """
        statement = sql.SQL(LOAD).format(known=CURRENT if as_of is None else AS_OF)
        arguments = {
            "conids": list(conids), "size": size.value, "start": start, "end": end,
            "is_validated": is_validated, "as_of": as_of,
        }  # fmt: skip
        with self._database.connect() as connection:
            rows = connection.execute(statement, arguments).fetchall()
        frame = pd.DataFrame(rows, columns=[*BAR_COLUMNS, "version", "row_sha"])
        frame["opened_at"] = instants(frame["opened_at"].to_numpy(dtype=np.int64))
        return frame.astype({"conid": "int64", "version": "int64", **dict.fromkeys(VALUES, "float64")})


def _conid(instrument: Instrument) -> int:
    return instrument.conid


def _copy_bars(connection: Connection, rows: BarRows) -> None:
    connection.execute(INCOMING)
    columns = [
        copy_binary.int8(rows.conids),
        copy_binary.timestamptz(rows.opened_us),
        *(copy_binary.float8(rows.values[:, place]) for place in range(len(VALUES))),
        copy_binary.bytea(rows.sha),
    ]
    copy_binary.copy(connection, "copy incoming from stdin (format binary)", columns)
    connection.execute("analyze incoming")


def _refuse_unknown(connection: Connection, conids: list[int]) -> None:
    rows = connection.execute("select conid from md.instrument where conid = any(%s)", (conids,)).fetchall()
    unknown = sorted(set(conids) - {row[0] for row in rows})
    if unknown:
        raise DataError(f"conid: no instrument is known for {unknown}; save instruments before their bars")


def _save_rejected(connection: Connection, rows: pd.DataFrame, arguments: dict[str, Any]) -> None:
    found = []
    for row in rows.to_dict("records"):
        reason = row.pop("reason")
        conid = None if pd.isna(row["conid"]) else int(row["conid"])  # a column with a hole in it is made of floats
        raw = {str(name): None if pd.isna(value) else str(value) for name, value in row.items()}
        raw["conid"] = None if conid is None else str(conid)
        sha = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).digest()
        moment = row.get("opened_at")
        opened_at = moment if isinstance(moment, pd.Timestamp) and moment.tzinfo is not None else None
        source, seen_at = arguments["source"], arguments["known_from"]
        found.append((conid, arguments["size"], opened_at, Jsonb(raw), sha, reason, source, seen_at))
    if found:
        connection.cursor().executemany(
            "insert into md.rejected_row (conid, bar_size, opened_at, raw, raw_sha, reason, source, seen_at) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            found,
        )
