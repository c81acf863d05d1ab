"""The process that tells people, over a real outbox, a web and a mail server: nothing is lost or sent unlabelled."""

from __future__ import annotations

import threading
import time as clock
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from ibkr_assets.adapters.channels import AppriseChannel, ask_heartbeat
from ibkr_assets.adapters.postgres.alert_digest import read_digest
from ibkr_assets.adapters.postgres.alert_outbox import PostgresOutbox
from ibkr_assets.adapters.postgres.alert_sources import PostgresAlertSources
from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.alert import Alert, AlertCode, Channel, Severity
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.execution.alert_sender import Sender
from ibkr_assets.execution.alerting import Terms
from ibkr_assets_tests.receivers import http_receiver, mail_receiver

REF = "acct-1"
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def web():
    with http_receiver() as received:
        yield received


@pytest.fixture(scope="module")
def mail():
    with mail_receiver() as received:
        yield received


@pytest.fixture(autouse=True)
def _clean(web, mail):
    for receiver in (web, mail):
        receiver.requests.clear()
        receiver.mails.clear()
        receiver.status, receiver.is_refusing, receiver.gate = 200, False, None


class Rig:
    """A sender whose time is ours, over the database role that it has in production."""

    def __init__(self, url: str, web, mail) -> None:
        self.database = Database(url)
        self.web, self.mail = web, mail
        self.alerts = PostgresAlerts(self.database, REF, "test")
        self.outbox = PostgresOutbox(self.database, REF)
        self.sources = PostgresAlertSources(self.database, REF)
        self.ahead = timedelta()
        self.beats = 0
        self.sender = self.make()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def make(self, *, webs: str = "info", mails: str | None = "page", terms: Terms | None = None, rate: int = 6):
        """A process that has just started."""
        day = datetime.now(UTC)
        # No digest falls into the test by itself.
        at = (day - timedelta(minutes=1)).time().replace(second=0, microsecond=0)
        targets = [
            (
                Channel("web", "json", Severity(webs)),
                AppriseChannel("web", f"json://127.0.0.1:{self.web.port}/s3cr3t-path", timeout_s=2),
            )
        ]
        if mails:
            url = f"mailto://127.0.0.1:{self.mail.port}?from=a@example.com&to=ops@example.com&mode=insecure"
            url += "&smtp=127.0.0.1"
            targets.append((Channel("mail", "mailto", Severity(mails)), AppriseChannel("mail", url, timeout_s=2)))

        def beat() -> None:
            ask_heartbeat(f"http://127.0.0.1:{self.web.port}/beat", timeout_s=2)
            self.beats += 1

        self.sender = Sender(
            self.outbox, targets,
            terms=terms or Terms(UTC_ZONE, digest_at=at, messages_per_minute=rate), place="test",
            gather=self.sources.collect, raise_alert=self.alerts.raise_alert, settle=self.alerts.settle,
            digest=lambda: read_digest(self.database, REF), now=self.now, heartbeat=beat, heartbeat_every_s=0,
        )  # fmt: skip
        self.outbox.take_over([channel for channel, _ in targets], self.now())
        return self.sender

    def round(self) -> int:
        """One look and one turn of each channel."""
        self.sender.look()
        return sum(self.sender.deliver(channel.name) for channel, _ in self.sender._targets)


@pytest.fixture
def rig(database_url_of, web, mail):
    made = Rig(database_url_of("ibkr_app"), web, mail)
    yield made
    made.database.close()


def test_a_page_reaches_everybody_at_once_and_a_warning_those_who_want_them(rig):
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "anna withdrew permission to trade"))
    rig.alerts.raise_alert(Alert(AlertCode.RUN_FAILED, "run 1", "the run of 2026-11-20 failed"))
    assert rig.round() == 3
    titles = [body["title"] for path, body in rig.web.requests if path != "/beat"]
    assert titles == ["test PAGE: anna withdrew permission to trade", "test WARNING: the run of 2026-11-20 failed"]
    assert [subject for _, subject, _ in rig.mail.mails] == ["test PAGE: anna withdrew permission to trade"]
    recipient, _, body = rig.mail.mails[0]
    assert recipient == "ops@example.com"
    assert "docs/runbook.md, section killed." in body
    assert rig.round() == 0, "once"
    told = {one["channel"]: bool(one["delivered_at"]) for one in rig.alerts.list_alerts()[1]["deliveries"]}
    assert told == {"web": True, "mail": True}


