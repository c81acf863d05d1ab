"""The page of alerts: what is open, who was told and whether it arrived, and who looks after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.audit import acts
from ibkr_assets.domain.alert import Alert, AlertCode, Channel, Severity


@pytest.fixture
def alerts(alert_rows):
    return alert_rows[1]


@pytest.fixture
def outbox(alert_rows):
    """Two alerts and two channels: one took the page, the other refused it."""
    made, alerts = alert_rows
    now = datetime.now(UTC)
    alerts.raise_alert(Alert(AlertCode.KILLED, "#1 global", "anna <script>alert(1)</script> withdrew permission"))
    alerts.raise_alert(Alert(AlertCode.RUN_FAILED, "run 7", "run 7 failed"))
    made.take_over([Channel("good", "json"), Channel("poor", "mailto", Severity.PAGE)], now)
    made.plan([(one, now) for one in made.unplanned(now)], now)
    for name, problem in (("good", ""), ("poor", "answered 500")):
        (first, *_) = made.due(name, now)
        number = made.begin_try(name, [first.id], now)
        made.end_try(number, name, [first.id], now, problem=problem, retry_in=timedelta(minutes=1))
    made.beat("here:1", 2, now, heartbeat_at=None, heartbeat_problem="withheld: the watchdog has not looked for 180 s")
    return alerts


def test_the_page_shows_what_is_open_and_how_far_each_has_got(browser, outbox) -> None:
    page = browser(Role.VIEWER).get("/alerts").text
    assert "anna &lt;script&gt;alert(1)&lt;/script&gt; withdrew permission" in page
    assert "<script>alert" not in page
    assert 'good: <span class="good">delivered</span>' in page
    assert '<span class="bad">failed</span> 1 time <small>answered 500</small>' in page
    assert 'good: <span class="warn">waits</span>' in page, "the run that failed was not sent yet"
    assert "withheld: the watchdog has not looked for 180 s" in page
    assert "I look after it" not in page, "a viewer only looks"
    assert "2 alerts" in page


def test_an_operator_looks_after_an_alert_once_and_it_is_written_down(browser, outbox, app) -> None:
    client = browser(Role.OPERATOR)
    assert "I look after it" in client.get("/alerts").text
    number = outbox.list_alerts()[-1]["alert_id"]
    for _ in range(2):
        assert client.post(f"/alerts/{number}/acknowledge", data={"key": "key-12345678"}).status_code == 303
    assert outbox.list_alerts()[-1]["acknowledged_by"] == "dashboard:operator"
    (act,) = acts(app.state.sources.database, 10)
    assert (act["action"], act["subject"]) == ("acknowledge", f"alert {number}")
    assert "dashboard:operator" in client.get("/alerts").text
    second = browser(Role.ARM).post(f"/alerts/{number}/acknowledge", data={"key": "key-87654321"})
    assert second.status_code == 409
    assert browser(Role.OPERATOR).post("/alerts/999/acknowledge", data={"key": "key-99999999"}).status_code == 400


def test_a_test_goes_to_every_channel_once_and_is_ended_from_the_page(browser, alerts) -> None:
    client = browser(Role.OPERATOR)
    assert "Send a test to every channel" in client.get("/alerts").text
    assert "~test" not in browser(Role.VIEWER).get("/alerts").text
    for _ in range(2):
        assert client.post("/alerts/~test", data={"key": "one-test-only"}).status_code == 303
    (raised,) = alerts.list_alerts()
    assert (raised["kind"], raised["severity"], raised["repeats"]) == ("test", "page", 0)
    assert raised["text"] == "a test by operator: nothing is wrong"
    assert "End the test" in client.get("/alerts").text
    assert client.post("/alerts/~test-over", data={"key": "its-end-only"}).status_code == 303
    assert alerts.list_alerts(is_open_only=True) == []


def test_what_is_over_is_kept_and_the_list_goes_on_over_pages(browser, alerts) -> None:
    for n in range(55):
        alerts.raise_alert(Alert(AlertCode.RUN_FAILED, f"run {n}", f"run {n} failed"))
    alerts.settle(AlertCode.RUN_FAILED)
    client = browser(Role.VIEWER)
    first = client.get("/alerts").text
    assert "Nothing is wrong that anybody was to be told of." in first
    assert "run 54 failed" in first
    assert "run 4 failed<" not in first
    assert "run 4 failed<" in client.get("/alerts?before=6").text
    assert "The process that tells people has never run" in first


def test_the_page_stands_while_the_database_is_away(app, browser) -> None:
    database = app.state.sources.database
    database.close()
    database.url = "postgresql://127.0.0.1:1/nowhere"
    answer = browser(Role.VIEWER).get("/alerts")
    assert answer.status_code == 200
    assert "does not answer" in answer.text
