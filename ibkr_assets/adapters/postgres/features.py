"""Feature rows in Postgres: one array a bar, its names stored once for each feature digest, and states to go on from.

What goes here: storing and loading. What does not: what a feature is, which is `features`' work, and which bars it
rests on (`feature_inputs`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from psycopg import sql

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.bar_rows import instants, microseconds
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
from ibkr_assets.adapters.postgres.feature_inputs import SavedInputs, save_inputs
from ibkr_assets.adapters.postgres.feature_reruns import agree_until, hex_bytes, stored_names
from ibkr_assets.adapters.postgres.packed_rows import FLOAT, INSTANT, packed, read_packed
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.state import Actions, FeatureInputs, FeatureStart, FeatureState
from ibkr_assets.market.adjustment import CorporateAction

LOAD_START = """
select e.conid, e.epoch, s.opened_at, s.averages, s.lists, s.actions
from md.bar_epoch e
left join lateral (
  select t.opened_at, t.averages, f.lists, f.actions
  from research.feature_state t join research.feature_input f on f.sha256 = t.input_sha256
  where t.conid = e.conid and t.bar_size = e.bar_size and t.feature_digest = %(digest)s and t.opened_at < %(before)s
    and t.epoch = e.epoch
  order by t.opened_at desc limit 1) as s on true
where e.conid = any(%(conids)s) and e.bar_size = %(size)s
"""
SAVE_STATES = """
insert into research.feature_state (conid, bar_size, feature_digest, opened_at, epoch, averages, input_sha256)
select n.conid, %(size)s, %(digest)s, 'epoch'::timestamptz + n.opened_us * interval '1 microsecond', n.epoch,
  n.averages::double precision[], n.input
from unnest(%(conids)s::bigint[], %(ends)s::bigint[], %(epochs)s::bigint[], %(averages)s::text[], %(inputs)s::text[])
  as n (conid, opened_us, epoch, averages, input)
order by n.conid
on conflict (conid, bar_size, feature_digest, opened_at) do update
  set epoch = excluded.epoch, averages = excluded.averages, input_sha256 = excluded.input_sha256
"""
#: A session that is run again goes on from the one before it; longer ago, starting from the first bar is as good.
FORGET_STATES = """
delete from research.feature_state t
using unnest(%(conids)s::bigint[], %(ends)s::bigint[]) as n (conid, opened_us)
where t.conid = n.conid and t.bar_size = %(size)s and t.feature_digest = %(digest)s
  and t.opened_at < 'epoch'::timestamptz + n.opened_us * interval '1 microsecond' - interval '30 days'
"""
MERGE = """
insert into research.feature as old (conid, bar_size, opened_at, feature_digest, "values", input_sha256)
select conid, %(size)s, opened_at, %(digest)s, "values", nullif(input, '') from incoming
order by conid, opened_at
on conflict (conid, bar_size, feature_digest, opened_at) do update
  set "values" = excluded."values", input_sha256 = excluded.input_sha256
  where (old."values", old.input_sha256) is distinct from (excluded."values", excluded.input_sha256)
"""
LOAD = """
select conid, {columns} from research.feature
where conid = any(%(conids)s::bigint[]) and bar_size = %(size)s and opened_at >= %(start)s and opened_at < %(end)s
  and feature_digest = %(digest)s
group by conid order by conid
"""
_OPENED = sql.SQL("opened_at")


class PostgresFeatures:
    """Features by digest. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_features(
        self, features: pd.DataFrame, size: BarSize, *, feature_digest: str, inputs: FeatureInputs | None = None
    ) -> int:
        """Store rows of features (conid, opened_at, one column a feature); NaN becomes NULL. Returns the rows.

        Rows that come again replace the earlier ones; where neither values nor inputs changed, nothing is written.
        Each row keeps which bar versions and actions it rests on, each instrument the averages to go on from. Raises
        DataError when the columns of a digest change.
        """
        names = [name for name in features.columns if name not in ("conid", "opened_at")]
        arguments = {"size": size.value, "digest": feature_digest}
        with self._database.connect() as connection:
            _save_feature_names(connection, feature_digest, names)
            if features.empty:
                return 0
            saved = SavedInputs() if inputs is None else save_inputs(connection, inputs, size)
            conids, opened = features["conid"].to_numpy(dtype=np.int64), microseconds(features["opened_at"])
            first, last = instants(np.array([opened.min(), opened.max()]))
            there = stored_names(
                connection, arguments | {"conids": np.unique(conids).tolist(), "first": first, "last": last}
            )
            columns = [
                copy_binary.int8(conids),
                copy_binary.timestamptz(opened),
                copy_binary.float8_array(features[names].to_numpy(dtype=np.float64)),
            ]
            if there or inputs is None:
                columns.append(_names(connection, conids, opened, saved, there))
                _merge(connection, columns, arguments)
            else:
                columns.append(_new_names(conids, saved))
                _copy(connection, columns, size, feature_digest)
            if inputs is not None:
                _save_states(connection, inputs, saved, arguments)
        return len(features)

    def load_features(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *, feature_digest: str
    ) -> pd.DataFrame:
        """Features of bars opened in [start, end): conid, opened_at (aware UTC), one float column a feature."""
        arguments = {"conids": list(conids), "size": size.value, "start": start, "end": end, "digest": feature_digest}
        with self._database.connect() as connection:
            named = connection.execute(
                "select names from research.feature_set where feature_digest = %s", (feature_digest,)
            ).fetchone()
            names = [] if named is None else list(named[0])
            columns = {"opened_at": _OPENED} | {
                name: sql.SQL("""coalesce("values"[{}], 'NaN')""").format(place + 1) for place, name in enumerate(names)
            }
            kinds = {name: FLOAT if name in names else INSTANT for name in columns}
            query = sql.SQL(LOAD).format(
                columns=sql.SQL(", ").join(packed(column, kinds[name], _OPENED) for name, column in columns.items())
            )
            read = read_packed(connection, query, arguments, kinds)
        values = np.empty((len(names), int(read.counts.sum())))
        for place, name in enumerate(names):
            values[place] = read.take(name)
        frame = pd.DataFrame(values.T, columns=names)
        frame.insert(0, "conid", np.repeat(read.keys, read.counts))
        frame.insert(1, "opened_at", instants(read.take("opened_at")))
        return frame

    def load_feature_start(
        self, conids: Sequence[int], size: BarSize, before: datetime, *, feature_digest: str
    ) -> FeatureStart:
        """The newest states of bars opened before `before` that still hold, and epochs; read it before the bars."""
        arguments = {"conids": list(conids), "size": size.value, "before": before, "digest": feature_digest}
        with self._database.connect() as connection:
            rows = connection.execute(LOAD_START, arguments).fetchall()
        states = {
            conid: FeatureState(opened_at, tuple(averages), tuple(lists), _actions(actions))
            for conid, _, opened_at, averages, lists, actions in rows
            if opened_at is not None
        }
        return FeatureStart({row[0]: row[1] for row in rows}, states)

    def load_actions(self, conids: Sequence[int]) -> list[CorporateAction]:
        """Splits and special dividends of these instruments that hold now, by conid and day."""
        return PostgresCorporateActions(self._database).load(conids)


