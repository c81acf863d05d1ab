"""What validation said of bars, in Postgres.

What goes here: storing verdicts, and holding an instrument back. What does not: judging, which is `market`'s work, and
bars that are missing (`adapters.postgres.gaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ibkr_assets.adapters.postgres import copy_binary
from ibkr_assets.adapters.postgres.bar_rows import instants, microseconds
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError

JUDGED = """
create temporary table judged (conid bigint, opened_at timestamptz, version bigint, reason text) on commit drop
"""
REASONS = """
insert into judged
select j.conid, 'epoch'::timestamptz + j.opened_us * interval '1 microsecond', j.version, j.reason
from unnest(%(conids)s::bigint[], %(opened_us)s::bigint[], %(versions)s::bigint[], %(reasons)s::text[])
  as j (conid, opened_us, version, reason)
"""
JUDGE = """
insert into md.bar_verdict as v (conid, bar_size, opened_at, version, verdict, reason)
select b.conid, b.bar_size, b.opened_at, b.version,
  case when max(j.reason) = '' then 'accepted' else 'quarantined' end, max(j.reason)
from judged j
join md.bar b on b.conid = j.conid and b.bar_size = %(size)s and b.opened_at = j.opened_at and b.version = j.version
group by b.conid, b.bar_size, b.opened_at, b.version
order by b.conid, b.opened_at, b.version
on conflict (conid, bar_size, opened_at, version) do update
  set verdict = excluded.verdict, reason = excluded.reason, judged_at = excluded.judged_at
  where (v.verdict, v.reason) is distinct from (excluded.verdict, excluded.reason)
    and not exists (
      select from md.quarantine_decision d where d.conid = v.conid and d.bar_size = v.bar_size
        and d.opened_at = v.opened_at and d.version = v.version)
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


class PostgresVerdicts:
    """Verdicts and holds. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_verdicts(self, size: BarSize, accepted: pd.DataFrame, quarantined: pd.DataFrame) -> None:
        """Store what validation said of these bar versions; a later verdict replaces the earlier one.

        What a person decided on stays as it was decided.

        Both frames name versions by conid, opened_at and version; `quarantined` has a column `reason` beside them.
        Raises DataError when a bar is quarantined without a reason.
        """
        reasons = quarantined["reason"].astype(str).tolist()
        if "" in reasons:
            raise DataError("quarantined: every bar needs a reason")
        columns = [
            copy_binary.int8(accepted["conid"].to_numpy(dtype=np.int64)),
            copy_binary.timestamptz(microseconds(accepted["opened_at"])),
            copy_binary.int8(accepted["version"].to_numpy(dtype=np.int64)),
            copy_binary.constant(b"", len(accepted)),
        ]
        arguments = {
            "conids": quarantined["conid"].tolist(), "opened_us": microseconds(quarantined["opened_at"]).tolist(),
            "versions": quarantined["version"].tolist(), "reasons": reasons,
        }  # fmt: skip
        with self._database.connect() as connection:
            connection.execute(JUDGED)
            if len(accepted):
                copy_binary.copy(connection, "copy judged from stdin (format binary)", columns)
            connection.execute(REASONS, arguments)
            connection.execute("analyze judged")
            connection.execute(JUDGE, {"size": size.value})
            connection.execute("drop table judged")

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


def _hold_text(row: dict[str, Any]) -> str:
    text = f"{row['reason']}: {row['symbol']} of {row['opened_at'].date()}"
    return f"{text}, version {row['version']}" if row["version"] else f"{text}, the fetch"
