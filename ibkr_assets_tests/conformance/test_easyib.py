"""The public client easyib drives the gateway, unpatched, through everything it has.

It checks nothing of an answer, so that is done here: the figures are those of the tape's source, read there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import requests

with warnings.catch_warnings():
    # easyib turns warnings of its HTTP library off for the whole process; that stays its own.
    from easyib import REST

from ibkr_assets_tests.gateway import ACCOUNT, RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, IBM

OPEN = 671.5


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00") as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> REST:
    gateway.restart_session()
    rest = REST(url=gateway.api_url.removesuffix("/v1/api"), ssl=False)
    # The first call of every brokerage session, which easyib leaves to its user.
    rest.switch_account(ACCOUNT)
    requests.get(f"{rest.url}iserver/accounts", timeout=10)
    return rest


def ticket(**changes: object) -> dict[str, object]:
    whole = {"conid": AAPL, "orderType": "LMT", "side": "BUY", "price": 500.0, "quantity": 7, "tif": "GTC"}
    return whole | changes


def test_it_finds_its_account_and_is_authenticated(api: REST) -> None:
    assert api.id == ACCOUNT
    assert api.switch_account(ACCOUNT) == {"success": "Account already set"}
    assert api.ping_server()["iserver"]["authStatus"]["authenticated"] is True
    assert api.get_auth_status()["connected"] is True


def test_cash_and_value(api: REST) -> None:
    assert (api.get_cash(), api.get_netvalue()) == (100_000.0, 100_000.0)
    assert api.get_portfolio() == {"USD": 100_000.0}


def test_contracts(api: REST) -> None:
    assert (api.get_conid("AAPL"), api.get_conid("IBM")) == (AAPL, IBM)
    receipt = api.get_conid("AAPL", instrument_filters={"name": "APPLE INC-CDR"}, contract_filters={"isUS": False})
    assert receipt == 532640894
    assert api.get_fut_conids("ES") == []


def test_bars(api: REST) -> None:
    chart = api.get_bars("IBM", period="1m", bar="1d")
    # 28 September 2012 whole; 1 October is still forming and knows its open alone.
    whole, forming = chart["data"][-2:]
    assert (whole["o"], whole["h"], whole["l"], whole["c"]) == (205.66, 208.32, 205.31, 207.45)
    assert (forming["o"], forming["h"], forming["c"]) == (208.01, 208.01, 208.01)
    assert (chart["symbol"], chart["points"]) == ("IBM", len(chart["data"]) - 1)


def test_an_order_from_questions_to_cancel(api: REST) -> None:
    placed = api.submit_orders([ticket(cOID="easy-1")])
    order_id = placed["order_id"]
    assert api.get_order(order_id)["limit_price"] == "500.00"
    assert api.get_live_orders() == {"orders": [], "snapshot": False}
    rows = api.get_live_orders()["orders"] or api.get_live_orders()["orders"]
    assert [(row["orderId"], row["order_ref"]) for row in rows] == [(int(order_id), "easy-1")]
    assert api.modify_order(order_id, ticket(price=505.0))["order_id"] == order_id
    assert api.get_order(order_id)["limit_price"] == "505.00"
    assert api.cancel_order(order_id)["msg"] == "Request was submitted"
    assert api.get_order(order_id)["order_status"] in ("Cancelled", "PendingCancel")


def test_a_question_may_be_left_to_its_user(api: REST) -> None:
    asked = api.submit_orders([ticket(cOID="easy-2")], reply_yes=False)
    assert "Percentage constraint of 3%" in asked["message"][0]
    while "message" in asked:
        asked = api.reply_yes(asked["id"])
    assert api.cancel_order(asked["order_id"])["msg"] == "Request was submitted"


def test_bought_shares_are_in_the_portfolio(gateway: RunningGateway, api: REST) -> None:
    placed = api.submit_orders([ticket(price=OPEN, cOID="easy-3", tif="DAY")])
    if not gateway.ledger("fill"):
        gateway.fill(order_id=int(placed["order_id"]), price=OPEN)
    assert api.get_order(placed["order_id"])["order_status"] == "Filled"
    portfolio = api.get_portfolio()
    assert portfolio["AAPL"] == 7.0
    (fill,) = gateway.ledger("fill")
    assert portfolio["USD"] == pytest.approx(100_000 - 7 * fill["price"] - 1)


def test_it_logs_out_and_a_person_logs_in_again(gateway: RunningGateway, api: REST) -> None:
    api.re_authenticate()
    api.log_out()
    assert api.get_auth_status() == {"error": "no session", "statusCode": 401}
    gateway.set_session("ok")
    assert api.get_auth_status()["authenticated"] is True