def _actions(stored: Any) -> Actions:
    rows = json.loads(stored) if isinstance(stored, str) else stored
    return tuple((day, kind, value) for day, kind, value in rows)


def _save_feature_names(connection: Connection, feature_digest: str, names: list[str]) -> None:
    found = connection.execute(
        "with new as (insert into research.feature_set (feature_digest, names) values (%(digest)s, %(names)s) "
        "on conflict do nothing returning names) "
        "select names from new union all select names from research.feature_set where feature_digest = %(digest)s",
        {"digest": feature_digest, "names": names},
    ).fetchone()
    if found is None or list(found[0]) != names:
        raise DataError(f"features: digest {feature_digest} names {found and found[0]}, got {names}")


def _new_names(conids: npt.NDArray[np.int64], saved: SavedInputs) -> copy_binary.Column:
    known, place = np.unique(conids, return_inverse=True)
    table = np.stack([hex_bytes(saved.names[conid]) for conid in known.tolist()])
    return copy_binary.bytea_made(len(conids), lambda rows: table[place[rows]])


def _names(
    connection: Connection,
    conids: npt.NDArray[np.int64],
    opened: npt.NDArray[np.int64],
    saved: SavedInputs,
    there: dict[tuple[int, int], str | None],
) -> copy_binary.Column:
    """The name of each row's input: the one that is stored where it means the same up to the row."""
    rows = list(zip(conids.tolist(), opened.tolist(), strict=True))
    pairs = {
        (old, saved.names[conid])
        for conid, opened_us in rows
        if conid in saved.names and (old := there.get((conid, opened_us))) and old != saved.names[conid]
    }
    same = agree_until(connection, pairs) if pairs else {}
    names = []
    for conid, opened_us in rows:
        new, old = saved.names.get(conid, ""), there.get((conid, opened_us))
        names.append(old if old and opened_us < same.get((old, new), 0) else new)
    if not saved.names:
        return copy_binary.constant(b"", len(rows))
    return copy_binary.bytea(np.stack([hex_bytes(name) for name in names]))


def _copy(connection: Connection, columns: list[copy_binary.Column], size: BarSize, feature_digest: str) -> None:
    columns += [copy_binary.constant(text.encode(), columns[0].rows) for text in (size.value, feature_digest)]
    copy_binary.copy(
        connection,
        'copy research.feature (conid, opened_at, "values", input_sha256, bar_size, feature_digest) '
        "from stdin (format binary)",
        columns,
    )


def _merge(connection: Connection, columns: list[copy_binary.Column], arguments: dict[str, Any]) -> None:
    connection.execute(
        "create temporary table incoming "
        '(conid bigint, opened_at timestamptz, "values" double precision[], input text) on commit drop'
    )
    copy_binary.copy(connection, "copy incoming from stdin (format binary)", columns)
    connection.execute(MERGE, arguments)
    connection.execute("drop table incoming")


def _save_states(connection: Connection, inputs: FeatureInputs, saved: SavedInputs, arguments: dict[str, Any]) -> None:
    conids = [conid for conid in sorted(inputs.averages) if conid in inputs.start.epochs and conid in saved.names]
    rows = {
        "conids": conids,
        "ends": [saved.ends[conid] for conid in conids],
        "epochs": [inputs.start.epochs[conid] for conid in conids],
        "averages": ["{" + ",".join(map(repr, inputs.averages[conid])) + "}" for conid in conids],
        "inputs": [saved.names[conid] for conid in conids],
    }
    connection.execute(SAVE_STATES, arguments | rows)
    connection.execute(FORGET_STATES, arguments | rows)
