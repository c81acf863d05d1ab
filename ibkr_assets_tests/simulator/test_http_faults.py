"""What goes wrong on demand, and what is true at the venue afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from ibkr_assets_tests.gateway import RunningGateway, gateway_process
from ibkr_assets_tests.simulator.clients import Api, connect

__all__ = ["gateway_process"]


@pytest.fixture
def api(gateway_process: RunningGateway) -> Iterator[Api]:
    with connect(gateway_process) as client:
        client.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
        yield client
    for fault in gateway_process.admin("GET", "/admin/fault"):
        gateway_process.disarm_fault(fault["id"])


def accepted(gateway: RunningGateway, coid: str) -> int:
    return sum(row["coid"] == coid for row in gateway.ledger("accept"))


def test_f1_books_the_order_and_resets_the_connection(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.arm_fault("F1")
    with pytest.raises(httpx.ReadError):
        api.place(cOID="f1")
    assert accepted(gateway_process, "f1") == 1
    assert [row["status"] for row in gateway_process.wirelog() if row["route"] == "submit"] == ["reset"]
    assert "f1" in [row.get("order_ref") for row in api.live_orders()]
    assert api.place(cOID="f1").status_code == 400


def test_f1_strikes_where_the_order_is_booked_and_not_where_it_is_asked_about(
    gateway_process: RunningGateway, api: Api
) -> None:
    gateway_process.arm_fault("F1")
    question = api.place(cOID="f1-late", price=600.0)
    assert question.json()[0]["messageIds"] == ["o163"]
    with pytest.raises(httpx.ReadError):
        api.reply(question)
    assert accepted(gateway_process, "f1-late") == 1


def test_f2_resets_before_anything_is_booked(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.arm_fault("F2")
    with pytest.raises(httpx.ReadError):
        api.place(cOID="f2")
    assert accepted(gateway_process, "f2") == 0
    assert api.place(cOID="f2").status_code == 200


@pytest.mark.parametrize("booked", [True, False])
def test_f5_is_a_late_503_with_or_without_the_order(gateway_process: RunningGateway, api: Api, booked: bool) -> None:
    gateway_process.arm_fault("F5", booked=booked, delay_s=0.05)
    answer = api.place(cOID=f"f5-{booked}")
    assert (answer.status_code, answer.headers["x-response-time"]) == (503, "10000ms")
    assert accepted(gateway_process, f"f5-{booked}") == booked


def test_f8_f10_and_f21_answer_what_is_no_answer(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.arm_fault("F8")
    page = api.get("/iserver/accounts")
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    gateway_process.arm_fault("F10")
    assert (api.place(cOID="f10").status_code, accepted(gateway_process, "f10")) == (200, 0)
    gateway_process.arm_fault("F21", nth=2, times=1)
    assert [api.get("/tickle").status_code for _ in range(3)] == [200, 401, 200]


def test_f28_and_f30_hide_what_is_there(gateway_process: RunningGateway, api: Api) -> None:
    api.live_orders()
    gateway_process.arm_fault("F28", times=2)
    assert [api.get("/iserver/account/orders").json()["snapshot"] for _ in range(3)] == [False, False, True]
    api.trades()
    gateway_process.arm_fault("F30")
    assert api.get("/iserver/account/trades").json() == []


def test_a_fault_can_be_aimed_at_other_routes_and_taken_away(gateway_process: RunningGateway, api: Api) -> None:
    gateway_process.arm_fault("F21", routes=["ledger"], times=100)
    assert api.get("/tickle").status_code == 200
    assert api.get(f"/portfolio/{api.account}/ledger").status_code == 401
    gateway_process.disarm_fault("F21")
    assert api.get(f"/portfolio/{api.account}/ledger").status_code == 200


@pytest.mark.parametrize("spec", [{"id": "F99"}, {"id": "F1", "probabilty": 1}, {"id": "F1", "probability": 2}])
def test_a_fault_that_cannot_be_is_refused(gateway_process: RunningGateway, spec: dict[str, object]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        gateway_process.admin("POST", "/admin/fault", spec)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"id": "F5", "delay": 1}, "delay"),
        ({"id": "F5", "delay_s": "soon"}, "delay_s"),
        ({"id": "F5", "routes": ["sumbit"]}, "sumbit"),
        ({"id": "F5", "from": "2012-10-01T13:00:00"}, "from"),
        ({"id": "F5", "from": "2012-10-01T13:00:00Z", "to": "2012-10-01T13:00:00Z"}, "to"),
    ],
)
def test_what_is_wrong_with_an_order_to_arm_is_named(
    gateway_process: RunningGateway, spec: dict[str, object], named: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        gateway_process.admin("POST", "/admin/fault", spec)
    assert refused.value.response.json()["error"].startswith((f"{named}:", f"routes: no route '{named}'"))


def test_a_fault_strikes_in_its_window_of_market_time_and_at_no_other(
    gateway_process: RunningGateway, api: Api
) -> None:
    now = gateway_process.now()
    begins, ends = (now + timedelta(seconds=s) for s in (10, 20))
    window = {"from": begins.isoformat(), "to": ends.isoformat()}
    gateway_process.arm_fault("F21", routes=["tickle"], **window)
    seen = []
    for _ in range(3):
        seen += [api.get("/tickle").status_code, api.get("/tickle").status_code]
        gateway_process.step_clock(10)
    assert seen == [200, 200, 401, 401, 200, 200]
