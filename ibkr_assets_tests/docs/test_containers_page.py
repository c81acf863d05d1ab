"""The page about containers names the secrets, files and commands that there are; that about scale adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ibkr_assets.cli.main import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
SCALE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_it_makes_every_secret_that_the_file_asks_for() -> None:
    looped = re.search(r"for name in (.*?); do", PAGE, re.DOTALL)
    assert looped is not None
    made = {*looped[1].replace("\\", " ").split(), *re.findall(r"(?:> |touch )secrets/(\w+)", PAGE)}
    assert made == set(COMPOSE["secrets"])


@pytest.mark.parametrize("words", re.findall(r"run --rm cli (.+)", PAGE))
def test_its_commands_are_there(words: str) -> None:
    names = [word for word in re.split(r" --?\w", words)[0].split() if word.islower()]
    done = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert [word for word in words.split() if word.startswith("--") and word not in done.stdout] == []


def test_the_variables_it_names_are_read_by_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<!\$)\b((?:IBKR_ASSETS|IBKR_GATEWAY|MLFLOW|OWN)_[A-Z_0-9]+)\b", PAGE))
    assert named
    assert [name for name in sorted(named) if f"${{{name}:-" not in text] == []


def test_bytes_and_requests_of_the_page_about_scale_add_up() -> None:
    *tables, without = [int(text) for text in re.findall(r"\| (\d+) B \|", SCALE)]
    assert f"**{sum(tables)} B**" in SCALE
    assert tables[0] + tables[1] == without
    year = 390 * 5000 * 252
    requests = -(-390 * 252 // 1000) * 5000
    for text in (
        f"{year / 1e6:.0f} million", f"{year * sum(tables) / 1e9:.0f} GB", f"{year * without / 1e9:.0f} GB",
        f"{requests:,}", f"{requests / 10 / 3600:.1f} h", f"{requests / 6.25 / 3600:.0f} h",
    ):  # fmt: skip
        assert text in SCALE
