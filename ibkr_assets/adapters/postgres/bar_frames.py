"""Stored bars as a frame, with the verdicts on them where these are asked for.

What goes here: the one query and the columns that it gives. What does not: how many rows come at once
(`packed_rows`), and storing (`bars`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from psycopg import sql

from ibkr_assets.adapters.postgres.bar_rows import VALUES, instants
from ibkr_assets.adapters.postgres.connection import Connection
from ibkr_assets.adapters.postgres.packed_rows import (
    FLAG,
    FLOAT,
    INSTANT,
    INTEGER,
    SHA256,
    Kind,
    PackedRows,
    packed,
    read_packed,
)
from ibkr_assets.domain.bar import BarSize

LOAD = """
select b.conid, {columns}
from md.bar b {verdicts}
where b.conid = any(%(conids)s::bigint[]) and b.bar_size = %(size)s
  and b.opened_at >= %(start)s and b.opened_at < %(end)s and {known}
group by b.conid order by b.conid
"""
VALUES_ALONE = {"opened_at": INSTANT, **dict.fromkeys(VALUES, FLOAT)}
VERSIONS = {"version": INTEGER, "row_sha": SHA256}
IS_ACCEPTED = packed(sql.SQL("v.conid is not null"), FLAG, sql.SQL("b.opened_at"))
VERDICTS = sql.SQL("""
join md.bar_verdict v
  on v.conid = b.conid and v.bar_size = b.bar_size and v.opened_at = b.opened_at and v.version = b.version
  and v.conid = any(%(conids)s::bigint[]) and v.bar_size = %(size)s
  and v.opened_at >= %(start)s and v.opened_at < %(end)s and v.verdict = 'accepted'
""")
#: Both sides lie in the order of the join; a planner that expects few bars would look for each verdict alone.
BY_MERGE = "set local enable_nestloop = off; set local enable_hashjoin = off"
CURRENT = sql.SQL("b.known_to is null")
AS_OF = sql.SQL("b.known_from <= %(as_of)s and (b.known_to is null or %(as_of)s < b.known_to)")


def read_bars(
    connection: Connection,
    conids: Sequence[int],
    size: BarSize,
    start: datetime,
    end: datetime,
    *,
    is_validated: bool,
    has_verdicts: bool,
    has_versions: bool,
    as_of: datetime | None,
) -> pd.DataFrame:
    """As `PostgresBars.load_bars` says."""
    kinds = VALUES_ALONE | (VERSIONS if has_versions else {})
    columns = [_packed(name, kind) for name, kind in kinds.items()]
    if has_verdicts:
        kinds |= {"is_accepted": FLAG}
        columns.append(IS_ACCEPTED)
    left = sql.SQL("left ") if has_verdicts and not is_validated else sql.SQL("")
    statement = sql.SQL(LOAD).format(
        columns=sql.SQL(", ").join(columns),
        known=CURRENT if as_of is None else AS_OF,
        verdicts=left + VERDICTS if is_validated or has_verdicts else sql.SQL(""),
    )
    found = connection.execute("select conid, symbol from md.instrument where conid = any(%s)", (list(conids),))
    symbols: dict[int, str] = dict(found.fetchall())
    if is_validated or has_verdicts:
        connection.execute(BY_MERGE)
    arguments = {"conids": list(symbols), "size": size.value, "start": start, "end": end, "as_of": as_of}
    return _frame(read_packed(connection, statement, arguments, kinds), symbols)


def _packed(name: str, kind: Kind) -> sql.Composed:
    """A column of bars, by time. Nulls come as NaN, which no stored number is."""
    column = sql.SQL("coalesce(b.{}, 'NaN')" if kind is FLOAT else "b.{}").format(sql.Identifier(name))
    return packed(column, kind, sql.SQL("b.opened_at"))


def _frame(read: PackedRows, symbols: Mapping[int, str]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "conid": np.repeat(read.keys, read.counts),
        "symbol": np.repeat(np.array([symbols[conid] for conid in read.keys.tolist()], dtype=object), read.counts),
        **{name: read.take(name) for name in read.kinds},
    }
    columns["opened_at"] = instants(columns["opened_at"])
    if "version" in columns:
        columns["version"] = columns["version"].astype(np.int64)
    return pd.DataFrame(columns, copy=False)
