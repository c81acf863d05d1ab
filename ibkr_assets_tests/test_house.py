"""The tree keeps its own rules: floors, sizes, names, and a lock file that names no host."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "ibkr_assets").rglob("*.py"))


def test_floors_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


def test_types_are_strict_and_hold() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]])
def test_lint_and_format_hold(command: list[str]) -> None:
    ruff = str(Path(sys.executable).with_name("ruff"))
    result = subprocess.run(
        [ruff, *command, "ibkr_assets", "ibkr_assets_tests", "benchmarks"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {str(m.relative_to(ROOT)): n for m in MODULES if (n := len(m.read_text().splitlines())) > 300}
    assert not long


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc", "manager"}
    assert not [m for m in MODULES if m.stem in drawers]


def test_every_module_opens_with_its_job() -> None:
    without = [str(m.relative_to(ROOT)) for m in MODULES if not ast.get_docstring(ast.parse(m.read_text()))]
    assert not without


def test_package_inits_hold_a_docstring_at_most() -> None:
    for init in (m for m in MODULES if m.name == "__init__.py"):
        assert len(ast.parse(init.read_text()).body) == 1, init


def test_dagster_modules_keep_their_annotations() -> None:
    offenders = [
        m for m in (ROOT / "ibkr_assets" / "defs").glob("*.py") if "from __future__ import annotations" in m.read_text()
    ]
    assert not offenders


def test_tests_use_no_mocks() -> None:
    pattern = re.compile(r"^\s*(from|import) (unittest\.mock|unittest import mock|mock\b)", re.MULTILINE)
    assert not [t for t in (ROOT / "ibkr_assets_tests").rglob("*.py") if pattern.search(t.read_text())]


def test_lock_file_names_no_host() -> None:
    assert not re.search(r"https?://", (ROOT / "requirements.lock").read_text())


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    probe = (
        "import sys; sys.argv=['ibkr-assets','--help']\n"
        "from ibkr_assets.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy={'dagster','mlflow','pandas','matplotlib','psycopg','httpx'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
