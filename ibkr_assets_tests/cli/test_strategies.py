"""`ibkr-assets strategies ...` as a person runs it, over a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ibkr_assets.cli.main import app
from ibkr_assets.domain.errors import ConfigurationError, InputError

ENTRY: dict[str, Any] = {
    "id": "a", "kind": "sma_cross", "params": {"fast": 5, "slow": 20, "short": False}, "symbols": ["IBM", "MSFT"],
    "bar_size": "1d", "schedule": "weekly", "sizing": "percent:8", "risk": {"max_order_value_usd": "5000"},
    "account": None, "enabled": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def platform(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform in its default mode that may trade two symbols."""
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IBKR_ASSETS__RISK__ALLOWED_SYMBOLS", '["IBM","MSFT"]')


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """A strategies file of these entries, each a change of ENTRY."""

    def to(*changes: dict[str, Any]) -> str:
        path = tmp_path / "strategies.yaml"
        path.write_text(yaml.safe_dump([ENTRY | change for change in changes]))
        return str(path)

    return to


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["strategies", *arguments], catch_exceptions=False, standalone_mode=False)


def listed() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("list", "--json").stdout)
    return rows


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"kind": "sma"}, "strategy b: kind 'sma': no such kind"),
    ({"params": {"fast": 30, "slow": 20}}, "strategy b: .*slow must be greater than fast, got fast 30"),
    ({"params": {"period": 3}}, "strategy b: .*period: .*got 3"),
    ({"schedule": "hourly"}, "strategy b: schedule 'hourly': expected one of"),
    ({"risk": {"max_order_value_usd": 20_000}}, r"strategy b: risk\.max_order_value_usd 20000: is looser than the 10"),
    ({"bar_size": "1min"}, "strategy b: bar_size 1min: strategies decide on daily bars"),
    ({"account": "DU9"}, "strategy b: account DU9: this platform trades no account"),
    ({"symbols": ["IBM", "IBM"]}, "strategy b: symbols IBM: more than once"),
)


def test_one_that_could_not_run_is_refused_and_with_it_the_file(write: Callable[..., str]) -> None:
    for change, words in REFUSED:
        with pytest.raises(ConfigurationError, match=words):
            run("add", "--file", write({}, {"id": "b"} | change))
    assert listed() == []


def test_what_is_exported_is_imported_as_it_was(write: Callable[..., str], tmp_path: Path) -> None:
    run("add", "--file", write({}, {"id": "on", "sizing": "fixed:10", "params": {}, "enabled": False}))
    before = listed()
    out = tmp_path / "out.yaml"
    run("export", "--out", str(out))
    assert [entry["id"] for entry in yaml.safe_load(out.read_text())] == ["a", "on"]
    assert "0 of 2 strategies written" in run("import", str(out)).stderr
    assert listed() == before
    assert yaml.safe_load(run("export", "on").stdout)[0]["sizing"] == "fixed:10"


def test_an_edit_shows_the_difference_and_is_the_next_version(write: Callable[..., str]) -> None:
    run("add", "--file", write({}))
    shown = run("edit", "a", "--set", "params.fast=7", "--set", "sizing=percent:5").stdout.splitlines()
    assert shown[:2] == ["--- a version 1", "+++ a version 2"]
    assert {"-    fast: 5", "+    fast: 7", "-  sizing: percent:8", "+  sizing: percent:5"} <= set(shown)
    assert [(row["version"], row["params"]["fast"]) for row in listed()] == [(2, 7)]
    assert json.loads(run("show", "a", "--version", "1").stdout)["params"]["fast"] == 5
    with pytest.raises(InputError, match="version 3: strategy 'a' has 2"):
        run("show", "a", "--version", "3")


def test_an_edit_may_be_rehearsed_and_a_wrong_one_is_refused(write: Callable[..., str]) -> None:
    run("add", "--file", write({}))
    assert "+  sizing: fixed:1" in run("edit", "a", "--set", "sizing=fixed:1", "--dry-run").stdout
    for change, words in (
        ("params.fast=99", "slow must be greater"), ("sizes=1", "expected field=value"), ("sizing", "expected field"),
        ("risk.max_order_value_usd=99999", "looser"), ("id=b", "a strategy keeps its id"), ("sizing=lots:1", "sizing"),
    ):  # fmt: skip
        with pytest.raises((ConfigurationError, InputError), match=words):
            run("edit", "a", "--set", change)
    assert [row["version"] for row in listed()] == [1]


def test_an_editor_leaves_the_strategy_as_it_was_saved(
    write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", "--file", write({}))
    monkeypatch.setenv("EDITOR", "sed -i 's/fast: 5/fast: 9/'")
    run("edit", "a")
    assert listed()[0]["params"]["fast"] == 9
    monkeypatch.setenv("EDITOR", "true")
    with pytest.raises(InputError, match="without saving"):
        run("edit", "a")


def test_the_history_says_when_by_whom_and_what(write: Callable[..., str]) -> None:
    run("add", "--file", write({}))
    run("disable", "a")
    run("edit", "a", "--set", "params.slow=40")
    rows = json.loads(run("history", "a", "--json").stdout)
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert [set(row["changed"]) for row in rows] == [set(), {"enabled"}, {"params"}]
    assert rows[1]["changed"]["enabled"] == {"from": True, "to": False}
    assert all(row["actor"] and row["at"].endswith("+00:00") for row in rows)
    assert [row["strategy"]["params"]["slow"] for row in rows] == [20, 20, 40]
    assert "enabled: True -> False" in run("history", "a").stdout
    with pytest.raises(InputError, match="no strategy 'b'"):
        run("history", "b")


def test_one_whose_limits_are_looser_by_now_is_not_enabled_again(
    write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", "--file", write({"enabled": False}))
    monkeypatch.setenv("IBKR_ASSETS__RISK__MAX_ORDER_VALUE_USD", "4000")
    with pytest.raises(ConfigurationError, match="5000: is looser than the 4000"):
        run("enable", "a")
    run("disable", "a")
    assert [(row["version"], row["is_enabled"]) for row in listed()] == [(1, False)]


def test_symbols_that_no_order_is_approved_for_are_told(write: Callable[..., str]) -> None:
    assert "no order for AAPL is approved" in run("add", "--file", write({"symbols": ["AAPL", "IBM"]})).stderr


def test_the_kinds_are_listed_with_their_parameters() -> None:
    assert {"sma_cross", "donchian"} <= set(json.loads(run("kinds", "--json").stdout))
    assert "fast" in run("kinds").stdout
