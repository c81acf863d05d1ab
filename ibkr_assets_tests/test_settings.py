"""Settings: where a value may come from, and what is refused before anything starts."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode
from ibkr_assets.settings import STACK_FILE, load


def test_a_fresh_checkout_rehearses_and_allows_nothing(tmp_path: Path) -> None:
    settings = load({"IBKR_ASSETS_DATA_DIR": str(tmp_path)})
    assert settings.mode is Mode.DRY_RUN
    assert settings.risk.allowed_symbols == ()
    assert settings.database.url is None


def test_limits_are_wider_in_mode_sim_unless_they_are_set(tmp_path: Path) -> None:
    nowhere = {"IBKR_ASSETS_DATA_DIR": str(tmp_path)}
    per_minute = "IBKR_ASSETS__RISK__MAX_MESSAGES_PER_MINUTE"
    assert load({**nowhere, "IBKR_ASSETS_MODE": "paper"}).risk.max_messages_per_minute == 6
    assert load({**nowhere, "IBKR_ASSETS_MODE": "sim"}).risk.max_messages_per_minute == 600
    assert load({**nowhere, "IBKR_ASSETS_MODE": "sim", per_minute: "5"}).risk.max_messages_per_minute == 5


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("risk: {max_order_value_usd: 4000, may_short: true}\nmode: sim\n")
    settings = load(
        {
            "IBKR_ASSETS_CONFIG": str(file),
            "IBKR_ASSETS_DATA_DIR": str(tmp_path),
            "IBKR_ASSETS__RISK__MAX_ORDER_VALUE_USD": "2500",
            "IBKR_ASSETS__RISK__ALLOWED_SYMBOLS": '["AAPL"]',
        }
    )
    assert settings.risk.max_order_value_usd == Decimal(2500)
    assert settings.risk.may_short
    assert settings.risk.allowed_symbols == ("AAPL",)
    assert settings.mode is Mode.SIM


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"IBKR_ASSETS_DRY_RUN": "false"}, "IBKR_ASSETS_DRY_RUN: unknown variable"),
        ({"IBKR_ASSETS__RISK__MAX_ORDR_VALUE": "1"}, "unknown setting risk.max_ordr_value"),
        ({"IBKR_ASSETS_MODE": "life"}, "mode: .*got 'life'"),
        ({"IBKR_ASSETS__RISK__MAX_ORDER_VALUE_USD": "-5"}, "risk.max_order_value_usd: .*got '-5'"),
        ({"IBKR_ASSETS_CONFIG": "/nowhere/at/all.yaml"}, "no such file"),
        ({"IBKR_ASSETS_MODE": "live", "IBKR_ASSETS_CLOCK_URL": "http://127.0.0.1:1/clock"}, "clock_url is refused"),
        ({"IBKR_ASSETS_MODE": "paper", "IBKR_ASSETS_GATEWAY_URL": "http://127.0.0.1:1/v1/api"}, "must be https"),
        ({"IBKR_ASSETS_MODE": "paper", "IBKR_ASSETS_CRASH": "send.begun:1"}, "crash is refused"),
        ({"IBKR_ASSETS_CRASH": "send.begun:1"}, "mode sim only"),
        ({"IBKR_ASSETS__GATEWAY__PACE": "100"}, "gateway.pace is for mode sim only, got mode dry_run"),
        (
            {"IBKR_ASSETS_MODE": "live", "IBKR_ASSETS__SUBMITTER__MAY_RESEND": "true"},
            "may_resend is refused in mode live",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(environment: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        load({"IBKR_ASSETS_DATA_DIR": str(tmp_path), **environment})
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "words"),
    [("mode: [sim\n", "line 2"), ("- sim\n", "expected a mapping"), ("mod: sim\n", "mod: unknown setting")],
)
def test_a_file_that_cannot_be_read_is_refused(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        load({"IBKR_ASSETS_CONFIG": str(file), "IBKR_ASSETS_DATA_DIR": str(tmp_path)})


def test_a_password_in_a_wrong_database_url_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("database: {url: {password: hunter2}}\n")
    with pytest.raises(ConfigurationError) as refused:
        load({"IBKR_ASSETS_CONFIG": str(file), "IBKR_ASSETS_DATA_DIR": str(tmp_path)})
    assert "hunter2" not in str(refused.value)


def test_what_a_stack_left_behind_counts_no_more(tmp_path: Path) -> None:
    left = {"pid": 1, "environment": {"IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": "DU1"}}
    (tmp_path / STACK_FILE).write_text(json.dumps(left))
    assert load({"IBKR_ASSETS_DATA_DIR": str(tmp_path)}).mode is Mode.DRY_RUN


BUDGETS = {"call_usd": "0.01", "strategy_usd": "1", "day_usd": "2"}


@pytest.mark.parametrize(
    ("llm", "words"),
    [
        ({"base_url": "http://127.0.0.1:1/v1", "budgets": BUDGETS}, "model and budgets are required"),
        ({"base_url": "http://127.0.0.1:1/v1", "model": "m"}, "model and budgets are required"),
        ({"provider": "nobody", "model": "m", "budgets": BUDGETS}, "provider 'nobody': known are anthropic"),
        ({"provider": "openai", "base_url": "https://h", "model": "m", "budgets": BUDGETS}, "set one of them"),
        ({"base_url": "ftp://h", "model": "m", "budgets": BUDGETS}, "llm.base_url"),
        (
            {"base_url": "http://model.example/v1", "model": "m", "budgets": BUDGETS, "api_key_env": "MY_KEY"},
            "https where a key is sent, got host model.example",
        ),
    ],
)
def test_a_language_model_is_named_whole_or_not_at_all(tmp_path: Path, llm: dict[str, object], words: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"llm": llm}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=words):
        load({"IBKR_ASSETS_CONFIG": str(path)})


def test_budgets_and_price_of_a_model_come_from_the_environment_as_json() -> None:
    found = load(
        {
            "IBKR_ASSETS__LLM__BASE_URL": "http://127.0.0.1:1/v1",
            "IBKR_ASSETS__LLM__MODEL": "m",
            "IBKR_ASSETS__LLM__BUDGETS": json.dumps(BUDGETS),
        }
    ).llm
    assert found.budgets is not None
    assert (found.budgets.day_usd, found.is_configured) == (Decimal(2), True)
