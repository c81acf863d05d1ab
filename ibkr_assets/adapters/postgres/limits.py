"""Versions of the limits, and who changed them when.

What goes here: the rows of `oms.limits_version` and `oms.limits_change`. What does not: which limits are then in force
(`risk.changes`), and the decisions that were made by them (`past_decisions`).
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.order import Mode
from ibkr_assets.risk.changes import LimitsChange, limits_in_force
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.stored import digest, read_limits

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_CHANGES = """
select c.mode, c.sha256, c.actor, c.origin, c.at, v.limits
from oms.limits_change c join oms.limits_version v using (sha256)
where %(mode)s::text is null or c.mode = %(mode)s
order by c.change_id
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """Changes, newest last, and the database's time when they were read."""

    history: list[LimitsChange]
    at: datetime


class PostgresLimits:
    """The limits as the order ledger knows them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, limits: Limits, *, mode: Mode, actor: str, origin: str) -> Noted:
        """Keep a row of the change, if these limits are not those that were noted last for the mode."""
        noted = self.read(mode)
        if noted.history and noted.history[-1].sha256 == digest(limits):
            return noted
        with transaction(self._database) as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtext('oms.limits_change'))")
            sha256 = save_version(cursor, limits)
            cursor.execute(
                "insert into oms.limits_change (mode, sha256, actor, origin) select %(mode)s, %(sha)s, %(actor)s, "
                "%(origin)s where (select sha256 from oms.limits_change where mode = %(mode)s order by change_id desc "
                "limit 1) is distinct from %(sha)s",
                {"mode": mode, "sha": sha256, "actor": actor, "origin": origin},
            )
        return self.read(mode)

    def in_force(self, configured: Limits, mode: Mode) -> Limits:
        """Note the configured limits as this process's, and choose by the history and the database's clock."""
        file = os.environ.get("IBKR_ASSETS_CONFIG")
        noted = self.note(
            configured,
            mode=mode,
            actor=f"{_user()} at {socket.gethostname()}",
            origin=f"{file} and environment" if file else "environment",
        )
        return limits_in_force(noted.history, configured, mode, noted.at)

    def known_in_force(self, configured: Limits, mode: Mode) -> Limits:
        """What `in_force` would choose, for whoever only asks: nothing is noted."""
        noted = self.read(mode)
        return limits_in_force(noted.history, configured, mode, noted.at)

    def newest(self, mode: Mode) -> Limits | None:
        """The limits that any process of the mode was last seen to use; None before the first."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select v.limits from oms.limits_change c join oms.limits_version v using (sha256) "
                "where c.mode = %s order by c.change_id desc limit 1",
                (mode,),
            ).fetchone()
        return None if row is None else read_limits(row["limits"])

    def read(self, mode: Mode | None) -> Noted:
        """Every change of one mode, or of all."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(_CHANGES, {"mode": mode}).fetchall()
            row = cursor.execute("select clock_timestamp() as now").fetchone()
        assert row is not None
        history = [
            LimitsChange(
                read_limits(found["limits"]), found["sha256"], Mode(found["mode"]), found["actor"],
                found["origin"], found["at"],
            )
            for found in rows
        ]  # fmt: skip
        return Noted(history, row["now"])


class KeptLimits:
    """Names of limits whose rows are kept and committed; the newest is remembered, so that it costs nothing again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: tuple[Limits, str] | None = None

    def name(self, limits: Limits) -> str:
        """The name by which decisions refer to these limits."""
        newest = self._newest
        if newest is None or (newest[0] is not limits and newest[0] != limits):
            with transaction(self._database) as cursor:
                newest = (limits, save_version(cursor, limits))
            self._newest = newest
        return newest[1]


def save_version(cursor: psycopg.Cursor[DictRow], limits: Limits) -> str:
    """Keep the limits under the name of their content, which is returned."""
    sha256 = digest(limits)
    cursor.execute(
        "insert into oms.limits_version (sha256, limits) values (%s, %s) on conflict do nothing",
        (sha256, Jsonb(limits.as_text())),
    )
    return sha256


def _user() -> str:
    """Who this process runs as; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
