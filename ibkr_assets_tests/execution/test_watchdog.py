"""What the watchdog does about a submitter that falls silent, and that it accuses nobody of a pause of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.watch_rows import PostgresWatchRows
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.permission import Vitals
from ibkr_assets.execution.kill import read_kill_file
from ibkr_assets.execution.watchdog import Watchdog
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.execution.desk import ACCOUNT, REF, HandClock, an_intent

AT = datetime(2026, 11, 23, 15, tzinfo=UTC)
ALIVE = Vitals(status="working", beat_at=AT, busy_s=0.0, is_active=True, compared_at=AT)


class Rows:
    """A database in memory, which can be away."""

    def __init__(self):
        self.now = ALIVE
        self.is_away = False
        self.alerts = set()
        self.kills = []

    def vitals(self):
        if self.is_away:
            raise Unavailable("gone")
        return self.now

    def beat(self, status, detail):
        assert status == "watching"

    def page(self, kind, subject, text):
        is_new = (kind, subject) not in self.alerts
        self.alerts.add((kind, subject))
        return is_new

    def settle(self, kind, *, keep):
        self.alerts = {(k, s) for k, s in self.alerts if k != kind or s in keep}

    def kill(self, reason):
        self.kills.append(reason)
        return len(self.kills) == 1


class Watch:
    """A watchdog in time that the test passes, one round a second."""

    def __init__(self):
        self.rows, self.time, self.files = Rows(), HandClock(), []
        self.dog = Watchdog(self.rows, kill_by_file=self.files.append, monotonic=self.time)
        self.dog.look()

    def pass_time(self, seconds, *, beats=True, compares=True):
        for _ in range(seconds):
            self.time.pass_time(1.0)
            if beats:
                self.rows.now = replace(self.rows.now, beat_at=self.rows.now.beat_at + timedelta(seconds=1))
            if compares:
                self.rows.now = replace(self.rows.now, compared_at=self.rows.now.compared_at + timedelta(seconds=1))
            self.dog.look()


@pytest.fixture
def watch():
    return Watch()


def test_thirty_seconds_without_a_heartbeat_withdraw_permission_and_page(watch):
    watch.pass_time(5)
    watch.pass_time(29, beats=False)
    assert (watch.rows.kills, watch.rows.alerts) == ([], set())
    watch.pass_time(2, beats=False)
    assert watch.rows.kills[0] == "no heartbeat of the submitter for 30 s"
    assert ("silent", "submitter") in watch.rows.alerts
    watch.pass_time(1)
    assert ("silent", "submitter") not in watch.rows.alerts, "it beats again"


@pytest.mark.parametrize("change", [{"is_active": False}, {"status": "stopped"}])
def test_a_submitter_with_nothing_out_or_that_ended_on_purpose_is_not_missed(watch, change):
    watch.pass_time(5)
    watch.rows.now = replace(watch.rows.now, **change)
    watch.pass_time(120, beats=False)
    assert watch.rows.kills == []


def test_a_process_that_tells_people_and_falls_silent_is_an_alert_and_no_reason_to_kill(watch):
    watch.rows.now = replace(watch.rows.now, sender_at=AT)
    watch.pass_time(59)
    assert watch.rows.alerts == set()
    watch.pass_time(3)
    assert watch.rows.alerts == {("sender_silent", "alerts")}
    watch.rows.now = replace(watch.rows.now, sender_at=AT + timedelta(seconds=1))
    watch.pass_time(1)
    assert (watch.rows.alerts, watch.rows.kills) == (set(), [])


def test_a_submitter_that_was_never_seen_alive_is_paged_and_not_killed(watch):
    """As after the start of a stack whose submitter is not up yet, over the rows of the day before."""
    watch.pass_time(120, beats=False)
    assert watch.rows.kills == []
    assert ("silent", "submitter") in watch.rows.alerts


def test_a_submitter_that_never_ran_is_missed_only_once_the_watchdog_has_watched_for_so_long():
    watch = Watch()
    watch.rows.now = replace(ALIVE, beat_at=None, compared_at=None)
    watch.dog = Watchdog(watch.rows, kill_by_file=watch.files.append, monotonic=watch.time)
    watch.pass_time(29, beats=False, compares=False)
    assert watch.rows.alerts == set()
    watch.pass_time(2, beats=False, compares=False)
    assert watch.rows.alerts == {("silent", "submitter")}


def test_a_machine_that_slept_has_watched_nothing_meanwhile(watch):
    watch.pass_time(5)
    watch.pass_time(20, beats=False)
    watch.time.pass_time(3600)
    watch.pass_time(20, beats=False)
    assert watch.rows.kills == []
    watch.pass_time(2)
    watch.pass_time(31, beats=False)
    assert len(watch.rows.kills) > 0


def test_a_step_that_never_ends_withdraws_permission_although_the_process_lives(watch):
    watch.rows.now = replace(ALIVE, busy_s=179.0)
    watch.pass_time(3)
    assert watch.rows.kills == []
    watch.rows.now = replace(watch.rows.now, busy_s=180.0)
    watch.pass_time(1)
    assert watch.rows.kills[0].startswith("one step of the submitter takes 180 s")


def test_an_open_question_pages_after_twenty_seconds_and_kills_never(watch):
    watch.rows.now = replace(ALIVE, questions=("q1-a",))
    watch.pass_time(19)
    assert watch.rows.alerts == set()
    watch.pass_time(900)
    assert watch.rows.alerts == {("question_open", "q1-a")}
    assert watch.rows.kills == []
    watch.rows.now = replace(watch.rows.now, questions=())
    watch.pass_time(1)
    assert watch.rows.alerts == set()


def test_doubt_pages_after_five_minutes_and_kills_after_fifteen(watch):
    watch.rows.now = replace(ALIVE, doubts=("q1-a",))
    watch.pass_time(299)
    assert watch.rows.alerts == set()
    watch.pass_time(2)
    assert watch.rows.alerts == {("doubt_lasts", "q1-a")}
    watch.pass_time(598)
    assert watch.rows.kills == []
    watch.pass_time(2)
    assert watch.rows.kills[0] == "q1-a is in doubt for 900 s"


def test_an_account_that_is_not_compared_for_five_minutes_pages(watch):
    watch.pass_time(299, compares=False)
    assert watch.rows.alerts == set()
    watch.pass_time(2, compares=False)
    assert watch.rows.alerts == {("not_compared", "account")}
    watch.pass_time(1)
    assert watch.rows.alerts == set()


def test_a_database_that_is_away_for_thirty_seconds_of_trading_leaves_a_kill_file(watch):
    watch.pass_time(5)
    watch.rows.is_away = True
    watch.pass_time(30)
    assert watch.files == []
    watch.pass_time(30)
    assert watch.files == ["no heartbeat can be read: the database is away for 30 s"]


def test_a_database_that_is_away_while_nothing_is_out_leaves_none(watch):
    watch.rows.now = replace(ALIVE, is_active=False)
    watch.pass_time(5)
    watch.rows.is_away = True
    watch.pass_time(120)
    assert watch.files == []


def test_the_watchdog_reads_and_kills_as_the_role_of_those_who_decide(desk, database_url_of):
    desk.start()
    app = Database(database_url_of("ibkr_app"))
    rows = PostgresWatchRows(app, REF)
    assert rows.vitals().is_active is False
    desk.ledger.lease.beat("working", detail="", epoch=1, market_at=None, busy_s=2.5)
    record = desk.propose(an_intent())
    seen = rows.vitals()
    assert (seen.status, seen.busy_s, seen.is_active) == ("working", 2.5, True)
    rows.beat("watching", "active")
    assert rows.page("silent", "submitter", "no heartbeat")
    assert not rows.page("silent", "submitter", "no heartbeat")
    rows.settle("silent", keep=())
    assert rows.page("silent", "submitter", "no heartbeat"), "the first one was closed"
    assert rows.kill("no heartbeat")
    assert not rows.kill("no heartbeat")
    desk.turn()
    assert desk.record(record).reason == f"kill of account:{REF} by watchdog: no heartbeat"
    assert "place" not in desk.broker.calls
    app.close()


def test_the_process_says_that_it_is_ready_beats_and_ends_when_asked(desk, database, database_url_of, tmp_path):
    desk.start()
    environment = inherited_environment() | {
        "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": ACCOUNT, "IBKR_ASSETS_DATA_DIR": str(tmp_path),
        "IBKR_ASSETS_DATABASE_URL": database_url_of("ibkr_app"),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "ibkr_assets.cli", "watchdog", "run"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready watchdog\n"
            with database.connect() as connection:
                row = connection.execute("select status, detail from oms.watchdog").fetchone()
            assert row == ("watching", "nothing to watch over")
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5
        finally:
            process.kill()
    assert read_kill_file(tmp_path / "kill") is None
