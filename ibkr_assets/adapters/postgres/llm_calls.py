"""Requests to a language model in Postgres: looked up by their inputs, paid for within budgets, kept for good.

What goes here: SQL. What does not: when to ask (`execution.analyst`), and sums for people (the view `llm.spend`).
A budget is read and set aside under one lock, so that processes which ask at the same time cannot exceed it together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.analysis import Abstention, AbstentionCode, Budgets, Call, Caller, StoredReply, Terms
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_FIND = """
select call_id, response as text, model_answered as model from llm.call
where key = %s and outcome = 'answered' order by call_id limit 1
"""
#: The requests that are named, and those before them that they followed on: an answer that had the wrong form.
_FIND_PAST = """
select call_id, response as text, model_answered as model from llm.call
where key = %(key)s and outcome = 'answered' and call_id <= (select max(n) from unnest(%(only)s::bigint[]) as n)
order by call_id = any(%(only)s) desc, call_id desc limit 1
"""
#: What is spent, and what is set aside for requests that have no end yet.
_SPENT = """
with d as (select (clock_timestamp() at time zone 'UTC')::date as day)
select d.day,
  coalesce(sum(coalesce(c.cost_usd, r.worst_usd)), 0) as of_all,
  coalesce(sum(coalesce(c.cost_usd, r.worst_usd)) filter (where r.strategy_id = %(strategy)s), 0) as of_strategy
from d left join llm.reservation r on r.day = d.day left join llm.call c on c.reservation_id = r.reservation_id
group by d.day
"""
_RESERVE = "insert into llm.reservation (strategy_id, worst_usd, day) values (%s, %s, %s) returning reservation_id"
_SAVE = """
insert into llm.call (key, reservation_id, strategy_id, strategy_version, symbol, bar_opened_at, sample, attempt,
  dagster_run_id, endpoint, model_asked, model_answered, provider_id, messages, settings, answer_schema,
  template_sha256, picture_sha256, texts, names, text_events, outcome, problem, response, finish_reason, prompt_tokens,
  completion_tokens, input_usd_per_million, output_usd_per_million, price_source, price_as_of, cost_usd, is_estimate,
  latency_s, day)
values (%(key)s, %(reservation)s, %(strategy)s, %(version)s, %(symbol)s, %(bar)s, %(sample)s, %(attempt)s, %(run)s,
  %(endpoint)s, %(model)s, %(model_answered)s, %(provider_id)s, %(messages)s, %(settings)s, %(schema)s, %(template)s,
  %(picture)s, %(texts)s, %(names)s, %(events)s, %(outcome)s, %(problem)s, %(response)s, %(finish_reason)s,
  %(prompt_tokens)s, %(completion_tokens)s, %(input_price)s, %(output_price)s, %(price_source)s, %(price_as_of)s,
  %(cost)s, %(is_estimate)s, %(latency_s)s,
  coalesce((select day from llm.reservation where reservation_id = %(reservation)s),
    (clock_timestamp() at time zone 'UTC')::date))
