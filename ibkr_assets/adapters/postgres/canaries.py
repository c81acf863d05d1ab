"""Askings of the fixed questions in Postgres, kept for good.

What goes here: SQL. What does not: when to ask and what a difference means (`execution.canary`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.strategies.canary import CanaryAnswer, CanaryRun

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_NEWEST = """
select endpoint, model, verdict, answers, difference, actor,
  extract(epoch from clock_timestamp() - at)::double precision as age_s
from llm.canary
where endpoint = %s and model = %s and questions_sha256 = %s and (not %s or verdict = 'recorded')
order by canary_id desc limit 1
"""
_SAVE = """
insert into llm.canary (endpoint, model, questions_sha256, verdict, answers, difference, actor)
values (%s, %s, %s, %s, %s, %s, %s)
"""


class PostgresCanaries:
    """Implements `execution.canary.CanaryStore`; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, endpoint: str, model: str, questions_sha256: str, *, recorded: bool = False) -> CanaryRun | None:
        """The newest asking, or of those the newest that a person recorded; None where there is none."""
        with self._database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(_NEWEST, (endpoint, model, questions_sha256, recorded)).fetchone()
        if row is None:
            return None
        answers = tuple(CanaryAnswer(**answer) for answer in row.pop("answers"))
        return CanaryRun(**row, answers=answers)

    def save(self, run: CanaryRun, questions_sha256: str) -> None:
        """Keep it, for good."""
        answers = Jsonb([answer.plain() for answer in run.answers])
        values = (run.endpoint, run.model, questions_sha256, run.verdict, answers, run.difference, run.actor)
        with transaction(self._database) as cursor:
            cursor.execute(_SAVE, values)

    def model_of(self, call_id: int) -> str | None:
        """Who says to have answered a stored request."""
        with self._database.connect() as connection:
            row = connection.execute("select model_answered from llm.call where call_id = %s", (call_id,)).fetchone()
        return None if row is None else row[0]
