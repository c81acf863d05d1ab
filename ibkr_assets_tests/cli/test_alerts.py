"""Alerts at the command line: the process that tells people, killed and started again; a test; a list; an answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.cli import alerts as commands
from ibkr_assets.domain.alert import Alert, AlertCode
from ibkr_assets.domain.errors import LedgerConflict, Unavailable
from ibkr_assets.domain.order import account_ref
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.receivers import http_receiver

ACCOUNT = "DU1000001"


@pytest.fixture
def web():
    with http_receiver() as received:
        yield received


@pytest.fixture
def environment(web, database_url_of, tmp_path) -> dict[str, str]:
    """What the process is handed; the address of the channel is in a file."""
    secret = tmp_path / "channel"
    secret.write_text(f"json://127.0.0.1:{web.port}/canary-token-77\n")
    inherited = inherited_environment()
    return inherited | {
        "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": ACCOUNT, "IBKR_ASSETS_DATA_DIR": str(tmp_path),
        "IBKR_ASSETS_DATABASE_URL": database_url_of("ibkr_app"),
        "IBKR_ASSETS__ALERTS__CHANNELS": json.dumps([{"name": "web", "url_file": str(secret)}]),
    }  # fmt: skip


@pytest.fixture
def start(environment, tmp_path) -> Iterator[Callable[[], subprocess.Popen]]:
    started = []

    def begin() -> subprocess.Popen:
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ibkr_assets.cli", "alerts", "run"], env=environment, stdout=subprocess.PIPE,
                stderr=log, text=True,
            )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready alerts (web)"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def at_home(environment, monkeypatch) -> None:
    for name, value in environment.items():
        if name.startswith("IBKR_ASSETS_"):
            monkeypatch.setenv(name, value)


@pytest.fixture
def alerts(environment):
    database = Database(environment["IBKR_ASSETS_DATABASE_URL"])
    yield PostgresAlerts(database, account_ref(ACCOUNT), "test")
    database.close()


def test_a_process_killed_while_it_sends_loses_nothing_and_marks_what_may_come_twice(
    start, web, alerts, tmp_path, environment, at_home, capsys
) -> None:
    web.gate = threading.Event()
    process = start()
    alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed by anna"))
    _wait_for(lambda: web.requests)
    alerts.raise_alert(Alert(AlertCode.KILLED, "#2 global", "killed by berta"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    web.gate.set()
    again = start()
    _wait_for(lambda: all(one["deliveries"] and one["deliveries"][0]["delivered_at"] for one in alerts.list_alerts()))
    bodies = [body for _, body in web.requests]
    assert sorted(body["title"] for body in bodies) == [
        "ibkr_assets sim PAGE: killed by anna", "ibkr_assets sim PAGE: killed by anna",
        "ibkr_assets sim PAGE: killed by berta",
    ]  # fmt: skip
    marked = [body["title"] for body in bodies if "is sent again" in body["message"]]
    assert marked == ["ibkr_assets sim PAGE: killed by anna"]

    commands.alerts_test(wait=20.0, as_json=True)
    tested = json.loads(capsys.readouterr().out)
    assert (tested["delivered"], [one["channel"] for one in tested["channels"]]) == (True, ["web"])
    web.status = 500
    with pytest.raises(Unavailable, match="a channel did not take it"):
        commands.alerts_test(wait=20.0, as_json=True)
    assert "500" in json.loads(capsys.readouterr().out)["channels"][0]["problem"]

    commands.alerts_ack(1, as_json=True)
    commands.alerts_list(limit=10, is_open=True, as_json=True)
    out = capsys.readouterr().out
    assert '"acknowledged_by"' in out
    commands.alerts_list(limit=10, is_open=False, as_json=False)
    shown = capsys.readouterr().out
    assert "web delivered" in shown
    assert "looks after it" in shown
    with pytest.raises(LedgerConflict):
        alerts.acknowledge(1, "somebody else")

    again.send_signal(signal.SIGTERM)
    assert again.wait(10) == 0
    log = (tmp_path / "log").read_text()
    assert "not delivered" in log
    for secret in ("canary-token-77", ACCOUNT, environment["IBKR_ASSETS_DATABASE_URL"].split(":")[2].split("@")[0]):
        assert secret not in log + out + shown + json.dumps(alerts.list_alerts(), default=str)
    first = json.loads(log.splitlines()[0])
    assert {"event", "level", "logger", "process", "timestamp"} <= set(first)


def test_a_test_without_a_channel_says_what_to_set(at_home, monkeypatch) -> None:
    monkeypatch.delenv("IBKR_ASSETS__ALERTS__CHANNELS")
    with pytest.raises(Unavailable, match=r"no channel: set alerts\.channels and start `alerts run`"):
        commands.alerts_test(wait=0.0)


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
