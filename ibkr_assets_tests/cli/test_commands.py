"""The command line as a person meets it: exit codes, one line for an error, nothing but data on stdout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str, data_dir: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("IBKR_ASSETS", "DAGSTER", "MLFLOW"))}
    return subprocess.run(
        [sys.executable, "-m", "ibkr_assets.cli", *arguments],
        env={**inherited, "IBKR_ASSETS_DATA_DIR": str(data_dir), **(env or {})},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "env", "code", "words"),
    [
        (["nonsense"], {}, 2, "No such command"),
        (["status"], {"IBKR_ASSETS_MODE": "life"}, 78, "mode: .* got 'life'"),
        (["ledger", "export"], {}, 78, "database.url: not set"),
        (["broker", "status"], {}, 78, "gateway.url: not set"),
        (["broker", "status"], {"IBKR_ASSETS_GATEWAY_URL": "http://gw/v1/api", "IBKR_ASSETS_ACCOUNT": "A"}, 78, "gw"),
        (["ledger", "export"], {"IBKR_ASSETS_DATABASE_URL": "postgresql://u:pw@127.0.0.1:9/x"}, 75, "127.0.0.1:9"),
        (["strategies", "add", "--file", "/nowhere.yaml"], {}, 78, "/nowhere.yaml"),
        (["features", "--bars", "/nowhere.csv", "--out", "o.csv"], {}, 2, "no such file: /nowhere.csv"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    arguments: list[str], env: dict[str, str], code: int, words: str, tmp_path: Path
) -> None:
    done = run(*arguments, data_dir=tmp_path, env=env)
    assert done.returncode == code, done.stderr
    assert re.search(words, done.stderr)
    assert "Traceback" not in done.stderr
    assert "pw" not in done.stderr
    assert done.stdout == ""


def test_the_local_kill_needs_no_database_and_the_submitter_would_see_it(tmp_path: Path) -> None:
    from ibkr_assets.execution.kill import kill_file, killed_by_file

    done = run("kill", "--local", "--reason", "wrong prices", data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wrong prices" in str(killed_by_file(kill_file(tmp_path)))


def test_crash_points_are_listed_as_json(tmp_path: Path) -> None:
    done = run("crashpoints", "--json", data_dir=tmp_path)
    assert len(json.loads(done.stdout)) >= 22


def test_features_of_a_file_are_written_and_a_bad_number_names_its_row(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},10,11,9,{10 + day / 100},1000" for day in range(1, 31)]
    bars, out = tmp_path / "xyz.csv", tmp_path / "out.csv"
    bars.write_text("opened_at,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    assert run("features", "--bars", str(bars), "--out", str(out), data_dir=tmp_path).returncode == 0
    assert len(out.read_text().splitlines()) == 31
    bars.write_text("opened_at,open,high,low,close,volume\n2024-01-02,10,11,9,many,1000\n")
    done = run("features", "--bars", str(bars), "--out", str(out), data_dir=tmp_path)
    assert done.returncode == 2
    assert "row 1: close cannot be read: 'many'" in done.stderr


def test_every_command_the_readme_names_is_there(tmp_path: Path) -> None:
    named = set(
        re.findall(r"^(?:eval \"\$\()?ibkr-assets ([a-z]+(?: [a-z]+)?)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    assert named
    for command in named:
        assert run(*command.split(), "--help", data_dir=tmp_path).returncode == 0, command
