"""What validation said of bars, in Postgres.

What goes here: storing verdicts, and holding an instrument back. What does not: judging, which is `market`'s work, and
bars that are missing (`adapters.postgres.gaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.bar_rows import instants, microseconds
from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.turns import take_turns
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError
from ibkr_assets.market.grid import is_ordered
from ibkr_assets.market.quarantine import BarId

#: Instruments of which bars between these instants have a verdict: theirs are compared, the others' are new.
JUDGED_BEFORE = """
select conid from unnest(%(conids)s::bigint[]) as wanted (conid)
where exists (
  select from md.bar_verdict v where v.conid = wanted.conid and v.bar_size = %(size)s
    and v.opened_at >= %(first)s and v.opened_at <= %(last)s)
"""
JUDGED = """
create temporary table judged (conid bigint, opened_at timestamptz, version integer, verdict text, reason text)
on commit drop
"""
JUDGE = """
insert into md.bar_verdict as v (conid, bar_size, opened_at, version, verdict, reason)
select j.conid, %(size)s, j.opened_at, j.version, j.verdict, j.reason
from judged j
left join md.bar_verdict o
  on o.conid = j.conid and o.bar_size = %(size)s and o.opened_at = j.opened_at and o.version = j.version
where o.reason is distinct from j.reason
on conflict (conid, bar_size, opened_at, version) do update
  set verdict = excluded.verdict, reason = excluded.reason, judged_at = excluded.judged_at
  where not exists (
    select from md.quarantine_decision d where d.conid = v.conid and d.bar_size = v.bar_size
      and d.opened_at = v.opened_at and d.version = v.version)
"""
#: A planner that has not yet seen bars of this size may look for each row alone, and through all others each time.
BY_HASH = "set local enable_nestloop = off; set local enable_mergejoin = off"
#: A verdict says something of a bar that is there; a foreign key would ask for each row alone.
WITHOUT_BAR = """
select v.conid, v.opened_at, v.version from md.bar_verdict v
where v.conid = any(%(conids)s::bigint[]) and v.bar_size = %(size)s
  and v.opened_at >= %(first)s and v.opened_at <= %(last)s
  and not exists (
    select from md.bar b where b.conid = v.conid and b.bar_size = v.bar_size and b.opened_at = v.opened_at
      and b.version = v.version and b.conid = any(%(conids)s::bigint[]) and b.bar_size = %(size)s
      and b.opened_at >= %(first)s and b.opened_at <= %(last)s)
limit 1
"""
DECISIONS = """
select conid, (extract(epoch from opened_at) * 1000000)::bigint, version, decision, found
from md.bar_decision
where conid = any(%s) and bar_size = %s and opened_at >= %s and opened_at < %s
order by conid, opened_at, version
"""
#: Once for each version of a bar: an operator who lifted a hold is not overruled by the same bar judged again.
HOLD = """
insert into oms.control (scope, action, actor, reason)
select distinct 'conid:' || h.conid, 'disarm', 'validation', h.reason
from unnest(%(conids)s::bigint[], %(reasons)s::text[]) as h (conid, reason)
where not exists (
  select from oms.control c where c.scope = 'conid:' || h.conid and c.actor = 'validation' and c.reason = h.reason)