def test_what_is_over_is_told_where_it_was_told_before(rig):
    rig.alerts.raise_alert(Alert(AlertCode.SESSION_LOST, "submitter", "login required"))
    rig.round()
    rig.alerts.settle(AlertCode.SESSION_LOST)
    assert rig.round() == 1
    assert rig.web.titles[-1] == "test over: login required"
    assert rig.mail.mails == []
    assert rig.round() == 0


def test_a_channel_that_refuses_is_tried_again_later_and_later_and_is_seen_to_fail(rig):
    rig.make(mails=None)
    rig.web.status = 500
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
    assert rig.round() == 0
    assert rig.round() == 0, "not before its time"
    delivery = rig.alerts.list_alerts()[0]["deliveries"][0]
    assert delivery["tries"] == 1
    assert "500" in delivery["problem"]
    assert "s3cr3t-path" not in str(rig.alerts.list_alerts())
    assert rig.alerts.channels()[0]["failing_since"] is not None
    rig.ahead = timedelta(seconds=16)
    rig.round()
    assert rig.alerts.list_alerts()[0]["deliveries"][0]["tries"] == 2
    rig.ahead = timedelta(minutes=6)
    rig.round()
    failed = rig.alerts.list_alerts(is_open_only=True)[0]
    assert (failed["kind"], failed["subject"]) == ("channel_failed", "web")
    assert rig.alerts.sender()["answered_age_s"] > -360 + 1, "nobody was reached in that time"
    rig.web.status = 200
    rig.ahead = timedelta(minutes=30)
    assert rig.round() > 0
    rig.round()
    assert rig.alerts.channels()[0]["failing_since"] is None
    assert [row["kind"] for row in rig.alerts.list_alerts(is_open_only=True)] == ["killed"]


def test_one_channel_that_refuses_does_not_keep_another_from_hearing(rig):
    rig.web.status = 503
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
    assert rig.round() == 1
    assert len(rig.mail.mails) == 1


def test_after_a_crash_between_sending_and_writing_down_the_message_comes_again_and_says_so(rig):
    rig.make(mails=None)
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
    rig.sender.look()
    # As far as a process gets that is killed after the last byte: the try is there, its end is not.
    due = rig.outbox.due("web", rig.now())
    rig.outbox.begin_try("web", [due[0].id], rig.now())
    rig.make(mails=None)
    assert rig.round() == 1
    body = next(body for path, body in rig.web.requests if path != "/beat")["message"]
    assert f"Delivery {due[0].id} is sent again: whether it arrived the first time is not known." in body
    assert rig.round() == 0


def test_a_message_that_was_taken_is_not_sent_again_because_the_database_was_away_just_then(rig):
    rig.make(mails=None)
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
    rig.sender.look()
    end_try, outages = rig.outbox.end_try, [Unavailable("away"), Unavailable("away")]

    def away(*arguments, **more):
        if outages:
            raise outages.pop()
        end_try(*arguments, **more)

    rig.outbox.end_try = away
    for _ in range(2):
        with pytest.raises(Unavailable):
            rig.sender.deliver("web")
    assert rig.sender.deliver("web") == 0
    assert [path for path, _ in rig.web.requests if path != "/beat"] == ["/s3cr3t-path"]
    assert rig.alerts.list_alerts()[0]["deliveries"][0]["delivered_at"]


def test_a_flood_becomes_few_messages_and_nothing_of_it_is_lost(rig):
    rig.make(mails=None, rate=2)
    for n in range(40):
        rig.alerts.raise_alert(Alert(AlertCode.RUN_FAILED, f"run {n}", f"run {n} failed"))
    assert rig.round() == 1
    for n in range(5):
        rig.alerts.raise_alert(Alert(AlertCode.DOUBT_LASTS, f"order {n}", f"order {n} in doubt"))
        rig.round()
    assert len([path for path, _ in rig.web.requests if path != "/beat"]) == 2, "the rate of a minute"
    rig.ahead = timedelta(seconds=61)
    rig.round()
    text = "\n".join(body["message"] for path, body in rig.web.requests if path != "/beat")
    assert all(f"run {n} failed" in text for n in range(40))
    assert all(f"order {n} in doubt" in text for n in range(5))


def test_quiet_hours_hold_warnings_back_and_pages_do_not_wait(rig):
    hour = datetime.now(UTC).hour
    quiet = (time(hour), time((hour + 2) % 24))
    rig.make(mails=None, terms=Terms(UTC_ZONE, quiet=quiet, digest_at=time((hour + 12) % 24)))
    rig.alerts.raise_alert(Alert(AlertCode.RUN_FAILED, "run 1", "failed"))
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
    rig.round()
    assert rig.web.titles.count("test PAGE: killed") == 1
    assert "test WARNING: failed" not in rig.web.titles
    rig.ahead = timedelta(hours=2)
    rig.round()
    assert "test WARNING: failed" in rig.web.titles


