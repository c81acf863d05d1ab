"""A ledger that contradicts itself takes the permission to trade, says so, and does it once for what a person saw."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.watch_rows import PostgresWatchRows
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.execution.audit import BROKEN, UNCHECKED, Audit
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.execution.desk import ACCOUNT, REF, HandClock, an_intent


@pytest.fixture
def audit(desk, database_url_of):
    """An audit over the ledger of the desk, as the role of those who decide."""
    app = Database(database_url_of("ibkr_app"))
    yield Audit(lambda: check_invariants(app), PostgresWatchRows(app, REF))
    app.close()


def plant(database, filled: str) -> None:
    """A filled quantity that nobody executed, past the guards."""
    with database.connect() as connection:
        connection.execute("alter table oms.order_intent disable trigger user")
        connection.execute(f"update oms.order_intent set filled = {filled}")
        connection.execute("alter table oms.order_intent enable trigger user")


def kills(database) -> list[str]:
    with database.connect() as connection:
        rows = connection.execute("select reason from oms.control where action = 'kill' order by control_id").fetchall()
    return [row[0] for row in rows]


def alerts(database) -> list[tuple[str, str]]:
    with database.connect() as connection:
        rows = connection.execute("select kind, subject from oms.alert where resolved_at is null").fetchall()
    return sorted((kind, subject) for kind, subject in rows)


def test_a_planted_contradiction_kills_once_stands_as_an_alert_and_kills_again_when_it_comes_back(
    audit, desk, database
) -> None:
    desk.start()
    record = desk.propose(an_intent())
    audit.look()
    assert (kills(database), alerts(database)) == ([], [])
    plant(database, "3")
    subject = f"I3 1: {record.client_order_id}"
    audit.look()
    audit.look()
    assert alerts(database) == [(BROKEN, subject)]
    (reason,) = kills(database)
    assert reason.startswith("invariant I3 does not hold: an order's filled quantity is the sum of its executions; 1 ")
    desk.turn()
    assert "place" not in desk.broker.calls
    assert desk.record(record).reason == f"kill of account:{REF} by watchdog: {reason}"
    desk.whole_ledger.control("resume", scope=f"account:{REF}", actor="operator", reason="seen, and it is harmless")
    audit.look()
    assert len(kills(database)) == 1, "a person has decided about these very rows"
    plant(database, "0")
    audit.look()
    assert alerts(database) == []
    plant(database, "3")
    audit.look()
    assert len(kills(database)) == 2
    plant(database, "0")


def test_a_ledger_that_nobody_can_look_through_is_an_alert_after_five_minutes(desk, database) -> None:
    clock = HandClock()
    is_away = True

    def check():
        if is_away:
            raise Unavailable("canceling statement due to statement timeout")
        return check_invariants(database)

    desk.start()
    audit = Audit(check, PostgresWatchRows(database, REF), monotonic=clock)
    clock.pass_time(299)
    audit.look()
    assert alerts(database) == []
    clock.pass_time(2)
    audit.look()
    assert alerts(database) == [(UNCHECKED, "ledger")]
    is_away = False
    audit.look()
    assert (alerts(database), kills(database)) == ([], [])


def test_an_audit_that_ends_by_an_error_ends_the_watchdog_too() -> None:
    stop = threading.Event()

    def check():
        raise ZeroDivisionError

    audit = Audit(check, PostgresWatchRows(Database("postgresql://nowhere"), REF))
    with pytest.raises(ZeroDivisionError):
        audit.run(stop)
    assert (stop.is_set(), audit.has_failed) == (True, True)


def test_the_watchdog_process_finds_what_was_planted_and_withdraws_permission(
    desk, database, database_url_of, tmp_path
) -> None:
    desk.start()
    desk.propose(an_intent())
    plant(database, "3")
    environment = inherited_environment() | {
        "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": ACCOUNT, "IBKR_ASSETS_DATA_DIR": str(tmp_path),
        "IBKR_ASSETS_DATABASE_URL": database_url_of("ibkr_app"),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "ibkr_assets.cli", "watchdog", "run"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            deadline = time.monotonic() + 20
            while not kills(database) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert [reason.partition(":")[0] for reason in kills(database)] == ["invariant I3 does not hold"]
    assert BROKEN in {kind for kind, _ in alerts(database)}
    plant(database, "0")
