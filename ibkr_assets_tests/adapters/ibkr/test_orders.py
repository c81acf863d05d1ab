"""Every shape of answer to an order, over real sockets; and that no order ever leaves twice."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.adapters.ibkr import parse
from ibkr_assets.adapters.ibkr.orders import OrderDesk, judge_cancel, judge_placing
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.transport import Answer
from ibkr_assets.domain.broker import (
    Acknowledged,
    Ambiguous,
    CancelRequested,
    DuplicateRefused,
    NotSent,
    OrderTicket,
    Question,
    Rejected,
)
from ibkr_assets.domain.order import OrderType, Side, TimeInForce
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, RawServer, drip, http, reset

PLACE = f"POST iserver/account/{ACCOUNT}/orders"
REPLY = "POST iserver/reply/abc-1"
MODIFY = f"POST iserver/account/{ACCOUNT}/order/987"
CANCEL = f"DELETE iserver/account/{ACCOUNT}/order/987"
TICKET = OrderTicket(
    account=ACCOUNT,
    client_order_id="q1-abcdefghijklmnopqrstuvwxyz",
    conid=265598,
    symbol="AAPL",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal(3),
    limit_price=Decimal("189.37"),
    time_in_force=TimeInForce.OPENING,
)
QUESTION = {"id": "abc-1", "message": ["sure?"], "isSuppressed": False, "messageIds": ["o163"]}
AGAIN = "Order couldn't be submitted: Local order ID=x is already registered."
ADVANCED = {
    "orderId": 5,
    "reqId": "r",
    "dismissable": [],
    "text": "no margin",
    "options": ["OK"],
    "type": "M",
    "messageId": "p12",
    "prompt": True,
}


@pytest.fixture
def desk(session: Session) -> OrderDesk:
    return OrderDesk(session, ACCOUNT, order_timeout_s=0.5)


def taken(**changes: Any) -> list[dict[str, Any]]:
    return [{"order_id": "987", "order_status": "Submitted", "encrypt_message": "1", **changes}]


def error(text: str, **more: Any) -> dict[str, Any]:
    return {"error": text, **more}


def test_the_order_that_leaves_says_everything(server: RawServer, desk: OrderDesk) -> None:
    server.replies[PLACE] = http(taken())
    assert desk.place(TICKET) == Acknowledged("987", "Submitted")
    assert server.requests[-1].json == {
        "orders": [
            {
                "acctId": ACCOUNT,
                "conid": 265598,
                "secType": "265598:STK",
                "cOID": TICKET.client_order_id,
                "orderType": "LMT",
                "side": "BUY",
                "tif": "OPG",
                "quantity": 3,
                "price": 189.37,
                "outsideRTH": False,
            }
        ]
    }
    assert b'"quantity": 3,' in server.requests[-1].body


def test_a_modification_is_the_whole_bare_ticket_without_its_id(server: RawServer, desk: OrderDesk) -> None:
    server.replies[MODIFY] = http(taken(order_id="987"))
    assert desk.modify("987", replace(TICKET, limit_price=Decimal("190.00"))) == Acknowledged("987", "Submitted")
    assert server.requests[-1].json == {
        "acctId": ACCOUNT, "conid": 265598, "secType": "265598:STK", "orderType": "LMT", "side": "BUY", "tif": "OPG",
        "quantity": 3, "price": 190, "outsideRTH": False,
    }  # fmt: skip


def test_a_modification_may_be_asked_about_and_is_never_repeated(server: RawServer, desk: OrderDesk) -> None:
    server.replies[MODIFY] = [http([QUESTION]), reset, http(error("Order is inactive"), status=400), http(status=503)]
    server.replies[REPLY] = http(taken())
    asked = desk.modify("987", TICKET)
    assert isinstance(asked, Question)
    assert desk.reply(asked.reply_id, is_confirmed=True) == Acknowledged("987", "Submitted")
    assert isinstance(desk.modify("987", TICKET), Ambiguous)
    assert desk.modify("987", TICKET) == Rejected("Order is inactive", 400)
    assert isinstance(desk.modify("987", TICKET), Ambiguous)
    assert server.count(MODIFY) == 4


def test_an_answer_about_another_order_proves_nothing_of_this_one(server: RawServer, desk: OrderDesk) -> None:
    server.replies[MODIFY] = http(taken(order_id="988"))
    assert isinstance(desk.modify("987", TICKET), Ambiguous)


@pytest.mark.parametrize("order_id", ["-1", "0", "", "9 87", "987/x", "987?", "abc"])
def test_a_modification_of_no_order_does_not_leave(server: RawServer, desk: OrderDesk, order_id: str) -> None:
    with pytest.raises(ValueError, match="broker_order_id"):
        desk.modify(order_id, TICKET)
    with pytest.raises(ValueError, match="account"):
        desk.modify("987", replace(TICKET, account="DU7654321"))
    assert server.requests == []


def test_accounts_are_read_before_the_first_order_and_only_then(server: RawServer, desk: OrderDesk) -> None:
    server.replies[PLACE] = http(taken())
    desk.place(TICKET)
    desk.place(TICKET)
    assert server.requests[0].path == "iserver/accounts"
    assert server.count("GET iserver/accounts") == 1


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("taken", http(taken()), Acknowledged("987", "Submitted")),
    ("taken, id a number", http(taken(order_id=987)), Acknowledged("987", "Submitted")),
    ("taken, charset", http(taken(), kind="application/json;charset=utf-8"), Acknowledged("987", "Submitted")),
    (
        "taken, ours",
        http(taken(local_order_id=TICKET.client_order_id, account=ACCOUNT)),
        Acknowledged("987", "Submitted"),
    ),
    ("question", http([QUESTION]), Question("abc-1", ("o163",), ("sure?",))),
    (
        "question with options",
        http([{**QUESTION, "messageOptions": ["Yes", "No"]}]),
        Question("abc-1", ("o163",), ("sure?",)),
    ),
    (
        "refused in 200",
        http(error("We cannot accept an order at the limit price")),
        Rejected("We cannot accept an order at the limit price", 200),
    ),
    ("refused in 400", http(error("Unknown order type"), status=400), Rejected("Unknown order type", 400)),
    (
        "order id -1",
        http([{"order_id": "-1", "order_status": "Failed", "text": "no funds"}]),
        Rejected("no funds", 200),
    ),
    ("order id -1, number", http([{"order_id": -1, "warning_message": "halted"}]), Rejected("halted", 200)),
    ("inactive", http(taken(order_status="Inactive")), Rejected("Inactive", 200)),
    ("advanced reject", http(ADVANCED), Rejected("no margin", 200)),
    ("duplicate in 200", http(error(AGAIN)), DuplicateRefused(AGAIN, 200)),
    ("duplicate in 400", http(error(AGAIN), status=400), DuplicateRefused(AGAIN, 400)),
]


@pytest.mark.parametrize(("reply", "expected"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_a_known_answer_is_told_apart(server: RawServer, desk: OrderDesk, reply: Any, expected: Any) -> None:
    server.replies[PLACE] = server.replies[REPLY] = reply
    assert desk.place(TICKET) == expected
    assert desk.reply("abc-1", is_confirmed=True) == expected
    assert server.count(PLACE) == server.count(REPLY) == 1
    assert server.requests[-1].json == {"confirmed": True}


PAGE = b"<!DOCTYPE html><html><body>Log in</body></html>"
DOUBTFUL: list[tuple[str, Any]] = [
    ("401", http(error("no session"), status=401)),
    ("403", http(error("forbidden"), status=403)),
    ("404", http(error("no such path"), status=404)),
    ("411", http(status=411)),
    ("500", http(error("we refuse"), status=500)),
    ("500 empty", http(status=500)),
    ("502 page", http(PAGE, status=502, kind="text/html")),
    ("503", http(error("Service Unavailable", statusCode=503), status=503)),
    ("503 in 200", http(error("Service Unavailable", statusCode=503))),
    ("504", http(status=504)),
    ("201", http(taken(), status=201)),
    ("302", http(status=302)),
    ("login page", http(PAGE, kind="text/html")),
    ("page as json", http(PAGE)),
    ("empty", http()),
    ("null", http(b"null")),
    ("empty list", http([])),
    ("empty object", http({})),
    ("two rows", http(taken() + taken(order_id="988"))),
    ("list of text", http(["987"])),
    ("no JSON", http(b'[{"order_id":"987"')),
    ("NaN", http(b'[{"order_id":"987","order_status":"Submitted","x":NaN}]')),
    ("twice a key", http(b'[{"order_id":"987","order_id":"988","order_status":"Submitted"}]')),
    ("latin-1", http(b'[{"order_id":"987","order_status":"Submitted","text":"caf\xe9"}]')),
    ("byte order mark", http(b"\xef\xbb\xbf" + b'[{"order_id":"987","order_status":"Submitted"}]')),
    ("as text", http(taken(), kind="text/plain")),
    ("no status", http([{"order_id": "987"}])),
    ("order id a word", http(taken(order_id="abc"))),
    ("order id 0", http(taken(order_id="0"))),
    ("order id -2", http(taken(order_id="-2"))),
    ("order id null", http(taken(order_id=None))),
    ("order id a fraction", http(taken(order_id=9.5))),
    ("order and error", http(taken(error="odd"))),
    ("another account", http(taken(account="DU7654321"))),
    ("another order of ours", http(taken(local_order_id="q1-other"))),
    ("question without words", http([{"id": "abc-1", "message": []}])),
    ("question without id", http([{"id": "", "message": ["sure?"]}])),
    ("error not a text", http({"error": None})),
    ("error in a list", http([error("x")])),
    ("session away", http(error("Bad Request: no bridge", statusCode=400), status=400)),
    ("session not begun", http(error("Init session first"), status=400)),
    ("accounts first", http(error("Please query /accounts first"), status=400)),
    ("reply gone", http(error("reply id not found: 'abc-1'"), status=400)),
    ("reply gone in 200", http(error("reply id not found: 'abc-1'"))),
    ("refusal list", http(taken(), status=400)),
    ("reset", reset),
    ("truncated", http(b'[{"order_id":"987"}]', length=500)),
    ("slow", drip(http(b"[", length=500))),
    ("silent", lambda connection: time.sleep(2)),
    ("giant", lambda connection: connection.sendall(http(b"x" * (9 * 1024 * 1024)))),
    ("gzip", http(b"x").replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)),
    ("garbage", b"SSH-2.0-OpenSSH\r\n\r\n"),
]


@pytest.mark.parametrize("reply", [case[1] for case in DOUBTFUL], ids=[case[0] for case in DOUBTFUL])
def test_an_answer_that_proves_nothing_is_ambiguous(server: RawServer, desk: OrderDesk, reply: Any) -> None:
    server.replies[PLACE] = reply
    judged = desk.place(TICKET)
    assert isinstance(judged, Ambiguous), judged
    assert judged.reason
    assert ACCOUNT not in judged.reason
    assert server.count(PLACE) == 1


@pytest.mark.parametrize("cut", [*range(0, 143, 11), 143])
def test_an_acknowledgement_cut_anywhere_is_ambiguous(server: RawServer, desk: OrderDesk, cut: int) -> None:
    whole = http(taken())
    assert cut < len(whole)

    def send_part(connection: socket.socket) -> None:
        connection.sendall(whole[:cut])
        connection.close()

    server.replies[PLACE] = send_part
    assert isinstance(desk.place(TICKET), Ambiguous)
    assert server.count(PLACE) == 1


def test_a_429_is_ambiguous_and_nothing_leaves_after_it(server: RawServer, desk: OrderDesk) -> None:
    server.replies[PLACE] = http(error("too many"), status=429)
    assert desk.place(TICKET) == Ambiguous("status 429", 429)
    assert isinstance(desk.place(TICKET), NotSent)
    assert isinstance(desk.cancel("987"), NotSent)
    assert server.count(PLACE) == 1
    assert server.count(CANCEL) == 0


def test_a_gateway_that_is_not_there_got_nothing(server: RawServer, desk: OrderDesk) -> None:
    server.replies[PLACE] = http(taken()).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    assert isinstance(desk.place(TICKET), Acknowledged)
    server.close()
    judged = desk.place(TICKET)
    assert isinstance(judged, NotSent)
    assert ACCOUNT not in judged.reason


def test_an_order_does_not_leave_before_the_accounts_could_be_read(server: RawServer, desk: OrderDesk) -> None:
    server.replies["GET iserver/accounts"] = http({"accounts": ["DU7654321"]})
    assert isinstance(desk.place(TICKET), NotSent)
    assert server.count(PLACE) == 0


def test_a_declined_question_is_a_refusal(server: RawServer, desk: OrderDesk) -> None:
    server.replies[REPLY] = http(error("Order not confirmed "))
    assert desk.reply("abc-1", is_confirmed=False) == Rejected("Order not confirmed", 200)
    assert server.requests[-1].json == {"confirmed": False}


CANCELS: list[tuple[str, Any, Any]] = [
    (
        "noted",
        http({"msg": "Request was submitted", "order_id": 987, "conid": 265598, "account": ACCOUNT}),
        CancelRequested(),
    ),
    (
        "noted, done at once",
        http({"msg": "Request was submitted", "order_id": 987, "conid": -1, "account": None}),
        CancelRequested(),
    ),
    ("unknown order", http(error("OrderID 987 doesn't exist")), Rejected("OrderID 987 doesn't exist", 200)),
    ("dead order", http(error("Order is inactive"), status=400), Rejected("Order is inactive", 400)),
]


@pytest.mark.parametrize(("reply", "expected"), [case[1:] for case in CANCELS], ids=[case[0] for case in CANCELS])
def test_a_known_answer_to_a_cancel_is_told_apart(
    server: RawServer, desk: OrderDesk, reply: Any, expected: Any
) -> None:
    server.replies[CANCEL] = reply
    assert desk.cancel("987") == expected
    assert server.count(CANCEL) == 1


@pytest.mark.parametrize(
    "reply",
    [
        http(status=503),
        http(error("no session"), status=401),
        http(),
        http([]),
        http({"msg": "maybe"}),
        reset,
        http({"msg": "Request was submitted", "order_id": 986}),
        http({"msg": "Request was submitted", "order_id": 987, "account": "DU7654321"}),
        http(PAGE, kind="text/html"),
        http(error("Bad Request: no bridge"), status=400),
    ],
    ids=["503", "401", "empty", "list", "other words", "reset", "other order", "other account", "page", "no bridge"],
)
def test_any_other_answer_to_a_cancel_is_ambiguous(server: RawServer, desk: OrderDesk, reply: Any) -> None:
    server.replies[CANCEL] = reply
    assert isinstance(desk.cancel("987"), Ambiguous)
    assert server.count(CANCEL) == 1


@pytest.mark.parametrize("order_id", ["-1", "0", "", "abc", "9 8", "1/../-1", "+5", "٣"])
def test_a_cancel_of_everything_or_of_nothing_does_not_leave(server: RawServer, desk: OrderDesk, order_id: str) -> None:
    with pytest.raises(ValueError, match="broker_order_id"):
        desk.cancel(order_id)
    assert not server.requests


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account": ""}, "account"),
        ({"account": "DU7654321"}, "account"),
        ({"client_order_id": ""}, "client_order_id"),
        ({"client_order_id": "x" * 65}, "client_order_id"),
        ({"quantity": Decimal(0)}, "quantity"),
        ({"quantity": Decimal(-1)}, "quantity"),
        ({"quantity": Decimal("NaN")}, "quantity"),
        ({"conid": 0}, "conid"),
        ({"limit_price": None}, "limit_price"),
        ({"limit_price": Decimal(0)}, "limit_price"),
        ({"limit_price": Decimal("Infinity")}, "limit_price"),
        ({"order_type": OrderType.MARKET}, "limit_price"),
        ({"limit_price": Decimal("0.1234567890123456789")}, "limit_price"),
    ],
)
def test_a_ticket_that_must_not_leave_does_not(
    server: RawServer, desk: OrderDesk, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        desk.place(replace(TICKET, **changes))
    assert not server.requests


def test_an_empty_reply_id_does_not_leave(server: RawServer, desk: OrderDesk) -> None:
    with pytest.raises(ValueError, match="reply_id"):
        desk.reply(" ", is_confirmed=True)
    assert not server.requests


@given(st.decimals(min_value="0.01", max_value="99999", places=2), st.integers(1, 10**6))
def test_prices_and_quantities_are_written_exactly(price: Decimal, quantity: int) -> None:
    body = parse.order_body(replace(TICKET, limit_price=price, quantity=Decimal(quantity)))
    assert Decimal(repr(body["price"])) == price
    assert body["quantity"] == quantity
    assert isinstance(body["quantity"], int)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(["987", "-1", "Submitted"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["order_id", "order_status", "id", "message", "messageIds", "error", "orderId", "text", "msg"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([200, 400, 401, 500, 503]))
def test_no_answer_whatever_raises_or_is_taken_for_an_order_without_an_id(value: Any, status: int) -> None:
    answer = Answer(status, "application/json", json.dumps(value).encode())
    judged = judge_placing(answer, ACCOUNT, "q1-a")
    judge_cancel(answer, ACCOUNT, "987")
    if isinstance(judged, Acknowledged):
        assert status == 200
        assert int(judged.broker_order_id) > 0
    if status >= 401:
        assert isinstance(judged, Ambiguous)
