"""What the ledger gives rise to: each act, doubt, difference and denial is told once, and ended when it is over."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ibkr_assets.adapters.postgres.alert_sources import PostgresAlertSources
from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.watch_rows import PostgresWatchRows
from ibkr_assets.domain.alert import AlertCode
from ibkr_assets.execution.alert_round import AlertRound, Spending
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.engine import Denied
from ibkr_assets_tests.execution.desk import REF, an_intent


@pytest.fixture
def app(database_url_of):
    """The database as the role of the process that tells people."""
    opened = Database(database_url_of("ibkr_app"))
    yield opened
    opened.close()


@pytest.fixture
def alerts(app):
    return PostgresAlerts(app, REF, "test")


@pytest.fixture
def sources(app):
    return PostgresAlertSources(app, REF)


def listed(alerts, *, is_open_only=True) -> list[tuple[str, str]]:
    rows = alerts.list_alerts(is_open_only=is_open_only)
    return sorted((row["kind"], row["subject"]) for row in rows)


def test_an_order_in_doubt_is_told_once_and_is_over_with_the_evidence(desk, alerts, sources):
    desk.start()
    sources.collect()
    assert listed(alerts) == []
    desk.broker.script.append("dropped")
    record = desk.propose(an_intent())
    desk.broker.has_fake_empty_list = True
    desk.turn(3)
    sources.collect()
    sources.collect()
    assert listed(alerts) == [("order_unknown", record.client_order_id)]
    text = alerts.list_alerts()[0]["text"]
    assert text.startswith(f"{record.client_order_id} (buy 10 ")
    desk.broker.has_fake_empty_list = False
    desk.turn(8)
    sources.collect()
    assert listed(alerts) == []
    assert len(listed(alerts, is_open_only=False)) == 1


def test_withdrawn_permission_is_told_with_who_and_why_and_ends_with_the_resume(desk, alerts, sources):
    desk.start()
    ledger = desk.whole_ledger
    acts = [("disarm", "global"), ("kill", f"account:{REF}"), ("kill_cancel", "strategy:s1")]
    for action, scope in acts:
        ledger.control(action, scope=scope, actor="anna", session="tty1", reason="wrong prices", expires_at=None)
    ledger.control("kill", scope="account:acct-other", actor="anna", session="x", reason="another", expires_at=None)
    sources.collect()
    sources.collect()
    assert [code for code, _ in listed(alerts)] == ["disarmed", "killed", "killed"]
    assert any(
        row["text"] == f"anna withdrew permission to trade (kill of account:{REF}): wrong prices"
        for row in alerts.list_alerts()
    )
    ledger.control("resume", scope=f"account:{REF}", actor="b", session="t2", reason="checked", expires_at=None)
    sources.collect()
    assert [code for code, _ in listed(alerts)] == ["disarmed", "killed"]
    for scope in ("global", "strategy:s1"):
        ledger.control("resume", scope=scope, actor="b", session="t2", reason="checked", expires_at=None)
    sources.collect()
    assert listed(alerts) == []


def test_an_instrument_that_is_held_for_a_suspected_split_is_told_as_that_and_ends_when_it_is_lifted(
    desk, alerts, sources
):
    desk.start()
    ledger = desk.whole_ledger
    for scope, reason in (
        ("conid:272093", "split_suspect: MSFT of 2003-02-18, version 2"),
        ("conid:8314", "too_many_quarantined: IBM of 2012-11-21, version 1"),
    ):
        ledger.control("disarm", scope=scope, actor="validation", session="", reason=reason)
    sources.collect()
    sources.collect()
    assert [code for code, _ in listed(alerts)] == ["corporate_action", "disarmed"]
    (told,) = (row["text"] for row in alerts.list_alerts() if row["kind"] == "corporate_action")
    assert told.endswith("(disarm of conid:272093): split_suspect: MSFT of 2003-02-18, version 2")
    ledger.control("resume", scope="conid:272093", actor="b", session="t2", reason="booked", expires_at=None)
    sources.collect()
    assert [code for code, _ in listed(alerts)] == ["disarmed"]


def test_the_watchdogs_own_kill_is_told_once_by_the_watchdog_and_ends_with_the_resume(desk, app, alerts, sources):
    desk.start()
    rows = PostgresWatchRows(app, REF)
    rows.kill("no heartbeat")
    rows.page("killed", "no heartbeat", "the account is killed: no heartbeat")
    sources.collect()
    assert listed(alerts) == [("killed", "no heartbeat")]
    desk.whole_ledger.control(
        "resume", scope=f"account:{REF}", actor="b", session="t2", reason="checked", expires_at=None
    )
    sources.collect()
    assert listed(alerts) == []


def test_denials_are_one_alert_a_rule_and_day(desk, alerts, sources):
    desk.start()

    def deny(intent, exposure):
        return Denied(intent, DenialCode.PLATFORM, "no alarm channel", ())

    for number in range(3):
        desk.book.propose(an_intent(number), deny, now=desk.market.now(), dagster_run_id="run-1", created_by="test")
    sources.collect()
    sources.collect()
    ((code, subject),) = listed(alerts)
    assert code == "orders_denied"
    assert subject.startswith(str(DenialCode.PLATFORM))
    assert alerts.list_alerts()[0]["text"].endswith("the first: no alarm channel")


def test_a_difference_is_told_by_what_it_holds_up_and_ends_when_it_is_resolved(desk, database, alerts, sources):
    desk.start()
    with database.connect() as connection:
        connection.execute(
            "insert into oms.recon_break (account_ref, kind, subject, blocks, conid, detail) values "
            "(%(ref)s, 'position', 'AAPL', 'conid', 265598, '{}'), (%(ref)s, 'cash', 'USD', 'account', null, '{}')",
            {"ref": REF},
        )
    sources.collect()
    sources.collect()
    assert [code for code, _ in listed(alerts)] == ["account_blocked", "break_found"]
    with database.connect() as connection:
        connection.execute("update oms.recon_break set resolved_by = 'anna', resolved_at = now() where kind = 'cash'")
    sources.collect()
    assert [code for code, _ in listed(alerts)] == ["break_found"]


class Session:
    """What the submitter says, as the test wants it."""

    def __init__(self) -> None:
        self.found = ("working", "", 0.5)
        self.spent = {}

    def collect(self) -> None:
        pass

    def session(self):
        return self.found

    def spent_today(self):
        return self.spent


@pytest.fixture
def watch(alerts):
    """A round over a session and a disk of our own, and seconds that pass when we say so."""

    class Watch:
        ledger = Session()
        free = 50e9
        seconds = 0.0

    made = Watch()
    made.look = AlertRound(
        made.ledger, raise_alert=alerts.raise_alert, settle=alerts.settle,
        disk=lambda: (int(made.free), 100_000_000_000), least_free=(0.05, 2e9), monotonic=lambda: made.seconds,
        budgets=Spending(Decimal("0.10"), Decimal(2), Decimal(3)),
    ).look  # fmt: skip
    return made


def test_a_lost_session_is_told_after_a_minute_and_a_login_that_ended_at_once(watch, alerts):
    watch.look()
    watch.ledger.found = ("away", "the brokerage session is gone", 0.5)
    watch.look()
    assert listed(alerts) == []
    watch.seconds = 61
    watch.look()
    assert listed(alerts) == [("session_lost", "submitter")]
    watch.ledger.found = ("working", "", 0.5)
    watch.look()
    assert listed(alerts) == []
    watch.ledger.found = ("login required", "log in", 0.5)
    watch.look()
    assert listed(alerts) == [("session_lost", "submitter")]


def test_a_submitter_that_does_not_beat_says_nothing_about_its_session(watch, alerts):
    watch.ledger.found = ("login required", "log in", 31.0)
    watch.look()
    assert listed(alerts) == []


def test_a_full_disk_is_told_by_share_and_by_bytes_and_ends_when_there_is_room(watch, alerts):
    watch.free = 4.9e9
    watch.look()
    watch.look()
    assert listed(alerts) == [("disk_low", "data_dir")]
    watch.free = 5.1e9
    watch.look()
    assert listed(alerts) == []
    assert AlertCode.DISK_LOW in {row["kind"] for row in alerts.list_alerts()}


def test_a_budget_is_told_when_its_dearest_request_does_not_fit_any_more(watch, alerts, sources):
    assert sources.spent_today() == {}
    watch.ledger.spent = {"a": Decimal("1.90"), "b": Decimal("1.00")}
    watch.look()
    assert listed(alerts) == []
    watch.ledger.spent = {"a": Decimal("1.91"), "b": Decimal("1.00")}
    watch.look()
    assert listed(alerts) == [("budget_spent", "day"), ("budget_spent", "strategy a")]
    watch.ledger.spent = {}
    watch.look()
    assert listed(alerts) == []
