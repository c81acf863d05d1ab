"""Requests to a language model, and what they cost, for people and pages.

What goes here: reading. What does not: asking within budgets and keeping (`adapters.postgres.llm_calls`). The sum of
what is listed here is the sum of the stored requests: both are read from the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_CALLS = """
select call_id, at, day, strategy_id, strategy_version, symbol, bar_opened_at, sample, attempt, outcome, problem,
  endpoint, model_asked, model_answered, provider_id, prompt_tokens, completion_tokens, input_usd_per_million,
  output_usd_per_million, price_source, price_as_of, cost_usd, is_estimate, latency_s, key, dagster_run_id, messages,
  settings, answer_schema, template_sha256, picture_sha256, texts, text_events, response, finish_reason
from llm.call
where (%(ids)s::bigint[] is null or call_id = any(%(ids)s))
  and (%(strategy)s::text is null or strategy_id = %(strategy)s)
  and (%(day)s::date is null or day = %(day)s)
  and (%(run)s::text is null or dagster_run_id = %(run)s)
order by call_id desc limit %(limit)s
"""
_SPEND = """
select day, strategy_id, model, calls, abstained, prompt_tokens, completion_tokens, cost_usd, in_flight_usd
from llm.spend order by day desc, strategy_id, model
"""


@dataclass(frozen=True, slots=True)
class KeptCall:
    """One stored request with all that is kept of it. `at` is when it was over, aware UTC."""

    call_id: int
    at: datetime
    day: date
    strategy_id: str
    strategy_version: int
    symbol: str
    bar_opened_at: datetime
    sample: int
    attempt: int
    outcome: str
    problem: str
    endpoint: str
    model_asked: str
    model_answered: str | None
    provider_id: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    input_usd_per_million: Decimal | None
    output_usd_per_million: Decimal | None
    price_source: str | None
    price_as_of: date | None
    cost_usd: Decimal
    is_estimate: bool
    latency_s: float | None
    key: str
    dagster_run_id: str | None
    messages: list[dict[str, Any]]
    settings: dict[str, Any]
    answer_schema: dict[str, Any]
    template_sha256: str
    picture_sha256: str | None
    texts: list[str]
    text_events: list[dict[str, str]]
    response: str | None
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class Spend:
    """What one strategy spent on one model in one UTC day; `in_flight_usd` is set aside for requests without an end."""

    day: date
    strategy_id: str
    model: str
    calls: int
    abstained: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    in_flight_usd: Decimal


class PostgresLlm:
    """Every method is one transaction that only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def calls(
        self, *, strategy_id: str | None = None, day: date | None = None, run: str | None = None, limit: int = 1_000
    ) -> list[KeptCall]:
        """Requests, newest first."""
        return self._read(None, strategy_id, day, run, limit)

    def call(self, call_id: int) -> KeptCall:
        """One request. Raises InputError where it is not known."""
        found = self._read([call_id], None, None, None, 1)
        if not found:
            raise InputError(f"call {call_id}: not known; `ibkr-assets llm calls` lists them")
        return found[0]

    def picture(self, sha256: str) -> bytes:
        """A picture that was shown. Raises InputError where it is not known."""
        with self._database.connect() as connection:
            row = connection.execute("select png from llm.picture where sha256 = %s", (sha256,)).fetchone()
        if row is None:
            raise InputError(f"picture {sha256}: not known")
        return bytes(row[0])

    def spend(self) -> list[Spend]:
        """By day, newest first, strategy and model."""
        with self._database.connect() as connection, connection.cursor(row_factory=class_row(Spend)) as cursor:
            return cursor.execute(_SPEND).fetchall()

    def _read(
        self, ids: Sequence[int] | None, strategy_id: str | None, day: date | None, run: str | None, limit: int
    ) -> list[KeptCall]:
        values = {"ids": ids, "strategy": strategy_id, "day": day, "run": run, "limit": limit}
        with self._database.connect() as connection, connection.cursor(row_factory=class_row(KeptCall)) as cursor:
            return cursor.execute(_CALLS, values).fetchall()
