"""What each fault of orders does on the wire, and what is true at the venue afterwards."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ibkr_assets_tests.gateway import RunningGateway, gateway_process
from ibkr_assets_tests.simulator.clients import AAPL, MSFT, Api, connect

__all__ = ["gateway_process"]

NAMES = (f"wire-{number}" for number in itertools.count())


@pytest.fixture
def api(gateway_process: RunningGateway) -> Iterator[Api]:
    with connect(gateway_process) as client:
        client.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
        yield client
        client.cancel(-1)
    for fault in gateway_process.admin("GET", "/admin/fault"):
        gateway_process.disarm_fault(fault["id"])


class Bench:
    """A gateway with one fault armed, and a client of it."""

    def __init__(self, gateway: RunningGateway, api: Api) -> None:
        self.gateway = gateway
        self.api = api
        self.coid = next(NAMES)

    def arm(self, fault_id: str, **spec: Any) -> None:
        self.gateway.arm_fault(fault_id, **spec)

    def place(self, **fields: Any) -> httpx.Response:
        return self.api.place(**{"cOID": self.coid, "quantity": 1, **fields})

    def order(self, **fields: Any) -> str:
        """A working order; its id."""
        return str(self.place(**fields).json()[0]["order_id"])

    def count(self, event: str) -> int:
        return sum(row["coid"] == self.coid for row in self.gateway.ledger(event))

    def row(self) -> dict[str, Any] | None:
        return next((row for row in self.api.live_orders() if row.get("order_ref") == self.coid), None)

    def executions(self) -> list[dict[str, Any]]:
        return [row for row in self.api.trades() if row.get("order_ref") == self.coid]


@pytest.fixture
def bench(gateway_process: RunningGateway, api: Api) -> Bench:
    return Bench(gateway_process, api)


def raw_submit(bench: Bench) -> bytes:
    """Every byte that comes back for an order, until the connection ends."""
    url = httpx.URL(bench.gateway.api_url)
    body = (
        f'{{"orders":[{{"acctId":"{bench.api.account}","conid":{AAPL},"cOID":"{bench.coid}","side":"BUY",'
        '"orderType":"LMT","price":680.0,"quantity":1,"tif":"OPG"}]}'
    ).encode()
    head = (
        f"POST /v1/api/iserver/account/{bench.api.account}/orders HTTP/1.1\r\nHost: {url.host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection((url.host, url.port), 5) as connection:
        connection.sendall(head + body)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


def test_f3_resets_now_and_books_when_market_time_has_come(bench: Bench) -> None:
    bench.arm("F3", late_s=45)
    with pytest.raises(httpx.ReadError):
        bench.place()
    bench.gateway.step_clock(44)
    assert bench.count("accept") == 0
    bench.gateway.step_clock(2)
    assert bench.count("accept") == 1


def test_f3_refuses_a_late_order_whose_id_was_used_meanwhile(bench: Bench) -> None:
    bench.arm("F3", late_s=45)
    with pytest.raises(httpx.ReadError):
        bench.place()
    assert bench.place().status_code == 200
    bench.gateway.step_clock(60)
    assert (bench.count("accept"), bench.count("dup_refused")) == (1, 1)


def test_f4_answers_in_full_but_late(bench: Bench) -> None:
    bench.arm("F4", delay_s=0.3)
    answer = bench.place()
    assert answer.elapsed.total_seconds() > 0.3
    assert answer.json()[0]["local_order_id"] == bench.coid


def test_f6_cuts_at_every_byte_and_still_claims_the_whole_length(bench: Bench) -> None:
    whole = bench.api.get("/iserver/accounts").content
    for cut_at in (*range(0, len(whole), 7), len(whole) - 1):
        bench.arm("F6", routes=["accounts"], cut_at=cut_at)
        with pytest.raises(httpx.RemoteProtocolError, match=rf"received {cut_at} bytes, expected {len(whole)}"):
            bench.api.get("/iserver/accounts")


def test_f6_books_the_order_whose_answer_it_cuts(bench: Bench) -> None:
    bench.arm("F6", cut_at=10)
    head, _, body = raw_submit(bench).partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b'[{"order_i')
    assert bench.count("accept") == 1


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("cut", b'[{"order_id":"1"'), ("nan", b'[{"order_id":NaN'), ("bom", b'\xef\xbb\xbf[{"order_id"'),
        ("duplicate_keys", b'[{"order_id":"1","order_id":"2"'), ("latin1", b'[{"order_id":"1"'),
    ],
)  # fmt: skip
def test_f7_says_json_and_is_none(bench: Bench, form: str, begins: bytes) -> None:
    bench.arm("F7", form=form)
    answer = bench.place()
    assert answer.content.startswith(begins)
    assert answer.headers["content-type"] == "application/json"
    assert bench.count("accept") == 1


def test_f8_can_send_the_way_to_the_login_page(bench: Bench) -> None:
    bench.arm("F8", form="redirect")
    answer = bench.place()
    assert (answer.status_code, answer.headers["location"].split("?")[0]) == (302, "/sso/Login")
    assert bench.count("accept") == 0


def test_f9_gives_a_body_under_a_wrong_name(bench: Bench) -> None:
    bench.arm("F9")
    answer = bench.place()
    assert (answer.headers["content-type"].split(";")[0], answer.json()[0]["order_status"]) == (
        "text/plain", "PreSubmitted",
    )  # fmt: skip
    bench.coid = next(NAMES)
    bench.arm("F9", form="text_as_json")
    answer = bench.place()
    assert (answer.headers["content-type"], answer.content) == ("application/json", b"order was received")


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [("empty", 200, b""), ("204", 204, b""), ("null", 200, b"null"), ("list", 200, b"[]"), ("object", 200, b"{}")],
)
def test_f10_says_nothing_in_five_ways(bench: Bench, form: str, status: int, body: bytes) -> None:
    bench.arm("F10", form=form, booked=True)
    answer = bench.place()
    assert (answer.status_code, answer.content, bench.count("accept")) == (status, body, 1)


def test_f11_is_a_200_that_failed(bench: Bench) -> None:
    bench.arm("F11")
    answer = bench.place()
    (row,) = answer.json()
    assert (answer.status_code, row["order_id"], row["order_status"]) == (200, -1, "Failed")
    assert bench.count("accept") == 0


def test_f12_refuses_the_id_that_it_has_just_booked(bench: Bench) -> None:
    bench.arm("F12")
    answer = bench.place()
    assert answer.status_code == 400
    assert answer.json()["error"] == f"Order couldn't be submitted: Local order ID={bench.coid} is already registered."
    assert bench.count("accept") == 1


def test_f13_takes_the_same_id_a_second_time(bench: Bench) -> None:
    session = bench.api.get("/tickle").json()["session"]
    bench.arm("F13")
    with pytest.raises(httpx.ReadError):
        bench.place()
    bench.api.get("/iserver/accounts")
    bench.api.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
    assert bench.place().status_code == 200
    assert bench.count("accept") == 2
    assert bench.api.get("/tickle").json()["session"] != session


def test_f14_asks_as_often_and_with_the_ids_that_it_is_told(bench: Bench) -> None:
    bench.arm("F14", chain=5, message_ids=["o163", "o99999"], text="Sure?")
    answer = bench.place()
    asked = []
    while "message" in (row := answer.json()[0]):
        asked += row["messageIds"]
        assert row["message"] == ["Sure?"]
        answer = bench.api.reply(answer)
    assert asked == ["o163", "o99999", "o163", "o99999", "o163"]
    assert bench.count("accept") == 1


@pytest.mark.parametrize("booked", [True, False])
@pytest.mark.parametrize(("form", "status"), [("not_found", 400), ("unavailable", 503)])
def test_f15_loses_a_reply(bench: Bench, form: str, status: int, booked: bool) -> None:
    bench.arm("F14")
    bench.arm("F15", form=form, booked=booked)
    answer = bench.api.reply(bench.place())
    assert (answer.status_code, bench.count("accept")) == (status, booked)
    if form == "not_found":
        assert answer.json()["error"].startswith("reply id not found")


def test_f16_leaves_a_question_that_can_still_be_declined(bench: Bench) -> None:
    bench.arm("F16")
    question = bench.place()
    assert question.json()[0]["messageIds"] == ["o403"]
    assert "error" in bench.api.reply(question, confirmed=False).json()
    assert bench.count("accept") == 0


def test_f17_makes_the_question_stale(bench: Bench) -> None:
    bench.arm("F14")
    bench.arm("F17")
    question = bench.place()
    assert [bench.api.reply(question).status_code for _ in range(2)] == [503, 503]
    assert bench.count("accept") == 0


def test_f18_asks_about_ten_times_as_many(bench: Bench) -> None:
    bench.arm("F18")
    assert "BUY 20 AAPL" in bench.place(quantity=2).json()[0]["message"][0]


def test_f19_refuses_inside_a_200(bench: Bench) -> None:
    bench.arm("F19")
    answer = bench.place()
    assert (answer.status_code, list(answer.json())) == (200, ["error"])
    assert bench.count("accept") == 0


def test_f29_leaves_out_what_has_ended_and_with_working_everything(bench: Bench) -> None:
    order_id = bench.order()
    bench.arm("F29")
    assert bench.row() is not None
    bench.arm("F29", working=True)
    assert bench.row() is None
    bench.arm("F29")
    bench.api.cancel(order_id)
    assert bench.row() is None
    bench.gateway.disarm_fault("F29")
    assert bench.row() is not None


def test_f31_leaves_out_what_is_new(bench: Bench) -> None:
    bench.order()
    bench.arm("F31")
    assert bench.row() is None
    bench.arm("F31", lag_s=0)
    assert bench.row() is not None


def test_f32_shows_the_states_of_a_filled_order_in_another_order(bench: Bench) -> None:
    order_id = bench.order()
    bench.gateway.fill(coid=bench.coid)
    bench.arm("F32")
    path = f"/iserver/account/order/status/{order_id}"
    shown = [bench.api.get(path).json()["order_status"] for _ in range(4)]
    assert shown == ["Filled", "Submitted", "PendingSubmit", "Filled"]


def test_f33_repeats_and_splits_executions(bench: Bench) -> None:
    bench.order(quantity=3)
    ids = {bench.gateway.fill(coid=bench.coid, quantity=1) for _ in range(3)}
    bench.arm("F33", copies=3)
    assert sorted(row["execution_id"] for row in bench.executions()) == sorted([*ids] * 3)
    bench.arm("F33", copies=1, pages=2)
    parts = [{row["execution_id"] for row in bench.api.get("/iserver/account/trades").json()} & ids for _ in range(2)]
    assert parts[0] | parts[1] == ids
    assert not parts[0] & parts[1]


def test_f34_shows_the_execution_and_not_its_order(bench: Bench) -> None:
    order_id = bench.order(quantity=2)
    bench.gateway.fill(coid=bench.coid, quantity=1)
    bench.arm("F34")
    assert len(bench.executions()) == 1
    assert bench.row() is None
    assert bench.api.get(f"/iserver/account/order/status/{order_id}").status_code == 503


def test_f35_corrects_price_and_quantity_in_the_second_revision(bench: Bench) -> None:
    bench.order(quantity=5)
    first = bench.gateway.fill(coid=bench.coid)
    bench.arm("F35", quantity=4, price=679.5)
    (row,) = bench.executions()
    assert (row["size"], float(row["price"])) == (4, 679.5)
    assert row["execution_id"] == first.removesuffix(".01") + ".02"
    assert bench.count("bust") == 1


@pytest.mark.parametrize(("form", "sizes"), [("vanishes", []), ("negative", [-5])])
def test_f36_takes_an_execution_back(bench: Bench, form: str, sizes: list[int]) -> None:
    bench.order(quantity=5)
    bench.gateway.fill(coid=bench.coid)
    bench.arm("F36", form=form)
    assert [row["size"] for row in bench.executions()] == sizes
    assert [row["size"] for row in bench.executions()] == sizes
    assert bench.count("bust") == 1


def test_f36_waits_while_another_fault_hides_the_execution(bench: Bench) -> None:
    bench.order(quantity=5)
    bench.gateway.fill(coid=bench.coid)
    bench.arm("F31", lag_s=1e6)
    bench.arm("F36")
    assert bench.executions() == []
    assert bench.count("bust") == 0
    bench.gateway.disarm_fault("F31")
    assert bench.executions() == []
    assert bench.count("bust") == 1


def test_f37_fills_three_of_ten_and_cancels_the_rest(bench: Bench) -> None:
    bench.order(quantity=10)
    bench.arm("F37")
    row = bench.row()
    assert row is not None
    assert (row["status"], row["filledQuantity"], row["totalSize"]) == ("Cancelled", 3, 10)


def test_f38_notes_a_cancel_of_an_order_that_fills(bench: Bench) -> None:
    order_id = bench.order()
    bench.arm("F38")
    answer = bench.api.cancel(order_id)
    assert (answer.status_code, answer.json()["msg"]) == (200, "Request was submitted")
    row = bench.row()
    assert row is not None
    assert row["status"] == "Filled"


@pytest.mark.parametrize(("form", "text"), [("inactive", "Order is inactive"), ("unknown", "doesn't exist")])
def test_f39_refuses_a_cancel_of_an_order_that_works(bench: Bench, form: str, text: str) -> None:
    order_id = bench.order()
    bench.arm("F39", form=form)
    answer = bench.api.cancel(order_id)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert bench.count("cancel") == 0


def test_f40_fills_more_than_was_ordered(bench: Bench) -> None:
    bench.order(quantity=10)
    bench.arm("F40")
    row = bench.row()
    assert row is not None
    assert row["filledQuantity"] == 11


def test_f41_shows_a_working_order_as_inactive_with_a_reason(bench: Bench) -> None:
    order_id = bench.order()
    bench.arm("F41", text="held")
    row = bench.row()
    assert row is not None
    assert (row["status"], row["order_cancellation_by_system_reason"]) == ("Inactive", "held")
    assert bench.api.get(f"/iserver/account/order/status/{order_id}").json()["order_status"] == "Inactive"


def test_f42_lets_somebody_else_order_and_fill(bench: Bench) -> None:
    bench.arm("F42", routes=["orders"], conid=MSFT)
    mine_apart = [row for row in bench.api.live_orders() if "order_ref" not in row]
    assert [(row["conid"], row["totalSize"]) for row in mine_apart] == [(MSFT, 7)]
    bench.arm("F42", routes=["trades"], form="fill", conid=MSFT, quantity=4, order_ref="elsewhere")
    assert [row["size"] for row in bench.api.trades() if row.get("order_ref") == "elsewhere"] == [4]


def test_f43_speaks_of_another_account(bench: Bench) -> None:
    bench.arm("F43", account="DU7")
    assert bench.place().json()[0]["account"] == "DU7"
    bench.arm("F43", account="DU7", routes=["orders"])
    row = bench.row()
    assert row is not None
    assert row["acct"] == "DU7"
    bench.arm("F43", account="DU7", routes=["accounts"])
    assert bench.api.get("/iserver/accounts").json()["accounts"] == ["DU7", bench.api.account]
