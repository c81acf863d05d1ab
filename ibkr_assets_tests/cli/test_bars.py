"""`ibkr-assets bars` and `actions` as a person meets them, over a real database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from ibkr_assets.ingest.bar_files import write_rows
from ibkr_assets_tests.cli.test_commands import run
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars
from ibkr_assets_tests.foreign import COLUMNS, SCHEMA, TABLE, foreign_database

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
    for options, expected in (((), [1, 0, 0]), (("--again",), [0, len(bars) - 1, len(bars) - 1])):
        done = ask("bars", "import", str(tmp_path / "MSFT.csv"), "--json", *options)
        report = json.loads(done.stdout)
        assert [report[name] for name in ("files_unchanged", "rows", "unchanged")] == expected
        assert ("1 of 1 files unchanged, and not read again" in done.stderr) is (not options)
    (gap,) = json.loads(ask("bars", "gaps", "--json").stdout)
    assert (gap["symbol"], gap["session"]) == ("MSFT", "2003-01-09")

    added = ask("actions", "add", "MSFT", "2003-02-18", "split", "2", "--source", "issuer")
    assert (added.returncode, added.stdout) == (0, "")
    assert "no stored features would come out otherwise" in added.stderr
    out = tmp_path / "out.parquet"
    assert ask("bars", "export", "--raw", "--adjusted", "--out", str(out)).returncode == 0
    first = pd.read_parquet(out).iloc[0]
    assert (first["close"], first["volume"]) == (bars["close"][0] / 2, bars["volume"][0] * 2)


def test_an_export_as_of_then_is_the_same_file_and_hash_after_a_correction(ask: Ask, tmp_path: Path) -> None:
    bars = real_bars("MSFT", start=date(2003, 1, 2), end=date(2003, 1, 31))
    write_rows(bars, tmp_path / "MSFT.csv")
    assert ask("bars", "import", str(tmp_path / "MSFT.csv"), "--conid", str(CONIDS["MSFT"])).returncode == 0
    then = datetime.now(UTC).isoformat()

    def export(name: str, *options: str) -> tuple[bytes, str]:
        done = ask("bars", "export", "--out", str(tmp_path / name), *options)
        assert done.returncode == 0, done.stderr
        return (tmp_path / name).read_bytes(), done.stderr.split("versions ")[1].strip()

    before = export("a.csv", "--as-of", then)
    assert before == export("now.csv")
    write_rows(bars.assign(close=bars["close"] - 0.01 * (bars.index == 3)), tmp_path / "MSFT.csv")
    assert ask("bars", "import", str(tmp_path / "MSFT.csv")).returncode == 0
    assert export("b.csv", "--as-of", then) == before
    content, digest = export("c.csv")
    assert content != before[0]
    assert digest != before[1]
    read = pd.read_csv(tmp_path / "c.csv")
    assert (read["close"] != pd.read_csv(tmp_path / "a.csv")["close"]).tolist().count(True) == 1


def test_a_table_of_another_database_is_extracted_by_the_settings(
    database_url: str, postgres_server, tmp_path: Path
) -> None:
    bars = real_bars("IBM", "MSFT", start=date(2003, 1, 2), end=date(2003, 1, 31))
    (tmp_path / "ids.csv").write_text("symbol,conid\n" + "".join(f"{s},{CONIDS[s]}\n" for s in ("IBM", "MSFT")))
    with foreign_database(postgres_server) as foreign:
        foreign.add_bars(bars)
        (tmp_path / "url").write_text(foreign.url)
        env = {
            "IBKR_ASSETS_DATABASE_URL": database_url,
            "IBKR_ASSETS__SOURCES__INSTRUMENTS": str(tmp_path / "ids.csv"),
            "IBKR_ASSETS__SOURCES__POSTGRES__URL_FILE": str(tmp_path / "url"),
            "IBKR_ASSETS__SOURCES__POSTGRES__TABLE_SCHEMA": SCHEMA,
            "IBKR_ASSETS__SOURCES__POSTGRES__TABLE": TABLE,
            "IBKR_ASSETS__SOURCES__POSTGRES__COLUMNS": json.dumps(COLUMNS),
        }
        done = run("bars", "extract", "--symbols", "IBM", "--json", data_dir=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["inserted"] == len(bars) // 2
        assert "1 of the table" in done.stderr
        all_of_it = run("bars", "extract", "--json", data_dir=tmp_path, env=env)
        assert [json.loads(all_of_it.stdout)[name] for name in ("inserted", "unchanged")] == [len(bars) // 2] * 2
        wrong = run("bars", "extract", data_dir=tmp_path, env=env | {"IBKR_ASSETS__SOURCES__POSTGRES__TABLE": "x"})
        assert (wrong.returncode, "does not exist" in wrong.stderr) == (78, True)
        assert foreign.url.split(":")[2].split("@")[0] not in wrong.stderr, "a password is told to nobody"
