"""Splits and special dividends in Postgres, in append-only versions.

What goes here: storing and loading. What does not: adjusting bars by them (`market.adjustment`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.errors import InputError
from ibkr_assets.market.adjustment import ActionKind, CorporateAction

NEWEST = """
select conid, day, kind, coalesce(ratio, amount), is_withdrawn
from (
  select distinct on (conid, day, kind) * from md.corporate_action
  where conid = any(%(conids)s) and (%(as_of)s::timestamptz is null or known_from <= %(as_of)s)
  order by conid, day, kind, version desc) as newest
order by conid, day, kind
"""
ADD = """
insert into md.corporate_action (conid, day, kind, version, known_from, ratio, amount, is_withdrawn, source, actor)
select %(conid)s, %(day)s, %(kind)s, coalesce(max(version), 0) + 1, %(known_from)s,
  case when %(kind)s = 'split' then %(value)s::numeric end, case when %(kind)s = 'cash' then %(value)s::numeric end,
  %(is_withdrawn)s, %(source)s, %(actor)s
from md.corporate_action where conid = %(conid)s and day = %(day)s and kind = %(kind)s
"""


class PostgresCorporateActions:
    """What happened to shares. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, conids: Sequence[int], *, as_of: datetime | None = None) -> list[CorporateAction]:
        """Actions that hold, by conid and day: as known now, or at the aware instant `as_of`."""
        with self._database.connect() as connection:
            rows = connection.execute(NEWEST, {"conids": list(conids), "as_of": as_of}).fetchall()
        return [
            CorporateAction(conid, day, ActionKind(kind), value) for conid, day, kind, value, gone in rows if not gone
        ]

    def save(self, action: CorporateAction, *, source: str, actor: str, known_from: datetime) -> bool:
        """Store an action, or its correction; False where it is known just so."""
        return self._add(action, source=source, actor=actor, known_from=known_from, is_withdrawn=False)

    def withdraw(self, action: CorporateAction, *, source: str, actor: str, known_from: datetime) -> None:
        """Take an action back; reads as of before still see it. Raises InputError when it does not hold."""
        if not self._add(action, source=source, actor=actor, known_from=known_from, is_withdrawn=True):
            raise InputError(f"{action.kind} of conid {action.conid} on {action.day}: not known")

    def _add(
        self, action: CorporateAction, *, source: str, actor: str, known_from: datetime, is_withdrawn: bool
    ) -> bool:
        arguments = {
            "conid": action.conid, "day": action.day, "kind": action.kind.value, "value": action.value,
            "source": source, "actor": actor, "known_from": known_from, "is_withdrawn": is_withdrawn,
        }  # fmt: skip
        with self._database.lock(f"md.corporate_action {action.conid}"):
            holds = action in self.load([action.conid])
            if holds is not is_withdrawn:
                return False
            with self._database.connect() as connection:
                connection.execute(ADD, arguments)
        return True
