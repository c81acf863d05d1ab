"""`ibkr-assets bars` and `actions` as a person meets them, over a real database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from ibkr_assets.ingest.bar_files import write_rows
from ibkr_assets_tests.cli.test_commands import run
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(database_url: str, tmp_path: Path) -> Ask:
    return lambda *arguments: run(*arguments, data_dir=tmp_path, env={"IBKR_ASSETS_DATABASE_URL": database_url})


def test_bars_come_in_and_go_out_adjusted_and_a_gap_is_listed(ask: Ask, tmp_path: Path) -> None:
    bars = real_bars("MSFT", start=date(2003, 1, 2), end=date(2003, 3, 31))
    write_rows(bars.drop(index=5), tmp_path / "MSFT.csv")
    unknown = ask("bars", "import", str(tmp_path / "MSFT.csv"))
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "symbol MSFT: not known; give --conid" in unknown.stderr

    done = ask("bars", "import", str(tmp_path / "MSFT.csv"), "--conid", str(CONIDS["MSFT"]), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["inserted"], report["gaps"]) == (len(bars) - 1, len(bars) - 1, 1)
    assert report["quarantined"] == {"split_suspect": 1}
    (gap,) = json.loads(ask("bars", "gaps", "--json").stdout)
    assert (gap["symbol"], gap["session"]) == ("MSFT", "2003-01-09")

    assert ask("actions", "add", "MSFT", "2003-02-18", "split", "2", "--source", "issuer").returncode == 0
    out = tmp_path / "out.parquet"
    assert ask("bars", "export", "--raw", "--adjusted", "--out", str(out)).returncode == 0
    first = pd.read_parquet(out).iloc[0]
    assert (first["close"], first["volume"]) == (bars["close"][0] / 2, bars["volume"][0] * 2)
