"""The page about the analyst does what it says: its commands are run, its settings and strategies are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ibkr_assets import settings as configuration
from ibkr_assets.adapters.llm.endpoints import ENDPOINTS
from ibkr_assets.adapters.strategies_file import read_strategies
from ibkr_assets.cli.main import app
from ibkr_assets.strategies.canary import QUESTIONS
from ibkr_assets.strategies.llm_analyst import MOST_CONFIDENCE
from ibkr_assets.strategies.outside.languages import LANGUAGES
from ibkr_assets.strategies.outside_text import MOST_SHOWN
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.docs.pages import broken_promises, commands, free_ports

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "analyst.md").read_text()
_BOUND_S = 60


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    assert all(promised for _, promised in commands(PAGE))
    assert broken_promises(PAGE, tmp_path, {"5025": free_ports(1)[0]}) == []


def test_its_strategy_can_be_built(tmp_path: Path) -> None:
    (block,) = blocks("yaml strategies")
    path = tmp_path / "strategies.yaml"
    path.write_text(block)
    (record,) = read_strategies(path)
    assert build_strategy(record.kind, record.params).warm_up_bars > 0


def test_its_settings_are_settings(tmp_path: Path) -> None:
    (block,) = blocks("yaml settings")
    path = tmp_path / "settings.yaml"
    path.write_text(block)
    llm = configuration.load({"IBKR_ASSETS_CONFIG": str(path), "IBKR_ASSETS_DATA_DIR": str(tmp_path)}).llm
    assert llm.is_configured
    assert set(yaml.safe_load(block)["llm"]) <= set(type(llm).model_fields)
    assert llm.endpoint.api_key_env == "OPENAI_API_KEY"
    named = re.search(r"Known by name are (.*?)\.", PAGE, re.DOTALL)
    assert named is not None
    assert re.split(r",\s|\sand\s", named[1].replace("\n", " ").strip()) == sorted(ENDPOINTS)


@pytest.mark.parametrize("command", [line for block in blocks("console") for line in block.splitlines()])
def test_its_other_commands_are_there_with_the_options_they_are_given(command: str) -> None:
    words = command.removeprefix("ibkr-assets ").split()
    names = words[: 2 if words[0] == "canary" else 1]
    done = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert [word for word in words if word.startswith("--") and word not in done.stdout] == []


def test_its_figures_are_those_of_the_code() -> None:
    assert f"at most {MOST_CONFIDENCE}" in PAGE
    assert f"cut to {MOST_SHOWN} characters" in PAGE
    assert len(QUESTIONS) == 4
    assert "four fixed questions" in PAGE.replace("\n", " ")
    assert len(LANGUAGES) + 1 + 7 >= 24, "two dozen languages or codes"
