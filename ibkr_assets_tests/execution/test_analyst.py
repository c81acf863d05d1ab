"""The analyst over real HTTP and a real database: kept, found again, paid for, and silent with a reason."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from ibkr_assets.adapters.llm.chat import ChatModel
from ibkr_assets.adapters.postgres.llm_calls import PostgresCalls
from ibkr_assets.domain.analysis import Abstention, Answered, Budgets, Caller, Price, Question, Terms
from ibkr_assets.domain.signal import Direction
from ibkr_assets.execution.analyst import KeptAnalyst
from ibkr_assets_tests.analyst import MODEL, RunningAnalyst, stand_in, stand_in_process

__all__ = ["stand_in", "stand_in_process"]

PRICE = Price(Decimal(1), Decimal(4), "imagined", date(2026, 11, 1))
PLENTY = Budgets(Decimal("0.05"), Decimal(1), Decimal(5))
TERMS = Terms(MODEL, {"temperature": 0, "max_tokens": 600}, 1, sees_charts=False, names=("AAPL", "IBM"), budgets=PLENTY)
QUESTION = Question(
    "IBM", datetime(2012, 6, 1, 13, 30, tzinfo=UTC),
    {"rule_direction": "long", "rule_strength": 1.0, "close_change_1": 0.012, "close_change_5": -0.02, "rsi_14": 55.1},
)  # fmt: skip


def analyst(stand_in: RunningAnalyst | None, database: Any, terms: Terms = TERMS, **changes: Any) -> KeptAnalyst:
    model = None if stand_in is None else ChatModel(stand_in.base_url, key_env=None, timeout_s=20)
    own = KeptAnalyst(
        terms, Caller("cross", 1, "run-1"), PostgresCalls(database), model, lambda _: PRICE, lambda *_: ()
    )
    return replace(own, **changes)


def rows(database: Any) -> list[dict[str, Any]]:
    with database.connect() as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return list(cursor.execute("select * from llm.call order by call_id").fetchall())


def bodies(stand_in: RunningAnalyst) -> list[dict[str, Any]]:
    return [json.loads(request["body"]) for request in stand_in.requests()]


def answers(found: object) -> tuple[Answered, ...]:
    assert isinstance(found, tuple), found
    return found


def code(found: object) -> str:
    assert isinstance(found, Abstention), found
    return found.code.value


def test_a_request_has_no_tools_and_is_kept_exactly_as_it_was_sent(stand_in, database) -> None:
    (answered,) = answers(analyst(stand_in, database).ask(QUESTION))
    (body,) = bodies(stand_in)
    (kept,) = rows(database)
    assert set(body) == {"model", "messages", "response_format", "temperature", "seed", "max_tokens", "stream"}
    assert body["messages"] == kept["messages"]
    assert body["response_format"]["json_schema"]["schema"] == kept["answer_schema"]
    assert {name: body[name] for name in ("temperature", "seed", "max_tokens")} == kept["settings"]
    assert (kept["outcome"], kept["model_answered"], kept["dagster_run_id"]) == ("answered", MODEL, "run-1")
    assert json.loads(kept["response"])["direction"] == answered.answer.direction == Direction.LONG
    assert kept["cost_usd"] == (Decimal(kept["prompt_tokens"]) + 4 * Decimal(kept["completion_tokens"])) / 1_000_000 > 0
    assert kept["latency_s"] > 0
    assert "IBM" not in json.dumps(body)
    assert "2012" not in json.dumps(body)


def test_the_same_inputs_are_answered_from_the_store_unless_it_is_asked_otherwise(stand_in, database) -> None:
    first = answers(analyst(stand_in, database).ask(QUESTION))
    assert answers(analyst(stand_in, database).ask(QUESTION)) == first
    assert len(stand_in.requests()) == 1
    other = replace(QUESTION, facts={**QUESTION.facts, "rsi_14": 55.2})
    assert answers(analyst(stand_in, database).ask(other)) != first
    again = answers(analyst(stand_in, database, replace(TERMS, ask_again=True)).ask(QUESTION))
    assert len(stand_in.requests()) == len(rows(database)) == 3
    assert again[0].call_id != first[0].call_id
    assert answers(analyst(None, database).ask(QUESTION)) == first, "nothing to ask, and the first answer counts"


def test_a_miss_is_an_abstention_where_nothing_may_be_asked(database) -> None:
    assert code(analyst(None, database).ask(QUESTION)) == "not_stored"
    assert rows(database) == []


def test_each_sample_is_a_request_of_its_own(stand_in, database) -> None:
    found = answers(analyst(stand_in, database, replace(TERMS, samples=3)).ask(QUESTION))
    assert [row["sample"] for row in rows(database)] == [0, 1, 2]
    assert [one.call_id for one in found] == [row["call_id"] for row in rows(database)]
    assert [body["seed"] for body in bodies(stand_in)] == [0, 1, 2]


def test_a_wrong_form_is_asked_about_once_and_the_conversation_is_found_again(stand_in, database) -> None:
    stand_in.set_profile("invalid", times=1)
    (answered,) = answers(analyst(stand_in, database).ask(QUESTION))
    first, second = rows(database)
    assert (first["attempt"], second["attempt"], answered.call_id) == (1, 2, second["call_id"])
    assert second["messages"][:-2] == first["messages"]
    assert second["messages"][-2] == {"role": "assistant", "content": first["response"]}
    assert bodies(stand_in)[1]["messages"] == second["messages"]
    past = PostgresCalls(database, past=[answered.call_id])
    then = past.asked_with([answered.call_id])
    known = KeptAnalyst(then.terms, then.caller, past, None, lambda _: None, lambda *_: then.texts)
    assert answers(known.ask(QUESTION)) == (answered,)


@pytest.mark.filterwarnings("ignore:Failed to extract usage")  # of pydantic-ai, for a count that is none
@pytest.mark.parametrize(
    ("profile", "wanted", "requests", "costs"),
    [
        ("invalid", "schema", 2, True), ("garbage", "schema", 2, True), ("refuse", "schema", 2, True),
        ("truncated", "schema", 2, True), ("wrong_ids", "evidence", 1, True), ("rate_limit", "refused", 1, False),
        ("error", "unavailable", 1, False), ("broken", "unavailable", 1, True),
        ("odd", "schema", 2, True), ("absurd_usage", "evidence", 1, True),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_is_an_abstention_with_its_code(
    stand_in, database, profile: str, wanted: str, requests: int, costs: bool
) -> None:
    stand_in.set_profile(profile)
    found = analyst(stand_in, database).ask(QUESTION)
    assert code(found) == wanted
    kept = rows(database)
    assert len(kept) == len(stand_in.requests()) == requests
    assert all((row["cost_usd"] > 0) is costs for row in kept)


def test_a_request_that_takes_too_long_is_given_up_and_counts_as_its_worst_case(stand_in, database) -> None:
    stand_in.set_profile("slow")
    impatient = replace(analyst(stand_in, database), model=ChatModel(stand_in.base_url, key_env=None, timeout_s=0.3))
    assert code(impatient.ask(QUESTION)) == "timeout"
    (kept,) = rows(database)
    assert kept["is_estimate"]
    assert kept["cost_usd"] > Decimal("0.0024"), "600 tokens of an answer at 4 USD a million, and the prompt"


def test_without_a_server_it_abstains_and_nothing_is_paid(database, tmp_path) -> None:
    nobody = ChatModel("http://127.0.0.1:9/v1", key_env=None, timeout_s=5)
    assert code(analyst(None, database, model=nobody).ask(QUESTION)) == "unavailable"
    assert rows(database)[0]["cost_usd"] == 0


def test_a_key_that_is_not_there_is_named_and_nothing_is_sent(stand_in, database, monkeypatch) -> None:
    monkeypatch.delenv("A_KEY_OF_MINE", raising=False)
    keyless = ChatModel(stand_in.base_url, key_env="A_KEY_OF_MINE", timeout_s=5)
    found = analyst(None, database, model=keyless).ask(QUESTION)
    assert code(found) == "not_configured"
    assert "A_KEY_OF_MINE" in found.reason
    assert stand_in.requests() == []


def test_the_key_goes_to_the_endpoint_and_nowhere_else(stand_in, database, monkeypatch) -> None:
    monkeypatch.setenv("A_KEY_OF_MINE", "sk-canary-0123456789")
    keyed = ChatModel(stand_in.base_url, key_env="A_KEY_OF_MINE", timeout_s=5)
    answers(analyst(None, database, model=keyed).ask(QUESTION))
    (sent,) = stand_in.requests()
    assert sent["headers"]["authorization"] == "Bearer sk-canary-0123456789"
    assert "sk-canary" not in json.dumps([sent["body"], rows(database)], default=str)


def test_a_model_of_another_name_counts_for_nothing_where_one_is_pinned(stand_in, database) -> None:
    stand_in.set_profile("other_model")
    assert code(analyst(stand_in, database, replace(TERMS, answers_as=MODEL)).ask(QUESTION)) == "other_model"


def test_tokens_that_nobody_counted_cost_the_worst_case(stand_in, database) -> None:
    stand_in.set_profile("no_usage")
    answers(analyst(stand_in, database).ask(QUESTION))
    (kept,) = rows(database)
    assert (kept["is_estimate"], kept["prompt_tokens"]) == (True, None)


def test_a_model_without_a_price_is_not_asked(stand_in, database) -> None:
    assert code(analyst(stand_in, database, price=lambda _: None).ask(QUESTION)) == "price_unknown"
    assert stand_in.requests() == []


def test_a_picture_goes_out_with_the_facts_and_is_kept_once(stand_in, database) -> None:
    seeing = analyst(stand_in, database, replace(TERMS, samples=2, sees_charts=True))
    answers(seeing.ask(replace(QUESTION, chart=b"\x89PNG picture")))
    text, picture = bodies(stand_in)[0]["messages"][1]["content"]
    assert text["type"] == "text"
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBORyBwaWN0dXJl"), picture
    with database.connect() as connection:
        assert connection.execute("select png from llm.picture").fetchall() == [(b"\x89PNG picture",)]
        wanted = connection.execute("select sha256 from llm.picture").fetchone()[0]
    assert {row["picture_sha256"] for row in rows(database)} == {wanted}
    assert rows(database)[0]["messages"][1]["picture_sha256"] == wanted


@pytest.mark.parametrize(
    ("budgets", "wanted"),
    [
        (Budgets(Decimal("0.001"), Decimal(1), Decimal(1)), "budget_call"),
        (Budgets(Decimal("0.05"), Decimal("0.008"), Decimal(1)), "budget_strategy"),
        (Budgets(Decimal("0.05"), Decimal(1), Decimal("0.008")), "budget_day"),
    ],
)
def test_a_budget_stops_before_the_request_that_would_exceed_it(
    stand_in, database, budgets: Budgets, wanted: str
) -> None:
    asking = analyst(stand_in, database, replace(TERMS, budgets=budgets))
    codes = []
    for number in range(16):
        found = asking.ask(replace(QUESTION, facts={**QUESTION.facts, "rsi_14": 30 + number / 10}))
        if isinstance(found, Abstention):
            codes.append(found.code.value)
    kept, asked = rows(database), len(stand_in.requests())
    assert set(codes) == {wanted}
    assert len(codes) == 16 - asked
    assert asked == sum(row["outcome"] == "answered" for row in kept)
    allowed = Decimal(0) if wanted == "budget_call" else Decimal("0.008")
    spent = sum((row["cost_usd"] for row in kept), Decimal(0))
    assert spent <= allowed
    if asked:
        worst = Decimal("0.0055")
        assert spent > allowed - worst, "it stopped long before the budget was used"
    with database.connect() as connection:
        total = connection.execute("select sum(cost_usd), sum(calls), sum(abstained) from llm.spend").fetchone()
    assert total == (spent, 16, len(codes))


def test_processes_that_ask_at_once_cannot_exceed_a_budget_together(database, database_url) -> None:
    from ibkr_assets.adapters.postgres.connection import Database

    worst, budgets, start = Decimal("0.01"), Budgets(Decimal(1), Decimal(1), Decimal("0.10")), threading.Barrier(8)

    def reserve(number: int) -> int:
        own = Database(database_url)
        start.wait(10)
        taken = sum(
            isinstance(PostgresCalls(own).reserve(Caller(f"s{number}", 1), worst, budgets), int) for _ in range(4)
        )
        own.close()
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserve, range(8))) == 10
    with database.connect() as connection:
        assert connection.execute("select sum(in_flight_usd) from llm.spend").fetchone() == (Decimal("0.10"),)


def test_what_is_kept_is_never_changed(stand_in, database, database_url_of) -> None:
    answers(analyst(stand_in, database).ask(QUESTION))
    with psycopg.connect(database_url_of("ibkr_app"), autocommit=True) as app:
        assert app.execute("select count(*) from llm.call").fetchone() == (1,)
        for table in ("call", "reservation", "picture"):
            for statement in (f"delete from llm.{table}", f"truncate llm.{table} cascade"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(statement)
    with database.connect() as owner, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        owner.execute("update llm.call set cost_usd = 0")
