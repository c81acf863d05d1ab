"""A language model that changed has no say: found out by its answers, over real HTTP and a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from ibkr_assets.adapters.llm.chat import ChatModel
from ibkr_assets.adapters.postgres.canaries import PostgresCanaries
from ibkr_assets.adapters.postgres.llm_calls import PostgresCalls
from ibkr_assets.cli.main import app
from ibkr_assets.domain.analysis import Abstention, Budgets, Caller, Price, Terms
from ibkr_assets.domain.errors import InputError
from ibkr_assets.execution.analyst import KeptAnalyst
from ibkr_assets.execution.canary import WatchedAnalyst, watch
from ibkr_assets.strategies.canary import QUESTIONS, CanaryAnswer, CanaryRun, find_difference
from ibkr_assets_tests.analyst import MODEL, RunningAnalyst, stand_in, stand_in_process

__all__ = ["stand_in", "stand_in_process"]

PLENTY = Budgets(Decimal("0.05"), Decimal(1), Decimal(5))
TERMS = Terms(MODEL, {"temperature": 0, "max_tokens": 600}, 1, sees_charts=False, names=("IBM",), budgets=PLENTY)
QUESTION = replace(QUESTIONS[0], symbol="IBM", facts={**QUESTIONS[0].facts, "rsi_14": 50.5})
PRICE = Price(Decimal(1), Decimal(4), "imagined", date(2026, 11, 21))


class LaterStore(PostgresCanaries):
    """Sees what is stored as if a day had passed since."""

    def newest(self, *which: str, recorded: bool = False) -> CanaryRun | None:
        run = super().newest(*which, recorded=recorded)
        return None if run is None else replace(run, age_s=run.age_s + 25 * 3600)


def watched(
    stand_in: RunningAnalyst, database: Any, store: type[PostgresCanaries] = PostgresCanaries
) -> WatchedAnalyst:
    model = ChatModel(stand_in.base_url, key_env=None, timeout_s=20)
    kept = KeptAnalyst(
        TERMS, Caller("cross", 1), PostgresCalls(database), model, lambda _: PRICE, lambda *_: ("a note",)
    )
    found = watch(kept, store(database))
    assert isinstance(found, WatchedAnalyst)
    return found


def code(found: object) -> str:
    assert isinstance(found, Abstention), found
    return found.code.value


def verdicts(database: Any) -> list[str]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("select verdict from llm.canary order by canary_id").fetchall()]


def test_nothing_is_watched_until_a_person_records(stand_in, database) -> None:
    analyst = watched(stand_in, database)
    assert isinstance(analyst.ask(QUESTION), tuple)
    assert len(stand_in.requests()) == 1
    assert analyst.canary.check(MODEL, "somebody") is None


def test_a_recorded_model_is_asked_again_once_a_day_and_keeps_its_say(stand_in, database) -> None:
    recorded = watched(stand_in, database).canary.record(MODEL, "somebody")
    assert isinstance(recorded, CanaryRun)
    assert [answer.direction for answer in recorded.answers] == ["long", "flat", "short", "flat"]
    assert {answer.model for answer in recorded.answers} == {MODEL}
    assert "a note" not in "".join(request["body"] for request in stand_in.requests())
    stand_in.forget()
    assert isinstance(watched(stand_in, database).ask(QUESTION), tuple)
    assert len(stand_in.requests()) == 1, "within the day only the question itself is asked"
    later = watched(stand_in, database, LaterStore)
    assert isinstance(later.ask(QUESTION), tuple), "and that is answered from the store"
    assert len(stand_in.requests()) == 1 + len(QUESTIONS)
    assert verdicts(database) == ["recorded", "same"]


@pytest.mark.parametrize(
    ("profile", "told"), [("other_answers", "question 1: short, it was long"), ("other_model", MODEL)]
)
def test_a_model_that_changed_abstains_until_a_person_records_it_anew(
    stand_in, database, profile: str, told: str
) -> None:
    watched(stand_in, database).canary.record(MODEL, "somebody")
    stand_in.set_profile(profile)
    refused = watched(stand_in, database, LaterStore).ask(QUESTION)
    assert code(refused) == "other_model"
    assert told in refused.text
    asked = len(stand_in.requests())
    assert code(watched(stand_in, database).ask(QUESTION)) == "other_model"
    assert len(stand_in.requests()) == asked, "it is not asked again"
    assert isinstance(watched(stand_in, database).canary.record(MODEL, "somebody"), CanaryRun)
    assert isinstance(watched(stand_in, database).ask(QUESTION), tuple)
    assert verdicts(database) == ["recorded", "changed", "recorded"]


def test_a_model_that_cannot_be_looked_at_has_no_say_and_is_not_judged(stand_in, database) -> None:
    watched(stand_in, database).canary.record(MODEL, "somebody")
    stand_in.set_profile("error")
    refused = watched(stand_in, database, LaterStore).ask(QUESTION)
    assert code(refused) == "unavailable"
    assert "could not be seen that the model is the same" in refused.text
    assert verdicts(database) == ["recorded"]


def test_another_model_of_the_same_place_is_watched_by_itself(stand_in, database) -> None:
    analyst = watched(stand_in, database)
    analyst.canary.record(MODEL, "somebody")
    assert analyst.canary.find_trouble("another") is None


def test_answers_are_the_same_within_a_quarter_of_the_strength() -> None:
    then = [CanaryAnswer("m", "long", 0.5)]
    assert find_difference(then, [CanaryAnswer("m", "long", 0.75)]) is None
    assert find_difference(then, [CanaryAnswer("m", "long", 0.8)]) == "question 1: strength 0.8, it was 0.5"
    assert find_difference(then, [CanaryAnswer("n", "long", 0.5)]) == "n answers, m did"
    assert find_difference(then, []) == "0 answers, 1 were recorded"


def test_the_command_line_records_and_compares(
    stand_in, database_url, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    monkeypatch.setenv("IBKR_ASSETS__LLM__BASE_URL", stand_in.base_url)
    monkeypatch.setenv("IBKR_ASSETS__LLM__MODEL", MODEL)
    monkeypatch.setenv("IBKR_ASSETS__LLM__BUDGETS", '{"call_usd": "1", "strategy_usd": "1", "day_usd": "1"}')
    price = '{"input_usd_per_million": "1", "output_usd_per_million": "4", "source": "x", "as_of": "2026-11-21"}'
    monkeypatch.setenv("IBKR_ASSETS__LLM__PRICE", price)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["canary", *arguments], catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout

    with pytest.raises(InputError, match=f"model {MODEL}: nothing was recorded of it"):
        run("check")
    assert run("record")[1].startswith(f"{MODEL}: recorded")
    assert run("check")[1].startswith(f"{MODEL}: same")
    stand_in.set_profile("other_answers")
    exit_code, said = run("check", "--json")
    assert exit_code == 1
    assert '"difference": "question 1: short, it was long"' in said
