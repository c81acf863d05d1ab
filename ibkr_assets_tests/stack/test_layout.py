"""Where everything is, who gets which role, and that no secret is where others can read it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ibkr_assets import settings
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode
from ibkr_assets.stack.child import Service
from ibkr_assets.stack.layout import Layout, plan_layout
from ibkr_assets.stack.ports import PREFERRED_PORTS
from ibkr_assets.stack.services import list_services

CLOCK = datetime(2012, 10, 1, 13, 0, tzinfo=UTC)


def layout(data_dir: Path, **variables: str) -> Layout:
    in_force = settings.load({"IBKR_ASSETS_DATA_DIR": str(data_dir), **variables})
    return plan_layout(in_force, data_dir, PREFERRED_PORTS, first_session="2012-05-18")


def services(plan: Layout, tmp_path: Path) -> dict[str, Service]:
    return {service.name: service for service in list_services(plan, tmp_path, clock_start=CLOCK)}


def test_an_embedded_stack_is_in_mode_sim_and_may_trade_what_it_looks_at(tmp_path: Path) -> None:
    plan = layout(tmp_path)
    assert plan.mode is Mode.SIM
    assert plan.can_replay
    assert plan.allowed_symbols == plan.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    assert json.loads(plan.environment()["IBKR_ASSETS__RISK__ALLOWED_SYMBOLS"]) == list(plan.symbols)


def test_a_mode_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    assert layout(tmp_path, IBKR_ASSETS_MODE="dry_run").mode is Mode.DRY_RUN


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_real_money_needs_a_gateway_that_was_named(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"mode: {mode} needs a real gateway"):
        layout(tmp_path, IBKR_ASSETS_MODE=mode)


def test_an_outside_gateway_replaces_ours_in_the_mode_of_the_settings(tmp_path: Path) -> None:
    plan = layout(tmp_path, IBKR_ASSETS_GATEWAY_URL="https://localhost:5555/v1/api", IBKR_ASSETS_ACCOUNT="U7654321")
    assert plan.mode is Mode.DRY_RUN
    assert not plan.can_replay
    assert plan.account == "U7654321"
    table = services(plan, tmp_path)
    assert "gateway" not in table
    assert table["submitter"].after == ("databases",)


def test_an_outside_gateway_with_a_clock_and_its_token_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBKR_ASSETS_ADMIN_TOKEN", "secret")
    plan = layout(
        tmp_path,
        IBKR_ASSETS_MODE="sim",
        IBKR_ASSETS_GATEWAY_URL="http://127.0.0.1:5555/v1/api",
        IBKR_ASSETS_CLOCK_URL="http://127.0.0.1:5556/clock",
    )
    assert plan.can_replay


def test_every_process_finds_the_stack_by_the_documented_variables_alone(tmp_path: Path) -> None:
    plan = layout(tmp_path)
    found = settings.load(plan.environment())
    assert found.mode is plan.mode
    assert found.gateway.url == plan.gateway_url
    assert found.clock_url == plan.clock_url
    assert found.mlflow.tracking_uri == plan.mlflow_url
    assert found.account == plan.account
    assert found.risk.allowed_symbols == plan.symbols
    assert found.database.url is not None
    assert found.database.url.get_secret_value() == plan.databases.app


def test_only_the_submitter_has_the_submitters_role_and_only_the_gateway_the_admin_token(tmp_path: Path) -> None:
    plan = layout(tmp_path)
    table = services(plan, tmp_path)
    with_role = {name for name, s in table.items() if plan.databases.submitter in s.environment.values()}
    with_token = {name for name, s in table.items() if plan.admin_token in s.environment.values()}
    assert with_role == {"submitter"}
    assert with_token == {"gateway"}
    owners = {name for name, s in table.items() if plan.databases.owner in s.environment.values()}
    assert owners == set()


def test_no_password_is_on_a_command_line(tmp_path: Path) -> None:
    plan = layout(tmp_path)
    secrets = json.loads((tmp_path / "postgres-roles.json").read_text()).values()
    words = [word for service in services(plan, tmp_path).values() for word in service.command]
    assert [word for word in words for secret in [*secrets, plan.admin_token] if secret in word] == []


def test_a_service_needs_only_services_that_there_are(tmp_path: Path) -> None:
    for variables in ({}, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5999"}):
        table = services(layout(tmp_path, **variables), tmp_path)
        assert {name for service in table.values() for name in service.after} <= set(table)
        assert ("mlflow" in table) is (not variables)


def test_postgres_and_the_code_server_are_not_started_again_when_they_die(tmp_path: Path) -> None:
    table = services(layout(tmp_path), tmp_path)
    assert {name for name, s in table.items() if s.command and not s.may_restart} == {"postgres", "code"}


def test_paths_in_the_environment_still_lead_somewhere_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IBKR_ASSETS_CONFIG", "trading.yaml")
    table = services(layout(tmp_path), tmp_path)
    assert table["code"].environment["IBKR_ASSETS_CONFIG"] == str(tmp_path / "trading.yaml")


def test_partitions_of_our_own_gateway_end_with_its_tape(tmp_path: Path) -> None:
    from ibkr_assets.simulator.tape_files import load_tape

    tape = load_tape("real")
    traded = [s.day for s in tape.sessions if any(tape.bar(conid, s.day) for conid in tape.contracts)]
    assert layout(tmp_path).environment()["IBKR_ASSETS__MARKET__LAST_SESSION"] == max(traded).isoformat()


def test_an_outside_gateway_has_no_last_session(tmp_path: Path) -> None:
    plan = layout(tmp_path, IBKR_ASSETS_GATEWAY_URL="https://localhost:5555/v1/api", IBKR_ASSETS_ACCOUNT="U7654321")
    assert plan.last_session is None


def test_an_embedded_stack_asks_its_own_stand_in_where_no_model_is_named(tmp_path: Path) -> None:
    plan = layout(tmp_path, IBKR_ASSETS__LLM__TRAINING_CUTOFF="2020-01-01")
    found = settings.load(plan.environment() | {"IBKR_ASSETS__LLM__TRAINING_CUTOFF": "2020-01-01"}).llm
    table = services(plan, tmp_path)
    assert (found.base_url, found.model) == (table["analyst"].url, "rule-in-disguise-1")
    assert (found.answers_as, found.is_configured, found.api_key_env) == (found.model, True, None)
    assert "IBKR_ASSETS__LLM__TRAINING_CUTOFF" not in plan.environment()
    assert "IBKR_ASSETS_ADMIN_TOKEN" not in table["analyst"].environment


@pytest.mark.parametrize(
    "variables",
    [
        {
            "IBKR_ASSETS__LLM__PROVIDER": "openai",
            "IBKR_ASSETS__LLM__MODEL": "m",
            "IBKR_ASSETS__LLM__BUDGETS": '{"call_usd": "1", "strategy_usd": "1", "day_usd": "1"}',
        },
        {"IBKR_ASSETS_GATEWAY_URL": "https://localhost:5555/v1/api", "IBKR_ASSETS_ACCOUNT": "U7654321"},
    ],
)
def test_neither_a_model_that_was_named_nor_real_money_has_a_stand_in(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    plan = layout(tmp_path, **variables)
    assert "analyst" not in services(plan, tmp_path)
    assert not [name for name in plan.environment() if "LLM" in name]
