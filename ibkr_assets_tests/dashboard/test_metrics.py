"""Numbers for Prometheus, counted from the tables at each scrape; and health that tells the truth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from ibkr_assets.dashboard.access import Role
from ibkr_assets.domain.alert import Alert, AlertCode
from ibkr_assets_tests.dashboard.conftest import ACCOUNT


def scrape(client, **headers) -> dict[str, dict[tuple, float]]:
    """Samples by name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture
def ledger(app, postgres_server):
    """A few orders with their denials and calls, written past the guards by the owner."""
    import psycopg

    sources = app.state.sources
    name = sources.database.url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(name, "ibkr_platform"), autocommit=True) as connection:
        for table in ("order_intent", "wire_call", "risk_decision"):
            connection.execute(f"alter table oms.{table} disable trigger user")
        connection.execute(
            "insert into oms.account (account_ref) values (%s) on conflict do nothing", (sources.account_ref,)
        )
        for n, state in enumerate(["DENIED", "DENIED", "UNKNOWN", "FILLED"]):
            connection.execute(
                """insert into oms.order_intent (decision_key, client_order_id, payload_sha256, account_ref,
                  strategy_id, mode, conid, symbol, side, order_type, quantity, limit_price, time_in_force,
                  reference_price, session_date, signal_bar_end, valid_until, purpose, leg, generation, state, filled,
                  unknown_since, cause, created_by)
                values (%(n)s, 'q1-' || repeat(%(letter)s, 26), 'x', %(ref)s, 's', 'sim', 1, 'AAPL', 'BUY', 'LMT', 10,
                  5, 'DAY', 5, current_date, now(), now(), 'open', 0, 0, %(state)s,
                  case when %(state)s = 'FILLED' then 10 else 0 end,
                  case when %(state)s = 'UNKNOWN' then now() - interval '7 minutes' end, 'test', 'test')""",
                {"n": str(n), "letter": "abcd"[n], "ref": sources.account_ref, "state": state},
            )
        connection.execute(
            """insert into oms.risk_decision (intent_id, is_approved, code, text, findings, exposure, market_at)
            select intent_id, false, 'platform', 'no alarm', '[]', '{}', now() from oms.order_intent
            where state = 'DENIED'"""
        )
        connection.execute(
            """insert into oms.wire_call (intent_id, kind, send_number, epoch, request, request_sha256, market_at,
              sent_at, outcome, done_at)
            select intent_id, 'place', 1, 1, '{}', 'x', now(), now() - make_interval(secs => t.s), 'ok', now()
            from oms.order_intent, (values (0.01), (0.3), (20)) t (s) where state = 'FILLED'"""
        )
    return sources


def test_the_numbers_are_those_of_the_tables(ledger, browser) -> None:
    found = scrape(browser())
    orders = {dict(labels)["state"]: value for labels, value in found["ibkr_assets_orders"].items()}
    assert {state: n for state, n in orders.items() if n} == {"DENIED": 2, "UNKNOWN": 1, "FILLED": 1}
    assert orders["WORKING"] == 0, "a state without orders is there too"
    assert found["ibkr_assets_denials_total"] == {(("rule", "platform"),): 2}
    assert found["ibkr_assets_unknown_orders"] == {(): 1}
    assert 419 < found["ibkr_assets_unknown_order_age_seconds"][()] < 480
    assert found["ibkr_assets_gateway_calls_total"] == {(("kind", "place"), ("outcome", "ok")): 3}
    latency = {dict(labels)["le"]: n for labels, n in found["ibkr_assets_gateway_latency_seconds_bucket"].items()}
    assert (latency["0.05"], latency["0.25"], latency["0.5"], latency["15.0"], latency["+Inf"]) == (1, 1, 2, 2, 3)
    assert found["ibkr_assets_gateway_latency_seconds_count"] == {(("kind", "place"),): 3}
    assert 20.3 < found["ibkr_assets_gateway_latency_seconds_sum"][(("kind", "place"),)] < 20.4
    assert found["ibkr_assets_trading_stopped"] == {(): 0}


def test_alerts_are_counted_by_code_and_open_ones_apart(alert_rows, browser) -> None:
    _, alerts = alert_rows
    alerts.raise_alert(Alert(AlertCode.KILLED, "1", "x"))
    alerts.settle(AlertCode.KILLED)
    alerts.raise_alert(Alert(AlertCode.KILLED, "2", "x"))
    found = scrape(browser())
    key = (("code", "killed"), ("severity", "page"))
    assert found["ibkr_assets_alerts_raised_total"][key] == 2
    assert found["ibkr_assets_alerts_open"][key] == 1
    assert len(found["ibkr_assets_alerts_open"]) == len(AlertCode)


def test_a_scrape_shows_no_account_and_no_password_and_stands_without_the_database(app, browser) -> None:
    sources = app.state.sources
    text = browser().get("/metrics").text
    password = sources.database.url.split(":")[2].split("@")[0]
    assert ACCOUNT not in text
    assert password not in text
    sources.database.close()
    sources.database.url = "postgresql://127.0.0.1:1/nowhere"
    assert scrape(browser())["ibkr_assets_source_up"] == {(("source", "database"),): 0}


def test_beyond_loopback_a_scrape_takes_the_token(app, browser) -> None:
    sources = app.state.sources
    outside = sources.settings.dashboard.model_copy(update={"host": "0.0.0.0"})
    app.state.sources = replace(sources, settings=sources.settings.model_copy(update={"dashboard": outside}))
    assert browser().get("/metrics").status_code == 403
    token = outside.model_copy(update={"metrics_token": SecretStr("s3cret")})
    app.state.sources = replace(sources, settings=sources.settings.model_copy(update={"dashboard": token}))
    assert browser().get("/metrics").status_code == 401
    assert browser(Role.ARM).get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert "ibkr_assets_orders" in scrape(browser(), authorization="Bearer s3cret")


def test_health_says_what_is_not_ready_and_why(app, browser, ledger, postgres_server) -> None:
    import psycopg

    client = browser()
    assert client.get("/health/live").json() == {"live": True}
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        "submitter: has never run", "watchdog: has never run", "alerts: has never run", "orders in doubt: 1",
    ]  # fmt: skip
    ref, name = ledger.account_ref, ledger.database.url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(name, "ibkr_platform"), autocommit=True) as connection:
        connection.execute("insert into oms.heartbeat (account_ref, status) values (%s, 'login required')", (ref,))
        connection.execute("insert into oms.watchdog (account_ref, status) values (%s, 'watching')", (ref,))
        connection.execute(
            "insert into oms.alert_sender (account_ref, holder, channels, at) "
            "values (%s, 'x', 0, now() - interval '40 seconds')",
            (ref,),
        )
        connection.execute("update oms.order_intent set state = 'FILLED', filled = 10, unknown_since = null")
    reasons = client.get("/health/ready").json()["reasons"]
    assert reasons == ["alerts: silent for 40 s", "submitter: login required"]
    with psycopg.connect(postgres_server.url(name, "ibkr_platform"), autocommit=True) as connection:
        connection.execute("update oms.heartbeat set status = 'working'")
        connection.execute("update oms.alert_sender set at = now()")
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})
