"""A submitter that goes through faults of every kind writes no secret: not into its log, nor into what people read."""

from __future__ import annotations

import json
import signal
import time

import pytest

from ibkr_assets.adapters.postgres.alert_sources import PostgresAlertSources
from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.domain.order import account_ref
from ibkr_assets_tests.execution.processes import EVENING, Case
from ibkr_assets_tests.gateway import TOKEN, start_gateway

ACCOUNT = "DU7654321"
#: Answers lost, cut, not JSON, a login page, an error that names the account; a session that is taken or ends.
FAULTS = ("F1", "F8", "F9", "F10", "F6", "F21")


@pytest.mark.slow
def test_account_session_and_passwords_stand_nowhere_after_faults(database, tmp_path) -> None:
    with start_gateway(clock_start=EVENING, account=ACCOUNT) as gateway:
        case = Case(None, "", (), database, gateway, tmp_path / "case")
        case.directory.mkdir()
        case.book = PostgresIntents(database, "default")
        sessions = {gateway.restart_session()}
        case.propose()
        process = case.submitter(None)
        try:
            case.wait("a ready submitter", lambda: "ready submitter" in case.log())
            for fault in FAULTS:
                gateway.arm_fault(fault, times=2)
                sessions.add(gateway.restart_session())
                _wait_for_trouble(case)
                gateway.disarm_fault(fault)
            for state in ("lost", "competing", "logged_out"):
                gateway.set_session(state)
                _wait_for_trouble(case)
            gateway.set_session("ok")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, case.log()
        finally:
            if process.poll() is None:
                process.kill()
        log = (case.directory / "log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert len([line for line in lines if line["level"] != "info"]) >= 3, f"it was hardly in trouble: {log}"
    PostgresAlertSources(database, account_ref(ACCOUNT)).collect()
    alerts = json.dumps(PostgresAlerts(database, account_ref(ACCOUNT), "test").list_alerts(), default=str)
    with database.connect() as connection:
        events = str(connection.execute("select cause, detail from oms.order_event").fetchall())
        beats = str(connection.execute("select status, detail from oms.heartbeat").fetchall())
    password = database.url.split(":")[2].split("@")[0]
    for secret in (ACCOUNT, TOKEN, password, *sessions):
        for place, text in (("log", log), ("alerts", alerts), ("events", events), ("heartbeat", beats)):
            assert secret not in text, f"{secret} in {place}"


def _wait_for_trouble(case: Case) -> None:
    """Until the process has told of something more, or for a moment where a fault troubles it with nothing."""
    path = case.directory / "log"
    before, deadline = path.stat().st_size, time.monotonic() + 1.5
    while path.stat().st_size == before and time.monotonic() < deadline:
        time.sleep(0.05)