def test_the_digest_comes_once_a_day_with_what_waited_for_it(rig):
    at = (datetime.now(UTC) + timedelta(minutes=90)).time().replace(second=0, microsecond=0)
    rig.make(mails="warning", terms=Terms(UTC_ZONE, digest_at=at))
    rig.alerts.raise_alert(Alert(AlertCode.ORDERS_DENIED, "R5 2026-11-20", "orders are denied by R5"))
    assert rig.round() == 0
    rig.ahead = timedelta(minutes=91)
    assert rig.round() == 1
    (body,) = [body for path, body in rig.web.requests if path != "/beat"]
    assert body["title"].startswith("test: digest of ")
    assert "permission to trade: not withdrawn" in body["message"]
    assert "orders are denied by R5" in body["message"]
    assert rig.mail.mails == [], "a channel for warnings gets no digest"
    rig.ahead = timedelta(minutes=200)
    assert rig.round() == 0
    rig.ahead = timedelta(minutes=91, days=1)
    assert rig.round() == 1


def test_a_page_that_nobody_looks_after_comes_again_until_somebody_does(rig):
    rig.make(mails=None)
    rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
    rig.round()
    rig.ahead = timedelta(minutes=31)
    assert rig.round() == 1
    assert rig.web.titles[-1] == "test STILL OPEN: killed"
    rig.alerts.acknowledge(rig.alerts.list_alerts()[0]["alert_id"], "anna")
    rig.ahead = timedelta(minutes=70)
    assert rig.round() == 0


def test_the_heartbeat_is_asked_while_all_is_well_and_withheld_while_the_watchdog_is_silent(rig, database):
    rig.round()
    assert rig.beats == 1
    with database.connect() as connection:
        connection.execute(
            "insert into oms.watchdog (account_ref, status, at) values (%s, 'watching', now() - interval '3 minutes')",
            (REF,),
        )
    rig.round()
    assert rig.beats == 1
    assert "withheld: the watchdog has not looked for 18" in rig.alerts.sender()["heartbeat_problem"]


def test_a_second_process_waits_and_goes_on_where_the_first_one_ended(rig):
    ready: list[str] = []
    stops = [threading.Event(), threading.Event()]
    first, second = rig.make(mails=None), rig.make(mails=None)
    first._every_s = second._every_s = 0.05
    threads = [
        threading.Thread(target=one.run, args=(stop, ready.append))
        for one, stop in zip((first, second), stops, strict=True)
    ]
    try:
        threads[0].start()
        _wait_for(lambda: len(ready) == 1)
        threads[1].start()
        _wait_for(lambda: len(ready) == 2)
        assert ready == ["ready alerts (web)", "ready alerts (waiting: another process sends)"]
        rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "killed"))
        _wait_for(lambda: "test PAGE: killed" in rig.web.titles)
        stops[0].set()
        threads[0].join(5)
        rig.alerts.raise_alert(Alert(AlertCode.KILLED, "#2 global", "again"))
        _wait_for(lambda: "test PAGE: again" in rig.web.titles)
        assert rig.web.titles.count("test PAGE: killed") == 1
    finally:
        for stop in stops:
            stop.set()
        for thread in threads:
            thread.join(5)


def test_a_database_that_stays_away_is_told_straight_and_once_and_so_is_its_return(web, mail):
    seconds = 0.0
    said: list[str] = []

    class Away:
        def exclusive(self):
            raise Unavailable("no answer")

    target = AppriseChannel("web", f"json://127.0.0.1:{web.port}/x", timeout_s=2)
    sender = Sender(
        Away(), [(Channel("web", "json"), target)], terms=Terms(UTC_ZONE), place="test", gather=lambda: None,
        raise_alert=lambda _: True, settle=lambda *_, **__: 0, digest=dict, now=lambda: datetime.now(UTC),
        monotonic=lambda: seconds, every_s=0,
    )  # fmt: skip
    stop = threading.Event()

    class Stepping(threading.Event):
        def wait(self, timeout=None):
            nonlocal seconds
            seconds += 10
            if seconds > 300:
                self.set()
            return self.is_set()

    stop = Stepping()
    sender.run(stop, said.append)
    assert web.titles == ["test PAGE: the platform's database is away for 60 s"]
    sender._back()
    assert web.titles[1:] == ["test over: the platform's database answers again"]


def _wait_for(condition) -> None:
    deadline = clock.monotonic() + 10
    while not condition():
        assert clock.monotonic() < deadline, "it never happened"
        clock.sleep(0.02)
