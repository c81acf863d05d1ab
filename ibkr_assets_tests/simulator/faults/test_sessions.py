"""Faults of sessions on the wire: what a client without any cleverness is answered."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, Api, connect


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00") as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    with connect(gateway) as client:
        yield client
    for fault in gateway.admin("GET", "/admin/fault"):
        gateway.disarm_fault(fault["id"])
    gateway.set_session("ok")


def test_f20_shuts_everything_out_until_the_market_clock_has_passed_the_penalty(
    gateway: RunningGateway, api: Api
) -> None:
    gateway.arm_fault("F20", routes=["orders", "tickle", "auth_status"], seconds=900)
    assert api.get("/tickle").status_code == 429
    gateway.step_clock(899)
    assert [api.post("/iserver/auth/status").status_code for _ in range(2)] == [429, 429]
    gateway.step_clock(2)
    assert [api.get(path).status_code for path in ("/tickle", "/iserver/account/orders")] == [200, 200]


def test_f20_is_for_every_call_unless_routes_are_named(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F20")
    paths = ("/iserver/accounts", f"/portfolio/{api.account}/ledger", "/nowhere")
    assert [api.get(path).status_code for path in paths] == [429, 429, 429]


def test_f21_is_a_401_in_the_middle_and_only_there(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F21", nth=2)
    assert [api.get("/tickle").status_code for _ in range(3)] == [200, 401, 200]


def test_f22_takes_the_session_away_and_says_that_another_platform_has_it(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F22", routes=["submit"])
    assert api.place(cOID="f22").status_code == 400
    status = api.post("/iserver/auth/status").json()
    assert (status["authenticated"], status["competing"], status["connected"]) == (False, True, True)
    init = api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False}).json()
    assert (init["authenticated"], init["competing"]) == (False, True)
    assert gateway.ledger("accept") == []


@pytest.mark.parametrize("status", [500, 400])
def test_f23_wants_the_accounts_read_again(gateway: RunningGateway, api: Api, status: int) -> None:
    gateway.arm_fault("F23", status=status, routes=["orders"])
    answer = api.get("/iserver/account/orders")
    assert (answer.status_code, answer.json()["error"]) == (status, "Please query /accounts first")
    assert api.place(cOID="f23").status_code == 500
    api.get("/iserver/accounts")
    assert api.get("/iserver/account/orders").status_code == 200


@pytest.mark.parametrize(("words", "text"), [("no_bridge", "no bridge"), ("init_first", "Init session first")])
def test_f24_is_a_brokerage_session_that_only_an_init_brings_back(
    gateway: RunningGateway, api: Api, words: str, text: str
) -> None:
    gateway.arm_fault("F24", words=words, routes=["trades"])
    answer = api.get("/iserver/account/trades")
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert api.get("/iserver/accounts").status_code == 400
    assert api.get(f"/portfolio/{api.account}/ledger").status_code == 200
    api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False})
    assert api.get("/iserver/accounts").status_code == 200


def test_f26_answers_nobody_and_comes_back_with_another_session(gateway: RunningGateway, api: Api) -> None:
    before = api.get("/tickle").json()["session"]
    api.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
    gateway.arm_fault("F26", closed_s=60)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            api.get("/tickle")
    gateway.step_clock(61)
    assert api.get("/tickle").json()["session"] != before
    api.get("/iserver/accounts")
    assert api.get("/iserver/account/orders").json() == {"orders": [], "snapshot": False}
    assert api.place(cOID="f26").json()[0]["messageIds"] == ["o354"]


def test_f27_is_503_in_its_window_of_the_zones_night(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F27", zone="America/New_York", at="01:00", minutes=10)
    seen = [api.get("/tickle").status_code]
    for moment in ("2012-10-02T05:00:00+00:00", "2012-10-02T05:09:59+00:00", "2012-10-02T05:10:00+00:00"):
        gateway.set_clock(moment)
        seen.append(api.get("/tickle").status_code)
    assert seen == [200, 503, 503, 200]


@pytest.mark.parametrize(
    "spec",
    [{"id": "F27", "zone": "New York"}, {"id": "F27", "at": "25:00"}, {"id": "F24", "words": "x"}],
)
def test_a_parameter_that_cannot_be_is_refused(gateway: RunningGateway, spec: dict[str, object]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        gateway.admin("POST", "/admin/fault", spec)


def test_what_is_armed_can_be_read_with_its_parameters(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F27")
    (armed,) = gateway.admin("GET", "/admin/fault")
    assert armed["parameters"] == {"zone": "America/New_York", "at": "01:00:00", "minutes": 10.0}
    assert api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31").status_code == 200
