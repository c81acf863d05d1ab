"""Instruments and versioned bars in Postgres: with verdicts and features, the `BarStore` of the system of record.

What goes here: set-based SQL over batches that arrive by COPY. What does not: when to fetch which bars (`ingest`), what
a row must have to be a bar (`bar_rows`), reading (`bar_frames`), and what is inherited: verdicts, gaps, marks, proofs
and features, each in a module of its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from psycopg import errors
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.bar_frames import read_bars
from ibkr_assets.adapters.postgres.bar_rows import VALUES, BarRows, bar_rows, instants
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.features import PostgresFeatures
from ibkr_assets.adapters.postgres.gaps import PostgresGaps
from ibkr_assets.adapters.postgres.marks import PostgresMarks
from ibkr_assets.adapters.postgres.proofs import PostgresProofs
from ibkr_assets.adapters.postgres.turns import take_turns
from ibkr_assets.adapters.postgres.verdicts import PostgresVerdicts
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ports import BarsSaved

#: Instruments that have a bar where these would go: theirs are compared, the others' are new without a look.
STORED = """
select conid from unnest(%(conids)s::bigint[]) as wanted (conid)
where exists (
  select from md.bar b where b.conid = wanted.conid and b.bar_size = %(size)s
    and b.opened_at >= %(first)s and b.opened_at <= %(last)s)
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


class PostgresBars(PostgresVerdicts, PostgresGaps, PostgresMarks, PostgresProofs, PostgresFeatures):
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
            take_turns(connection, "md.bar", conids)
            is_stored = _is_stored(connection, rows, conids)
            new, others = rows.where(~is_stored), rows.where(is_stored)
            if len(new):
                _copy_new(connection, new, source=source, known_from=known_from)
            if not len(others):
                return BarsSaved(len(new), 0, 0)
            _copy_bars(connection, others)
            changed = connection.execute(CHANGED, arguments).rowcount
            revised = connection.execute(CLOSE, arguments).rowcount
            connection.execute(OPEN, arguments)
            connection.execute("drop table incoming, changed")
        return BarsSaved(len(new) + changed - revised, revised, len(others) - changed)

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
        has_verdicts: bool = False,
        has_versions: bool = True,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """Bars opened in [start, end): BAR_COLUMNS plus `version` (int) and `row_sha` (hex), by conid and time.

        Current versions, or those that were known at `as_of`. With `is_validated` only bars whose version passed
        validation; with `has_verdicts` a column `is_accepted` says which have. Without `has_versions` neither `version`
        nor `row_sha` comes. A missing number is NaN; `opened_at` is aware UTC.
        """
        with self._database.connect() as connection:
            return read_bars(
                connection, conids, size, start, end,
                is_validated=is_validated, has_verdicts=has_verdicts, has_versions=has_versions, as_of=as_of,
            )  # fmt: skip


def _conid(instrument: Instrument) -> int:
    return instrument.conid


def _is_stored(connection: Connection, rows: BarRows, conids: list[int]) -> npt.NDArray[np.bool_]:
    """Which rows belong to an instrument that has bars between the first and the last of these."""
    first, last = instants(np.array([rows.opened_us.min(), rows.opened_us.max()]))
    arguments = {"conids": conids, "size": rows.size.value, "first": first, "last": last}
    stored = [conid for (conid,) in connection.execute(STORED, arguments).fetchall()]
    return np.isin(rows.conids, np.array(stored, dtype=np.int64))


def _copy_new(connection: Connection, rows: BarRows, *, source: str, known_from: datetime) -> None:
    """First versions, straight into the table."""
    count = len(rows)
    columns = [
        *_bar_columns(rows),
        copy_binary.constant(rows.size.value.encode(), count),
        copy_binary.constant(copy_binary.int4_bytes(1), count),
        copy_binary.constant(copy_binary.timestamptz_bytes(known_from), count),
        copy_binary.constant(source.encode(), count),
    ]
    copy_binary.copy(
        connection,
        "copy md.bar "
        "(conid, opened_at, open, high, low, close, volume, row_sha, bar_size, version, known_from, source) "
        "from stdin (format binary)",
        columns,
    )


def _copy_bars(connection: Connection, rows: BarRows) -> None:
    connection.execute(INCOMING)
    copy_binary.copy(connection, "copy incoming from stdin (format binary)", _bar_columns(rows))
    connection.execute("analyze incoming")


def _bar_columns(rows: BarRows) -> list[copy_binary.Column]:
    return [
        copy_binary.int8(rows.conids),
        copy_binary.timestamptz(rows.opened_us),
        *(copy_binary.float8(rows.values[:, place]) for place in range(len(VALUES))),
        copy_binary.bytea_made(len(rows), rows.shas),
    ]


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
