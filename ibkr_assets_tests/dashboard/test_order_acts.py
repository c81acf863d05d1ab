"""What people do about orders and positions from the page: as it was shown, once, through the gate of every order."""

from __future__ import annotations

import re
from decimal import Decimal

import psycopg
import pytest

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.adapters.postgres.order_requests import PostgresOrderRequests
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.audit import acts
from ibkr_assets_tests.execution.decided import FB
from ibkr_assets_tests.execution.desk import EVENING
from ibkr_assets_tests.fakes.clock import FixedClock


def orders_of(app) -> list[dict]:
    return PostgresLedger(app.state.sources.database).export()


def field(text: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', text)
    assert found, f"no field {name} in the page"
    return found[1]


def test_an_order_is_cancelled_as_it_was_shown_and_asking_again_is_the_same_act(approved_app, approved_browser) -> None:
    client = approved_browser(Role.OPERATOR)
    (order,) = orders_of(approved_app)
    address = f"/orders/{order['client_order_id']}"
    page = client.get(address).text
    assert "Cancel this order" in page
    form = {
        "seen_state": field(page, "seen_state"), "seen_filled": field(page, "seen_filled"), "reason": "wrong size",
        "key": field(page, "key"),
    }  # fmt: skip
    assert [client.post(f"{address}/cancel", data=form).status_code for _ in range(2)] == [303, 303]
    requests = PostgresOrderRequests(approved_app.state.sources.database, approved_app.state.sources.account_ref)
    asked = requests.standing(order["client_order_id"])["cancel_asked"]
    assert (asked["actor"], asked["reason"]) == ("dashboard:operator", "wrong size")
    page = client.get(address).text
    assert "asked for it to be cancelled" in page
    assert "Cancel this order" not in page
    assert len(acts(approved_app.state.sources.database, 10)) == 1


@pytest.mark.parametrize("changed", [{"seen_state": "WORKING"}, {"seen_filled": "1"}])
def test_a_stale_page_cancels_nothing(approved_app, approved_browser, changed: dict[str, str]) -> None:
    client = approved_browser(Role.OPERATOR)
    (order,) = orders_of(approved_app)
    form = {"seen_state": "APPROVED", "seen_filled": "0", "key": "a-stale-form"} | changed
    answer = client.post(f"/orders/{order['client_order_id']}/cancel", data=form)
    assert answer.status_code == 409
    assert "look again" in answer.text
    assert "Cancel this order" in client.get(f"/orders/{order['client_order_id']}").text


def test_a_viewer_sees_no_button_and_an_order_that_is_over_has_none(held_app, held_browser) -> None:
    (order,) = orders_of(held_app)
    assert "Cancel this order" not in held_browser(Role.OPERATOR).get(f"/orders/{order['client_order_id']}").text
    text = held_browser(Role.VIEWER).get("/positions").text
    assert f"/positions/{FB.conid}/close" not in text


@pytest.mark.parametrize(("terms", "mode"), [("rehearse", "dry_run"), ("trade", "sim")])
def test_a_position_is_closed_by_an_order_that_the_same_rules_judge(
    held_app, held_browser, monkeypatch, terms: str, mode: str
) -> None:
    monkeypatch.setattr(bootstrap, "clock", lambda settings: FixedClock(EVENING))
    client = held_browser(Role.OPERATOR)
    (bought,) = orders_of(held_app)
    assert f'href="/positions/{FB.conid}/close"' in client.get("/positions").text
    page = client.get(f"/positions/{FB.conid}/close").text
    assert Decimal(field(page, "seen")) == Decimal(bought["filled"])
    form = {"seen": field(page, "seen"), "key": field(page, "key"), "terms": terms, "reason": "enough"}
    answers = [client.post(f"/positions/{FB.conid}/close", data=form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303], answers[0].text
    _, sold = orders_of(held_app)
    assert (sold["side"], sold["quantity"], sold["strategy_id"]) == ("SELL", bought["filled"], bought["strategy_id"])
    assert sold["mode"] == mode
    assert answers[0].headers["location"] == f"/orders/{sold['client_order_id']}"
    with transaction(held_app.state.sources.database) as cursor:
        row = cursor.execute(
            "select i.purpose, i.created_by, jsonb_array_length(d.findings) as findings, d.is_approved "
            "from oms.order_intent i join oms.risk_decision d using (intent_id) where i.client_order_id = %s",
            (sold["client_order_id"],),
        ).fetchone()
    assert (row["purpose"], row["created_by"]) == ("reduce", "dashboard:operator")
    assert row["findings"] > 10
    shown = client.get(answers[0].headers["location"])
    assert shown.status_code == 200
    assert ("approved" if row["is_approved"] else "denied by") in shown.text


def test_a_position_that_has_changed_since_is_not_closed(held_app, held_browser) -> None:
    answer = held_browser(Role.OPERATOR).post(f"/positions/{FB.conid}/close", data={"seen": "1", "key": "a-stale-form"})
    assert answer.status_code == 409
    assert len(orders_of(held_app)) == 1


def test_what_is_not_held_cannot_be_closed(held_browser) -> None:
    answer = held_browser(Role.OPERATOR).get("/positions/1/close")
    assert answer.status_code == 400
    assert "none is held in conid 1" in answer.text


def test_a_doubt_is_not_ended_from_the_page_before_anybody_looked(approved_app, approved_browser, postgres_server):
    (order,) = orders_of(approved_app)
    name, client = order["client_order_id"], approved_browser(Role.ARM)
    page = client.get(f"/orders/{name}/doubt").text
    assert "not in doubt" in page
    form = {"unknown_since": "2012-10-01T21:00:00+00:00", "reason": "the statement says so", "key": "a-stale-form"}
    assert client.post(f"/orders/{name}/doubt", data=form | {"word": "nearly"}).status_code == 400
    answer = client.post(f"/orders/{name}/doubt", data=form | {"word": name[-6:]})
    assert answer.status_code == 409
    assert "you saw it in doubt since" in answer.text


def test_looking_again_asks_the_submitter(approved_app, approved_browser) -> None:
    (order,) = orders_of(approved_app)
    address = f"/orders/{order['client_order_id']}/look"
    assert approved_browser(Role.OPERATOR).post(address, data={"key": "this-form"}).status_code == 303
    with transaction(approved_app.state.sources.database) as cursor:
        rows = cursor.execute("select requested_by from oms.recon_request where answered_at is null").fetchall()
    assert [row["requested_by"] for row in rows] == ["dashboard:operator"]


def test_the_orders_page_says_how_orders_are_carried_out(held_app, held_browser) -> None:
    text = held_browser(Role.VIEWER).get("/orders").text
    for words in ("Fill rate", "100.0 %", "Slippage", "Commissions, USD", "Nothing waits for a person"):
        assert words in text
    (order,) = orders_of(held_app)
    rows = held_browser(Role.VIEWER).get("/orders.csv?state=FILLED&strategy=&symbol=FB").text.splitlines()
    assert rows[0].startswith("client_order_id,")
    assert rows[1].startswith(order["client_order_id"])
    assert len(held_browser(Role.VIEWER).get("/orders.csv?state=REJECTED").text.splitlines()) == 1


def test_the_dashboards_role_can_open_no_position(held_app, postgres_server) -> None:
    """The database refuses it, whatever the page was made to write."""
    with psycopg.connect(held_app.state.sources.database.url) as connection:
        columns = connection.execute(
            "select string_agg(quote_ident(column_name), ', ') from information_schema.columns "
            "where table_schema = 'oms' and table_name = 'order_intent' and column_name not in "
            "('intent_id', 'client_order_id', 'decision_key', 'state', 'version', 'filled', 'send_count', "
            "'broker_order_id', 'average_price', 'epoch', 'purpose', 'dagster_run_id', 'created_at', 'state_at', "
            "'cause')"
        ).fetchone()[0]
        for purpose in ("rebalance", "reduce"):
            with pytest.raises(psycopg.errors.RaiseException, match="close a position, and no others"):
                connection.execute(
                    f"insert into oms.order_intent ({columns}, client_order_id, decision_key, state, cause, purpose) "
                    f"select {columns}, 'q1-' || repeat('a', 26), 'forged', 'PROPOSED', 'x', %s from oms.order_intent",
                    (purpose,),
                )
            connection.rollback()


def test_every_move_of_an_order_is_told_to_pages(approved_app, approved_browser) -> None:
    """Also those that wake nobody else: here the end of one that was cancelled before it left."""
    with psycopg.connect(approved_app.state.sources.database.url, autocommit=True) as pages:
        pages.execute("listen pages")
        with transaction(approved_app.state.sources.database) as cursor:
            cursor.execute(
                "update oms.order_intent set state = 'DENIED', version = version + 1, cause = 'test', reason = 'x'"
            )
        told = {note.payload for note in pages.notifies(timeout=5, stop_after=1)}
    assert "order_event" in told
