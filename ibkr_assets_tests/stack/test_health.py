"""Status, doctor and env, on directories where no stack runs, and on one that says a stack does."""

import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ibkr_assets import settings
from ibkr_assets.adapters.ibkr.client import shared_limiter
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.stack import health
from ibkr_assets.stack.settings_report import list_settings, redact
from ibkr_assets.stack.state import DataDirectory, StackState
from ibkr_assets.stack.up import UpOptions, up

GONE = 4_194_304 + 1  # above the largest process id there can be
URL = "postgresql://ibkr_app:s3cret@127.0.0.1:15432/platform"


def in_force(data_dir: Path, **variables: str) -> settings.Settings:
    return settings.load({"IBKR_ASSETS_DATA_DIR": str(data_dir), **variables})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    with DataDirectory(tmp_path):
        yield tmp_path


def publish(data_dir: Path, *processes: dict[str, object], **environment: str) -> None:
    urls = {"dagster": "http://127.0.0.1:1"}
    StackState("sim", "2012-10-01T00:00:00+00:00", environment, {"mlflow": 5001}, urls, list(processes)).write(data_dir)


def process(name: str, pid: int, port: int | None = None) -> dict[str, object]:
    return {"name": name, "pid": pid, "state": "ready", "since": "2012-10-01T00:00:00+00:00", "port": port, "url": None}


def test_without_a_stack_nothing_runs_and_there_is_nothing_to_export(tmp_path: Path) -> None:
    report = health.status(in_force(tmp_path))
    assert report == {"running": False, "data_dir": str(tmp_path), "mode": "dry_run", "processes": []}
    with pytest.raises(Unavailable, match=f"no stack runs on data_dir {tmp_path}; start one with"):
        health.env(in_force(tmp_path))


def test_status_looks_at_each_process_instead_of_believing_the_file(running: Path) -> None:
    publish(running, process("submitter", os.getpid()), process("mlflow", os.getpid(), 1), process("gateway", GONE))
    report = health.status(in_force(running))
    assert report["running"]
    assert report["mode"] == "sim"
    assert {row["name"]: row["state"] for row in report["processes"]} == {
        "submitter": "ready",
        "mlflow": "deaf",
        "gateway": "gone",
    }


def test_env_exports_what_the_stack_published_quoted_for_a_shell(running: Path) -> None:
    symbols = '["AAPL", "FB"]'
    publish(running, DAGSTER_HOME="/x/dagster", IBKR_ASSETS__MARKET__SYMBOLS=symbols)
    lines = health.env(in_force(running))
    assert [shlex.split(line) for line in lines] == [
        ["export", "DAGSTER_HOME=/x/dagster"],
        ["export", f"IBKR_ASSETS__MARKET__SYMBOLS={symbols}"],
    ]


def test_doctor_says_unknown_where_nothing_can_be_known(tmp_path: Path) -> None:
    checks = {row["name"]: row for row in health.doctor(in_force(tmp_path))["checks"]}
    assert checks["dagster"]["ok"] is None
    assert checks["mlflow"]["detail"] == "unknown: no tracking server is named (MLFLOW_TRACKING_URI)"
    assert checks["data_dir"]["ok"]


def test_doctor_names_what_does_not_answer_and_what_to_do(tmp_path: Path) -> None:
    variables = {
        "IBKR_ASSETS_DATABASE_URL": "postgresql://ibkr_app:s3cret@127.0.0.1:1/platform",
        "IBKR_ASSETS_GATEWAY_URL": "http://127.0.0.1:1/v1/api",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "IBKR_ASSETS_MODE": "sim",
    }
    report = health.doctor(in_force(tmp_path, **variables))
    failed = {row["name"]: row for row in report["checks"] if row["ok"] is False}
    assert set(failed) >= {"database", "gateway", "mlflow"}
    assert all(row["advice"] for row in failed.values())
    assert "s3cret" not in str(report)