"""


NEW: LiteralString = (
    "copy md.bar_verdict (conid, opened_at, version, verdict, reason, bar_size) from stdin (format binary)"
)
OTHERS: LiteralString = "copy judged from stdin (format binary)"


class PostgresVerdicts:
    """Verdicts and holds. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_verdicts(self, size: BarSize, accepted: pd.DataFrame, quarantined: pd.DataFrame) -> None:
        """Store what validation said of these bar versions; a later verdict replaces the earlier one.

        What a person decided on stays as it was decided. The same verdict again writes nothing.

        Both frames name versions by conid, opened_at and version; `quarantined` has a column `reason` beside them. A
        version in both is quarantined. Raises DataError when a bar is quarantined without a reason, or is not stored.
        """
        reasons = quarantined["reason"].astype(str).to_numpy(dtype=object)
        if "" in reasons:
            raise DataError("quarantined: every bar needs a reason")
        if accepted.empty and quarantined.empty:
            return
        judged = _judged(accepted, quarantined, reasons)
        conids = np.unique(judged.conids).tolist()
        first, last = instants(np.array([judged.opened_us.min(), judged.opened_us.max()]))
        arguments = {"conids": conids, "size": size.value, "first": first, "last": last}
        with self._database.connect() as connection:
            take_turns(connection, "md.bar_verdict", conids)
            before = [conid for (conid,) in connection.execute(JUDGED_BEFORE, arguments).fetchall()]
            is_known = np.isin(judged.conids, np.array(before, dtype=np.int64))
            if not is_known.all():
                _copy(connection, NEW, judged.where(~is_known), size)
            if is_known.any():
                connection.execute(JUDGED)
                _copy(connection, OTHERS, judged.where(is_known))
                connection.execute("analyze judged")
                connection.execute(JUDGE, arguments)
                connection.execute("drop table judged")
            connection.execute(BY_HASH)
            stray = connection.execute(WITHOUT_BAR, arguments).fetchone()
            if stray is not None:
                conid, opened_at, version = stray
                raise DataError(f"bar {BarId(conid, size, opened_at, version)}: judged, and not stored")

    def load_decisions(self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """What people decided on bars opened in [start, end): conid, opened_at, version, decision, found.

        One row a version of a bar, its last decision: `release` or `reject`, and what validation had said.
        """
        with self._database.connect() as connection:
            rows = connection.execute(DECISIONS, (list(conids), size.value, start, end)).fetchall()
        frame = pd.DataFrame(rows, columns=["conid", "opened_at", "version", "decision", "found"])
        frame["opened_at"] = instants(frame["opened_at"].to_numpy(dtype=np.int64))
        return frame.astype({"conid": "int64", "version": "int64"})

    def save_holds(self, suspects: pd.DataFrame) -> None:
        """Keep the instruments of these bars (conid, symbol, opened_at, version, reason) from trading.

        Until an operator resumes them; the same version of a bar holds its instrument once. Without a bar to name,
        `version` is 0.
        """
        if suspects.empty:
            return
        rows = suspects.to_dict("records")
        reasons = [_hold_text(row) for row in rows]
        with self._database.connect() as connection:
            connection.execute(HOLD, {"conids": [int(row["conid"]) for row in rows], "reasons": reasons})


@dataclass(frozen=True, slots=True)
class _Judged:
    """Versions of bars by conid, instant and version, each once, with the reason against it, or ""."""

    conids: npt.NDArray[np.int64]
    opened_us: npt.NDArray[np.int64]
    versions: npt.NDArray[np.int64]
    reasons: npt.NDArray[np.object_]

    def where(self, is_wanted: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> _Judged:
        """Some of them, or all in another order."""
        return _Judged(
            self.conids[is_wanted], self.opened_us[is_wanted], self.versions[is_wanted], self.reasons[is_wanted]
        )


def _judged(accepted: pd.DataFrame, quarantined: pd.DataFrame, reasons: npt.NDArray[np.object_]) -> _Judged:
    frames = [frame for frame in (accepted, quarantined) if len(frame)]
    judged = _Judged(
        np.concatenate([frame["conid"].to_numpy(dtype=np.int64) for frame in frames]),
        np.concatenate([microseconds(frame["opened_at"]) for frame in frames]),
        np.concatenate([frame["version"].to_numpy(dtype=np.int64) for frame in frames]),
        np.concatenate([np.full(len(accepted), "", dtype=object), reasons]),
    )
    if is_ordered(judged.conids, judged.opened_us):
        return judged
    codes = pd.factorize(judged.reasons, sort=True)[0]
    judged = judged.where(np.lexsort((codes, judged.versions, judged.opened_us, judged.conids)))
    keys = (judged.conids, judged.opened_us, judged.versions)
    is_last = np.append(np.any([np.diff(key) != 0 for key in keys], axis=0), True)
    return judged.where(is_last)


def _copy(connection: Connection, statement: LiteralString, judged: _Judged, size: BarSize | None = None) -> None:
    rows = len(judged.conids)
    is_good = judged.reasons == ""
    columns = [
        copy_binary.int8(judged.conids),
        copy_binary.timestamptz(judged.opened_us),
        copy_binary.int4(judged.versions),
        copy_binary.words(np.where(is_good, "accepted", "quarantined")),
        copy_binary.words(judged.reasons),
    ]
    if size is not None:
        columns.append(copy_binary.constant(size.value.encode(), rows))
    copy_binary.copy(connection, statement, columns)


def _hold_text(row: dict[str, Any]) -> str:
    text = f"{row['reason']}: {row['symbol']} of {row['opened_at'].date()}"
    return f"{text}, version {row['version']}" if row["version"] else f"{text}, the fetch"