returning call_id
"""
_PAST = "select * from llm.call where call_id = any(%s) order by call_id"


@dataclass(frozen=True, slots=True)
class PastCalls:
    """What stored requests were asked with, to ask the same of the store."""

    terms: Terms
    caller: Caller
    texts: tuple[str, ...]


class PostgresCalls:
    """Implements `execution.analyst.CallStore`; every method is one transaction.

    With `past` the answers of these requests are found, whichever came first or since.
    """

    def __init__(self, database: Database, *, past: Sequence[int] | None = None) -> None:
        self._database = database
        self._past = None if past is None else list(past)

    def find(self, key: str) -> StoredReply | None:
        """The first answer that was kept for these inputs."""
        with transaction(self._database) as cursor:
            if self._past is None:
                row = cursor.execute(_FIND, (key,)).fetchone()
            else:
                row = cursor.execute(_FIND_PAST, {"key": key, "only": self._past}).fetchone()
        return None if row is None else StoredReply(row["call_id"], row["text"], row["model"])

    def reserve(self, caller: Caller, worst_usd: Decimal, budgets: Budgets) -> int | Abstention:
        """The reservation, or the first budget that the worst case would exceed."""
        if worst_usd > budgets.call_usd:
            text = f"a request may cost {_usd(worst_usd)}, {_usd(budgets.call_usd)} are allowed"
            return Abstention(AbstentionCode.BUDGET_CALL, text)
        with transaction(self._database) as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtextextended('llm.reservation', 0))")
            spent = cursor.execute(_SPENT, {"strategy": caller.strategy_id}).fetchone()
            assert spent is not None
            for code, of_whom, so_far, allowed in (
                (AbstentionCode.BUDGET_STRATEGY, caller.strategy_id, spent["of_strategy"], budgets.strategy_usd),
                (AbstentionCode.BUDGET_DAY, "all strategies", spent["of_all"], budgets.day_usd),
            ):
                if so_far + worst_usd > allowed:
                    text = f"{_usd(so_far)} of {_usd(allowed)} are spent by {of_whom} on {spent['day']}"
                    return Abstention(code, f"{text}, a request may cost {_usd(worst_usd)}")
            row = cursor.execute(_RESERVE, (caller.strategy_id, worst_usd, spent["day"])).fetchone()
            assert row is not None
            return int(row["reservation_id"])

    def save(self, call: Call) -> StoredReply:
        """Keep it, for good."""
        reply, price = call.reply, call.price
        with transaction(self._database) as cursor:
            picture = None
            if call.request.chart is not None:
                picture = hashlib.sha256(call.request.chart).hexdigest()
                cursor.execute(
                    "insert into llm.picture (sha256, png) values (%s, %s) on conflict do nothing",
                    (picture, call.request.chart),
                )
            values: dict[str, Any] = {
                "key": call.request.key, "reservation": call.reservation_id, "strategy": call.caller.strategy_id,
                "version": call.caller.strategy_version, "symbol": call.symbol, "bar": call.bar_opened_at,
                "sample": call.sample, "attempt": call.attempt, "run": call.caller.dagster_run_id,
                "endpoint": call.endpoint, "model": call.request.model, "messages": Jsonb(list(call.request.messages)),
                "settings": Jsonb(dict(call.request.settings)), "schema": Jsonb(dict(call.request.schema)),
                "template": call.template_sha256, "picture": picture, "texts": Jsonb([_text(t) for t in call.texts]),
                "names": Jsonb(list(call.names)), "events": Jsonb([dict(event) for event in call.text_events]),
                "outcome": call.outcome, "problem": _text(call.problem),
                "response": None if reply is None else _text(reply.text),
                "model_answered": None if reply is None else reply.model,
                "provider_id": None if reply is None else reply.provider_id,
                "finish_reason": None if reply is None else reply.finish_reason,
                "prompt_tokens": None if reply is None else reply.prompt_tokens,
                "completion_tokens": None if reply is None else reply.completion_tokens,
                "input_price": None if price is None else price.input_usd_per_million,
                "output_price": None if price is None else price.output_usd_per_million,
                "price_source": None if price is None else price.source,
                "price_as_of": None if price is None else price.as_of,
                "cost": call.cost_usd, "is_estimate": call.is_estimate, "latency_s": call.latency_s,
            }  # fmt: skip
            row = cursor.execute(_SAVE, values).fetchone()
            assert row is not None
            return StoredReply(row["call_id"], values["response"] or "", values["model_answered"])

    def asked_with(self, call_ids: Sequence[int]) -> PastCalls:
        """What these requests were asked with. Raises InputError where one is not there."""
        with self._database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_PAST, (list(call_ids),)).fetchall()
        if len(rows) < len(set(call_ids)) or not rows:
            raise InputError(f"llm calls {list(call_ids)}: {len(rows)} of them are stored")
        first = rows[0]
        settings = {name: value for name, value in first["settings"].items() if name != "seed"}
        terms = Terms(
            model=first["model_asked"], settings=settings, samples=len(rows), budgets=None,
            sees_charts=first["picture_sha256"] is not None, names=tuple(first["names"]),
        )  # fmt: skip
        caller = Caller(first["strategy_id"], first["strategy_version"], first["dagster_run_id"])
        return PastCalls(terms, caller, tuple(first["texts"]))


def _text(text: str) -> str:
    """Postgres keeps no null characters; JSON has none either, so an answer with one is refused all the same."""
    return text.replace("\0", "\ufffd")


def _usd(amount: Decimal) -> str:
    return f"{amount.normalize():f} USD"
