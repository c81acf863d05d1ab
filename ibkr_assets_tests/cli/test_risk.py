"""`ibkr-assets risk ...` as a person runs it, over a real ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from ibkr_assets import bootstrap
from ibkr_assets import settings as configuration
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.cli.main import app
from ibkr_assets.domain.errors import InputError
from ibkr_assets.risk.engine import Approved, Denied, hear
from ibkr_assets.risk.rules import RULES, DenialCode
from ibkr_assets_tests.execution.desk import EVENING, an_intent, approve
from ibkr_assets_tests.risk.orders import LIMITS, facts


@pytest.fixture
def configure(database_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Settings of the environment; a call sets a mode and limits."""
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path))

    def to(mode: str, **limits: str) -> None:
        monkeypatch.setenv("IBKR_ASSETS_MODE", mode)
        for name, value in limits.items():
            monkeypatch.setenv(f"IBKR_ASSETS__RISK__{name.upper()}", value)

    to("dry_run")
    return to


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["risk", *arguments], catch_exceptions=False, standalone_mode=False)


def as_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def decide(database: Any, number: int, quantity: int) -> None:
    """A decision by the value of the order alone, stored with its facts."""

    def judge(intent: Any, exposure: Any) -> Approved | Denied:
        seen = facts(now=EVENING)
        (found,) = hear([RULES[DenialCode.ORDER_VALUE]], intent, seen, exposure, LIMITS)
        if found.is_passed:
            return Approved(intent, (found,), seen, LIMITS)
        return Denied(intent, found.code, found.text, (found,), seen, LIMITS)

    order = an_intent(number, quantity=Decimal(quantity))
    PostgresIntents(database, "salt").propose(order, judge, now=EVENING, dagster_run_id=None, created_by="test")


def test_every_limit_is_listed_with_its_unit_and_the_rules_that_use_it(configure: Callable[..., None]) -> None:
    configure("sim", max_order_value_usd="4000")
    document = as_json("limits")
    rows = {row["limit"]: row for row in document["limits"]}
    assert set(rows) == set(LIMITS.as_text())
    assert rows["max_order_value_usd"] == {
        "limit": "max_order_value_usd", "in_force": "4000", "configured": "4000", "unit": "USD",
        "rules": ["R5 order_value"],
    }  # fmt: skip
    assert (document["mode"], document["configured_in_force_from"]) == ("sim", None)
    assert document["sha256"] == document["configured_sha256"]
    assert "R5 order_value" in run("limits").stdout


def test_no_limit_is_without_a_rule(configure: Callable[..., None]) -> None:
    configure("sim")
    assert [row["limit"] for row in as_json("limits")["limits"] if not row["rules"]] == []


def test_a_limit_raised_in_live_is_shown_with_the_one_in_force_until_when(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBKR_ASSETS_GATEWAY_URL", "https://localhost/v1/api")
    configure("live", max_order_value_usd="4000")
    bootstrap.limits_in_force(configuration.load())
    configure("live", max_order_value_usd="9000")
    assert bootstrap.limits_in_force(configuration.load()).max_order_value_usd == 4000
    row = next(row for row in as_json("limits")["limits"] if row["limit"] == "max_order_value_usd")
    assert (row["in_force"], row["configured"]) == ("4000", "9000")
    assert as_json("limits")["configured_in_force_from"] is not None
    assert "waits" in run("limits").stderr
    first, second = as_json("history")
    assert (first["is_first"], first["changed"]) == (True, {})
    assert second["changed"] == {"max_order_value_usd": ["4000", "9000"]}
    assert "max_order_value_usd: 4000 to 9000" in run("history").stdout


def test_looking_at_the_limits_notes_nothing(configure: Callable[..., None]) -> None:
    configure("sim")
    run("limits")
    assert as_json("history") == []


def test_what_other_limits_would_have_made_of_past_decisions(configure: Callable[..., None], database: Any) -> None:
    for number, quantity in enumerate((5, 40, 60), start=1):
        decide(database, number, quantity)
    PostgresIntents(database, "salt").propose(
        an_intent(9), approve, now=EVENING, dagster_run_id=None, created_by="test"
    )
    document = as_json("what-if", "--set", "max_order_value_usd=5000")
    assert document["decisions"] == 4
    assert [(s["answer"], s["code"], s["decisions"], Decimal(s["usd"])) for s in document["sums"]] == [
        ("as it was", "", 1, 1030),
        ("as it was", "order_value", 1, 12360),
        ("would be denied", "order_value", 1, 8240),
        ("cannot be told", "not_stored", 1, 2060),
    ]
    assert [(row["quantity"], row["answer"]) for row in document["changed"]] == [
        ("40", "would be denied"), ("10", "cannot be told")
    ]  # fmt: skip
    assert "exceeds 5000 USD" in run("what-if", "--set", "max_order_value_usd=5000").stdout
    assert as_json("what-if", "--set", "max_order_value_usd=5000", "--from", "2012-10-02")["decisions"] == 0
    assert as_json("what-if", "--set", "max_order_value_usd=5000", "--to", "2012-10-01")["decisions"] == 4


def test_what_if_wants_a_limit_that_there_is(configure: Callable[..., None]) -> None:
    with pytest.raises(InputError, match="name at least one limit"):
        run("what-if")
    with pytest.raises(InputError, match="max_moon_phase"):
        run("what-if", "--set", "max_moon_phase=1")
