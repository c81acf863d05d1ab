"""`backtest` and `sweep` as a person runs them: files, figures on stdout, and one line for what is wrong."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ibkr_assets.cli.main import app
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets_tests.fakes.tape import real_bars
from ibkr_assets_tests.strategies.test_own_files import FILE


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "AAPL.csv"
    real_bars("AAPL").head(400).drop(columns=["conid", "symbol"]).to_csv(path, index=False)
    return path


def run(*arguments: object) -> tuple[str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False)
    return done.stdout, done.stderr


def test_a_backtest_writes_its_files_and_prints_its_figures(bars: Path, tmp_path: Path) -> None:
    out = tmp_path / "result"
    stdout, stderr = run(
        "backtest", "sma_cross", "--bars", bars, "--param", "fast=5", "--param", "slow=20", "--param", "short=true",
        "--size", "fixed:100", "--commission", "ibkr-fixed", "--cash", 200_000, "--out", out, "--no-track", "--json",
    )  # fmt: skip
    figures = json.loads(stdout)
    with (out / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    assert len(trades) == figures["trades"] > 5
    assert {row["symbol"] for row in trades} == {"AAPL"}
    with (out / "equity.csv").open() as file:
        equity = list(csv.DictReader(file))
    assert len(equity) == 400
    assert (
        float(equity[-1]["equity"])
        == figures["final_equity"]
        == json.loads((out / "metrics.json").read_text())["final_equity"]
    )
    assert "sma_cross fast=5 slow=20 short=True" in (out / "tear_sheet.html").read_text()
    assert "written:" in stderr


def test_the_rules_of_the_settings_are_heard_where_they_are_asked_for(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBKR_ASSETS__RISK__ALLOWED_SYMBOLS", '["AAPL"]')
    monkeypatch.setenv("IBKR_ASSETS__RISK__MAX_ORDER_VALUE_USD", "1000")
    asked = ("backtest", "sma_cross", "--bars", bars, "--size", "fixed:100", "--no-track", "--json", "--out")
    free, reviewed = tmp_path / "free", tmp_path / "reviewed"
    run(*asked, free)
    _, stderr = run(*asked, reviewed, "--risk", "settings")
    assert not (free / "denied.csv").exists()
    assert "denied_orders" not in json.loads((free / "metrics.json").read_text())
    counted = json.loads((reviewed / "metrics.json").read_text())
    assert counted["denied_orders"]["order_value"] > 0
    assert counted["about"]["risk"].startswith("limits ")
    assert counted["trades"] == 0 < json.loads((free / "metrics.json").read_text())["trades"]
    with (reviewed / "denied.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(counted["denied_orders"].values())
    assert f"denied by order_value: {counted['denied_orders']['order_value']} openings" in stderr
    with pytest.raises(InputError, match="risk 'all'"):
        run(*asked, reviewed, "--risk", "all")


def test_parquet_and_days_in_between(bars: Path, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.read_csv(bars)
    parquet = tmp_path / "AAPL.parquet"
    frame.assign(opened_at=pd.to_datetime(frame["opened_at"])).to_parquet(parquet)
    for source in (bars, parquet):
        run("backtest", "donchian", "--bars", source, "--from", "2000-06-01", "--to", "2000-12-29",
            "--out", tmp_path / source.suffix, "--no-track")  # fmt: skip
    files = [(tmp_path / suffix / "equity.csv").read_text() for suffix in (".csv", ".parquet")]
    assert files[0] == files[1]
    lines = files[0].splitlines()
    assert (lines[1][:10], lines[-1][:10]) == ("2000-06-01", "2000-12-29")


def test_a_strategy_of_the_users_own_is_found_where_the_configuration_says(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "up_days.py").write_text(FILE)
    monkeypatch.setenv("IBKR_ASSETS__STRATEGIES__DIRECTORY", str(tmp_path / "mine"))
    stdout, _ = run(
        "backtest", "up_days", "--bars", bars, "--param", "bars=2", "--out", tmp_path / "o", "--no-track", "--json"
    )
    assert json.loads(stdout)["trades"] > 5


def test_a_sweep_is_ranked_and_warns(bars: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    stdout, stderr = run(
        "sweep", "sma_cross", "--bars", bars, "--grid", "fast=2:6:2", "--grid", "slow=10:30:10", "--out", out,
        "--no-track", "--json",
    )  # fmt: skip
    document = json.loads(stdout)
    assert document == json.loads((out / "sweep.json").read_text())
    with (out / "sweep.csv").open() as file:
        first = next(csv.DictReader(file))
    assert document["best"]["params"] == {"fast": int(first["fast"]), "slow": int(first["slow"])}
    assert (out / "heat_map.png").stat().st_size > 10_000
    assert "the best of 9 tries on one past is mostly the luckiest" in stderr
    sampled, _ = run("sweep", "sma_cross", "--bars", bars, "--grid", "fast=2:6:2", "--grid", "slow=10:30:10",
                     "--sample", 4, "--out", out, "--no-track", "--json")  # fmt: skip
    assert json.loads(sampled)["about"]["tried"] == 4


def test_a_sweep_walks_forward_and_its_page_doubts_itself(bars: Path, tmp_path: Path) -> None:
    asked = ("sweep", "sma_cross", "--bars", bars, "--grid", "fast=2:6:2", "--grid", "slow=10:20:10", "--no-track")
    stdout, stderr = run(*asked, "--walk-forward", 3, "--out", tmp_path / "o", "--json")
    walked = json.loads(stdout)["walk_forward"]
    assert [fold["first_day"] for fold in walked["folds"]] == sorted(fold["first_day"] for fold in walked["folds"])
    assert len(walked["folds"]) == 3
    assert walked["metrics"]["final_equity"] == walked["folds"][-1]["final_equity"]
    assert "chosen anew on each past and traded on what came next, the Sharpe ratio is" in stderr
    assert "is mostly the luckiest" in (tmp_path / "o" / "tear_sheet.html").read_text()


@pytest.mark.slow
def test_the_best_sets_of_a_sweep_have_runs_below_its_own(bars: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    command = [sys.executable, "-m", "ibkr_assets.cli", "sweep", "sma_cross", "--bars", str(bars), "--out", "o"]
    command += ["--grid", "fast=2:6:4", "--grid", "slow=10:20:10"]
    subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{database}"},
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    with closing(sqlite3.connect(database)) as connection:
        statuses = dict(connection.execute("select run_uuid, status from runs"))
        parents = dict(connection.execute("select run_uuid, value from tags where key = 'mlflow.parentRunId'"))
        ranked = dict(connection.execute("select run_uuid, value from metrics where key = 'sharpe'"))
        (rows,) = connection.execute("select count(*) from params where key in ('fast', 'slow')").fetchone()
    (parent,) = set(parents.values())
    assert set(statuses.values()) == {"FINISHED"}
    assert set(statuses) == {parent, *parents}
    assert (len(parents), rows) == (4, 8)
    assert ranked[parent] == max(ranked.values())


@pytest.mark.slow
def test_a_run_is_tracked_with_its_files(bars: Path, tmp_path: Path) -> None:
    """In a process of its own: MLflow's database code leaves connections open."""
    database = tmp_path / "mlflow.db"
    command = [sys.executable, "-m", "ibkr_assets.cli", "backtest", "sma_cross", "--bars", str(bars), "--out", "o"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{database}"},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "tracked: " in done.stderr
    with closing(sqlite3.connect(database)) as connection:
        (run_id, status), *others = connection.execute("select run_uuid, status from runs").fetchall()
        params = dict(connection.execute("select key, value from params"))
        metrics = dict(connection.execute("select key, value from metrics"))
    assert (status, others) == ("FINISHED", [])
    assert (params["strategy"], params["source"], len(params["source_sha256"])) == ("sma_cross", "AAPL.csv", 64)
    assert metrics["trades"] == json.loads((tmp_path / "o" / "metrics.json").read_text())["trades"]
    logged = {path.name for path in tmp_path.rglob("*") if run_id in path.parts and path.is_file()}
    assert {"trades.csv", "equity.csv", "metrics.json", "tear_sheet.html"} <= logged


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backtest", "sma_cross"], "name either --bars FILE or --symbols"),
        (["backtest", "sma_cross", "--bars", "BARS", "--param", "fast"], "param 'fast': expected k=v"),
        (["backtest", "sma_cross", "--bars", "BARS", "--size", "all"], "size: sizing 'all'"),
        (["backtest", "sma_cross", "--bars", "BARS", "--commission", "free"], "commission 'free'"),
        (["backtest", "sma_cross", "--bars", "BARS", "--from", "2030-01-01"], "bars: none from 2030-01-01"),
        (["sweep", "sma_cross", "--bars", "BARS", "--grid", "fast"], "grid 'fast'"),
        (["sweep", "sma_cross", "--bars", "BARS", "--grid", "fast=2:4:1", "--rank-by", "luck"], "rank_by 'luck'"),
    ],
)
def test_what_is_wrong_is_named(bars: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    given = [str(bars) if argument == "BARS" else argument for argument in arguments]
    with pytest.raises(InputError, match=words):
        run(*given, "--out", tmp_path / "o", "--no-track")
    assert not (tmp_path / "o").exists()


def test_an_unknown_kind_is_named(bars: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'smacross': no such kind"):
        run("backtest", "smacross", "--bars", bars, "--out", tmp_path / "o")


def test_a_wrong_bar_is_named(bars: Path, tmp_path: Path) -> None:
    lines = bars.read_text().splitlines()
    cells = lines[8].split(",")
    bars.write_text("\n".join([*lines[:8], ",".join([*cells[:2], "0.5", *cells[3:]]), *lines[9:]]))
    with pytest.raises(InputError, match=r"bars: AAPL bar 7: high is below open, close or low, got 0\.5"):
        run("backtest", "sma_cross", "--bars", bars, "--out", tmp_path / "o", "--no-track")


@pytest.mark.parametrize(("cutoff", "contaminated"), [("", "true"), ("1990-01-01", "false")])
def test_a_backtest_of_a_kind_that_asks_a_model_says_what_the_model_may_have_known(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cutoff: str, contaminated: str
) -> None:
    if cutoff:
        monkeypatch.setenv("IBKR_ASSETS__LLM__TRAINING_CUTOFF", cutoff)
    out = tmp_path / "result"
    _, stderr = run("backtest", "llm_analyst", "--bars", bars, "--out", out, "--no-track")
    about = json.loads((out / "metrics.json").read_text())["about"]
    assert (about["contaminated"], about["training_cutoff"]) == (contaminated, cutoff or "unknown")
    assert about["contaminated_bars"] == (400 if contaminated == "true" else 0)
    told = "a language model decided on 400 of 400 bars"
    assert (told in stderr) is (told in (out / "tear_sheet.html").read_text()) is (contaminated == "true")


def test_a_rule_that_asks_no_model_is_not_spoken_of_as_one(bars: Path, tmp_path: Path) -> None:
    run("backtest", "sma_cross", "--bars", bars, "--out", tmp_path / "result", "--no-track")
    assert "contaminated" not in json.loads((tmp_path / "result" / "metrics.json").read_text())["about"]


def test_a_kind_that_asks_a_model_is_not_swept_where_nobody_answers(bars: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"strategy 'llm_analyst': .*which nobody has answered"):
        run("sweep", "llm_analyst", "--bars", bars, "--grid", "samples=1:2:1", "--no-track", "--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()