def test_every_setting_is_listed_with_its_source(running: Path) -> None:
    file = running / "trading.yaml"
    file.write_text("market:\n  warm_up_sessions: 60\nrisk:\n  may_short: true\n")
    environment = {
        "IBKR_ASSETS_DATA_DIR": str(running),
        "IBKR_ASSETS_CONFIG": str(file),
        "IBKR_ASSETS__RISK__MAY_SHORT": "false",
    }
    publish(running, IBKR_ASSETS_ACCOUNT="DU1000001", IBKR_ASSETS_DATABASE_URL=URL)
    rows = {row["key"]: row for row in list_settings(settings.load(environment), environment)}
    assert rows["market.warm_up_sessions"] == {
        "key": "market.warm_up_sessions",
        "value": 60,
        "source": f"file {file}",
    }
    assert rows["risk.may_short"]["source"] == "environment IBKR_ASSETS__RISK__MAY_SHORT"
    assert rows["account"] == {"key": "account", "value": "DU*****01", "source": "running stack"}
    assert rows["database.url"]["value"] == "postgresql://ibkr_app:***@127.0.0.1:15432/platform"
    assert rows["submitter.salt"]["source"] == "default"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("account", "U123", "U123"),
        ("account", "U1234567", "U1****67"),
        ("mlflow.tracking_uri", "http://me:pw@mlflow:5001", "http://me:***@mlflow:5001"),
        ("gateway.url", "https://localhost:5000/v1/api", "https://localhost:5000/v1/api"),
    ],
)
def test_what_is_shown_hides_what_must_not_be_seen(key: str, value: str, shown: str) -> None:
    assert redact(key, value) == shown


def test_a_gateway_that_does_not_answer_is_named_before_anything_starts(tmp_path: Path) -> None:
    variables = {"IBKR_ASSETS_GATEWAY_URL": "http://127.0.0.1:1/v1/api", "IBKR_ASSETS_MODE": "sim"}
    with pytest.raises(Unavailable, match=r"gateway\.url: http://127\.0\.0\.1:1/v1/api does not answer"):
        up(UpOptions(settings=in_force(tmp_path / "data", **variables), once=True))
    assert not (tmp_path / "data").exists()


def test_an_unknown_kind_of_strategy_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "strategies.yaml"
    file.write_text("- {id: x, kind: crystal_ball, symbols: [AAPL], sizing: 'percent:5'}\n")
    with pytest.raises(ConfigurationError, match="crystal_ball"):
        up(UpOptions(settings=in_force(tmp_path / "data"), strategies=file, once=True))
    assert not (tmp_path / "data").exists()


def test_status_says_how_long_ago_the_session_was_kept_alive(
    running: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("limits")))
    publish(running, process("submitter", os.getpid()))
    url = "http://127.0.0.1:1/v1/api"
    in_use = in_force(running, IBKR_ASSETS_GATEWAY_URL=url)
    assert health.status(in_force(running))["keep_alive_age_s"] is None
    assert health.status(in_use)["keep_alive_age_s"] is None
    shared_limiter(url).note_alive()
    assert 0 <= health.status(in_use)["keep_alive_age_s"] < 5


def test_doctor_finds_a_dead_keep_alive_unhealthy(tmp_path: Path, database: Database) -> None:
    lease = PostgresLedger(database).of_account(account_ref("DU1000001")).lease
    lease.register("DU1000001", Mode.SIM)
    variables = {
        "IBKR_ASSETS_ACCOUNT": "DU1000001",
        "IBKR_ASSETS_DATABASE_URL": database.url,
    }

    def row() -> dict[str, object]:
        checks = health.doctor(in_force(tmp_path, **variables))["checks"]
        return next(check for check in checks if check["name"] == "submitter")

    lease.beat("working", detail="keep-alive 12 s ago", epoch=None, market_at=None)
    assert (row()["ok"], row()["detail"]) == (True, "working keep-alive 12 s ago")
    lease.beat("keep-alive dead", detail="keep-alive 300 s ago", epoch=None, market_at=None)
    assert (row()["ok"], row()["detail"]) == (False, "keep-alive dead keep-alive 300 s ago")
