"""Brackets, groups, order types, questions and refusals over the wire, on the real tape.

AAPL closed at 667.105 on 2012-09-28 and opens at 671.50 on 2012-10-01; no test lets the market open, so that all
can share one gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, IBM, Api, connect

DEFAULTS: dict[str, Any] = {
    "price_fraction": 0.03, "size_limit": 500, "value_limit_usd": 100_000, "tick_limit": None, "asked": [],
    "cancel_after_s": None, "stale_order_taken": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00", extra=("--opening-cash", "1000000")) as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    gateway.restart_session()
    gateway.admin("POST", "/admin/venue", DEFAULTS)
    with connect(gateway) as client:
        client.cancel(-1)
        client.post("/iserver/questions/suppress", {"messageIds": ["o354", "o10331"]})
        yield client
        client.cancel(-1)


def order(side: str = "BUY", kind: str = "LMT", price: float | None = 660.0, **fields: Any) -> dict[str, Any]:
    whole = {"conid": AAPL, "side": side, "orderType": kind, "price": price, "quantity": 10, "tif": "DAY", **fields}
    return {name: value for name, value in whole.items() if value is not None}


def place(api: Api, *orders: dict[str, Any]) -> httpx.Response:
    return api.post(f"/iserver/account/{api.account}/orders", {"orders": list(orders)})


def bracket(coid: str, **parent: Any) -> tuple[dict[str, Any], ...]:
    return (
        order(cOID=coid, **parent),
        order("SELL", "LMT", 680.0, tif="GTC", parentId=coid),
        order("SELL", "STP", 650.0, tif="GTC", parentId=coid),
    )


def live(api: Api, *ids: str) -> list[dict[str, Any]]:
    rows = {str(row["orderId"]): row for row in api.live_orders()}
    return [rows[order_id] for order_id in ids]


def asked(answer: httpx.Response) -> str:
    return str(answer.json()[0]["messageIds"][0])


def test_a_bracket_is_one_row_a_leg_and_children_are_known_by_their_parent(api: Api) -> None:
    parent, profit, stop = place(api, *bracket("p1")).json()
    assert (parent["local_order_id"], parent["order_status"]) == ("p1", "PreSubmitted")
    assert profit["parent_order_id"] == stop["parent_order_id"] == parent["order_id"]
    rows = live(api, *(leg["order_id"] for leg in (parent, profit, stop)))
    assert rows[0]["order_ref"] == "p1"
    assert "parentId" not in rows[0]
    for row in rows[1:]:
        # As recorded: the parent's number, the same as text, and no name of the client's.
        assert (row["parentId"], row["ocaGroupId"]) == (int(parent["order_id"]), parent["order_id"])
        assert "order_ref" not in row
    api.cancel(parent["order_id"])
    assert {row["status"] for row in live(api, *(leg["order_id"] for leg in (parent, profit, stop)))} == {"Cancelled"}


def test_a_leg_of_a_bracket_may_be_refused_while_the_others_work(api: Api) -> None:
    parent, profit, failed = place(
        api, *bracket("p2")[:2], order("SELL", "STP", 650.005, tif="GTC", parentId="p2")
    ).json()
    assert [parent["order_status"], profit["order_status"]] == ["PreSubmitted", "PreSubmitted"]
    assert (failed["order_id"], failed["order_status"]) == ("-1", "Failed")
    assert "minimum price variation" in failed["text"]
    assert failed["warning_message"] == failed["text"]


def test_without_its_parent_a_child_is_inactive(api: Api) -> None:
    api.post("/iserver/questions/suppress", {"messageIds": ["o354", "o10331", "o383", "o451", "o163"]})
    parent, profit, stop = place(api, *bracket("p3", quantity=100_000)).json()
    assert (parent["order_id"], "MUST EXCEED THE INITIAL MARGIN" in parent["text"]) == ("-1", True)
    assert {profit["order_status"], stop["order_status"]} == {"Inactive"}
    assert [row["status"] for row in live(api, profit["order_id"], stop["order_id"])] == ["Inactive", "Inactive"]
    refused = api.cancel(profit["order_id"])
    assert (refused.status_code, refused.json()["error"]) == (400, "Order is inactive")


def test_a_leg_is_changed_alone(api: Api) -> None:
    parent, profit, _ = place(api, *bracket("p4")).json()
    path = f"/iserver/account/{api.account}/order/{profit['order_id']}"
    changed = api.post(path, order("SELL", "LMT", 685.0, tif="GTC"))
    assert changed.json()[0]["order_id"] == profit["order_id"]
    (row,) = live(api, profit["order_id"])
    assert (row["price"], row["parentId"], row["status"]) == ("685.00", int(parent["order_id"]), "PreSubmitted")


def test_a_child_that_comes_later_joins_its_parent(api: Api) -> None:
    (parent,) = place(api, order(cOID="p5")).json()
    (child,) = place(api, order("SELL", price=680.0, parentId="p5")).json()
    assert child["parent_order_id"] == parent["order_id"]
    assert "parent order nobody is not found" in place(api, order("SELL", parentId="nobody")).json()["error"]


def test_a_group_of_orders_shares_a_number(api: Api) -> None:
    legs = place(api, order(isSingleGroup=True), order("BUY", "LMT", 650.0, isSingleGroup=True)).json()
    groups = {row["ocaGroupId"] for row in live(api, *(leg["order_id"] for leg in legs))}
    assert groups == {legs[0]["order_id"]}


def test_a_repeated_cOID_refuses_the_whole_bracket(api: Api) -> None:  # noqa: N802 - IBKR's word
    place(api, order(cOID="p6"))
    refused = place(api, *bracket("p6"))
    assert refused.status_code == 400
    assert refused.json()["error"].endswith("Local order ID=p6 is already registered.")


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ([order(), order()], "several orders must be a bracket"),
        ([order(cOID="x"), order("SELL", parentId="y")], "parentId is not the cOID of the parent"),
        ([order(price="660")], "orders request includes parameter with incorrect type: price"),
        ([order(outsideRTH="yes")], "orders request includes parameter with incorrect type: outsideRTH"),
        ([order(kind="PEGGED")], "Unknown order type"),
        ([order(side="HOLD")], "Invalid Side (must be 'BUY' or 'SELL')."),
    ],
)
def test_what_is_malformed_is_a_400(api: Api, orders: list[dict[str, Any]], said: str) -> None:
    refused = place(api, *orders)
    assert (refused.status_code, said in refused.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tif": "PAX"}, "PAX time in force is not supported for this order"),
        ({"tif": None}, "null time in force is not supported for this order"),
        ({"kind": "MOC", "tif": "GTC"}, "GTC time in force is not supported for this order"),
        ({"kind": "STP", "tif": "OPG"}, "OPG time in force is not supported for this order"),
        ({"kind": "STOP_LIMIT"}, "Invalid order price fields"),
        ({"kind": "TRAIL"}, "Invalid order price fields"),
        ({"kind": "TRAIL", "trailingAmt": 1.0, "trailingType": "pct"}, "Invalid order price fields"),
        ({"kind": "TRAILLMT", "trailingAmt": 1.0, "trailingType": "amt"}, "Invalid order price fields"),
        ({"kind": "LOC", "price": None}, "Invalid order price fields"),
        ({"conid": 38708077}, "No trading permissions."),
        ({"conid": 1}, "no sec defs returned forSecDef reqId=1"),
        ({"quantity": 1.5}, "Invalid order quantity: 1.5"),
        ({"cOID": "x" * 65}, "Local order ID is longer than 64 characters"),
    ],
)
def test_what_cannot_be_meant_is_a_200_with_an_error(api: Api, fields: dict[str, Any], said: str) -> None:
    refused = place(api, order(**fields))
    assert refused.status_code == 200
    assert said in refused.json()["error"]


_STOP_LIMIT = {"kind": "STOP_LIMIT", "side": "SELL", "price": 649.0, "auxPrice": 650.0}
_TRAIL = {"kind": "TRAIL", "side": "SELL", "price": None, "trailingAmt": 7.0, "trailingType": "amt"}
_TRAIL_LIMIT = {
    "kind": "TRAILLMT", "side": "SELL", "price": 659.0, "auxPrice": 660.0, "trailingAmt": 1.0, "trailingType": "%",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "orig", "shown", "price", "aux"),
    [
        ({"kind": "MKT", "price": None}, "MARKET", "Market", "", None),
        ({"kind": "STP", "side": "SELL", "price": 650.0}, "STOP", "Stop", "650.00", None),
        (_STOP_LIMIT, "STOP_LIMIT", "Stop Limit", "649.00", "650.00"),
        # Behind the close of 667.105: 667.105 - 7 is rounded down to the tick.
        (_TRAIL, "TRAILING_STOP", "Trailing Stop", "660.10", None),
        (_TRAIL_LIMIT, "TRAILING_STOP_LIMIT", "Trailing Stop Limit", "659.00", "660.00"),
        ({"kind": "MIDPRICE", "price": 668.0}, "MIDPRICE", "MidPrice", "668.00", None),
        ({"kind": "MOC", "price": None}, "MARKETONCLOSE", "Market On Close", "", None),
        ({"kind": "LOC", "price": 668.0}, "LIMITONCLOSE", "Limit On Close", "668.00", None),
    ],
)  # fmt: skip
def test_each_order_type_is_taken_and_shown(
    api: Api, fields: dict[str, Any], orig: str, shown: str, price: str, aux: str | None
) -> None:
    (taken,) = place(api, order(**fields)).json()
    assert taken["order_status"] == "PreSubmitted"
    (row,) = live(api, taken["order_id"])
    assert (row["origOrderType"], row["orderType"], row["price"], row.get("auxPrice")) == (orig, shown, price, aux)
    status = api.get(f"/iserver/account/order/status/{taken['order_id']}").json()
    assert (status["order_type"], status["tif"]) == (orig, "DAY")


def test_money_is_turned_into_whole_shares(api: Api) -> None:
    api.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
    question = place(api, order(quantity=None, cashQty=2_000.0))
    assert asked(question) == "o10164"
    (taken,) = api.reply(question).json()
    assert live(api, taken["order_id"])[0]["totalSize"] == 3.0  # 2,000 / 660


@pytest.mark.parametrize(
    ("fields", "message_id", "words"),
    [
        ({"price": 640.0}, "o163", "price exceeds the Percentage constraint of 3%"),
        ({"price": 660.0}, "o382", "exceeds the Tick Size Limit of 700"),
        ({"conid": IBM, "price": 205.0, "quantity": 501}, "o383", "size exceeds the Size Limit of"),
        ({"quantity": 200}, "o451", "exceeds the Total Value Limit of"),
        ({"kind": "STP", "price": 660.0}, "o403", "This order will most likely trigger and fill immediately."),
        ({"kind": "STP", "price": 680.0}, "o10331", "You are about to submit a stop order."),
        ({"kind": "MKT", "price": None}, "o10151", "A Market Order is an instruction to trade your order at any"),
        ({"kind": "STP", "price": 681.0}, "o10152", 'price once your trigger ("stop") price is reached'),
        ({"kind": "MKT", "price": None, "quantity": 9}, "o10153", "not consistent with a fair and orderly market"),
        ({}, "o354", "You are submitting an order without market data."),
    ],
)
def test_each_question_is_asked_in_ibkr_s_words_and_can_be_suppressed(
    gateway: RunningGateway, api: Api, fields: dict[str, Any], message_id: str, words: str
) -> None:
    tick_limit = 700 if message_id == "o382" else None
    on_demand = [message_id] if message_id in ("o10151", "o10152", "o10153") else []
    gateway.admin("POST", "/admin/venue", {"asked": on_demand, "tick_limit": tick_limit})
    all_others = {"o163", "o382", "o383", "o451", "o403", "o10331", "o354"} - {message_id}
    api.post("/iserver/questions/suppress", {"messageIds": sorted(all_others)})
    (question,) = place(api, order(**fields)).json()
    assert question["messageIds"] == [message_id]
    assert words in question["message"][0].replace("\n", "")
    assert question["message"][0].endswith("Are you sure you want to submit this order?")
    api.post("/iserver/questions/suppress", {"messageIds": sorted({*all_others, message_id})})
    assert "order_id" in place(api, order(**fields)).json()[0]


def test_a_bracket_is_one_round_of_questions(api: Api) -> None:
    api.post("/iserver/questions/suppress/reset")
    answer = place(api, *bracket("p7", price=640.0))
    seen = []
    while "message" in answer.json()[0]:
        seen.append(asked(answer))
        answer = api.reply(answer)
    assert seen == ["o163", "o354", "o10331"]
    assert len(answer.json()) == 3


def test_an_opposite_order_and_a_larger_size_are_asked_about(gateway: RunningGateway, api: Api) -> None:
    gateway.admin("POST", "/admin/venue", {"asked": ["o2137"]})
    (first,) = place(api, order(conid=IBM, price=205.0)).json()
    crossing = place(api, order("SELL", conid=IBM, price=209.0))
    assert asked(crossing) == "o2137"
    gateway.admin("POST", "/admin/venue", {"size_limit": 20})
    api.post("/iserver/questions/suppress", {"messageIds": ["o354", "o383", "o2137"]})
    path = f"/iserver/account/{api.account}/order/{first['order_id']}"
    changed = api.post(path, order(conid=IBM, price=205.0, quantity=40))
    assert asked(changed) == "o10138"
    assert api.reply(changed).json()[0]["order_id"] == first["order_id"]


def test_an_advanced_reject_is_answered_with_one_of_its_options(gateway: RunningGateway, api: Api) -> None:
    gateway.admin("POST", "/admin/venue", {"asked": ["p12"]})
    assert "minimum price variation" in place(api, order(price=660.005)).json()["error"]
    prompt = place(api, order()).json()
    assert (prompt["messageId"], prompt["type"], prompt["prompt"]) == ("p12", "M", True)
    assert [row["status"] for row in live(api, str(prompt["orderId"]))] == ["Inactive"]
    answer = {"orderId": prompt["orderId"], "reqId": prompt["reqId"], "text": "Always use"}
    assert api.post("/iserver/notification", answer | {"text": "Maybe"}).status_code == 400
    assert api.post("/iserver/notification", answer | {"reqId": "0"}).status_code == 400
    assert isinstance(api.post("/iserver/notification", answer).json(), str)
    assert [row["status"] for row in live(api, str(prompt["orderId"]))] == ["PreSubmitted"]
    assert api.post("/iserver/notification", answer).status_code == 400
    assert "order_id" in place(api, order()).json()[0]  # always: no prompt any more


@pytest.mark.parametrize("is_taken", [False, True])
def test_the_order_of_a_stale_question_may_go_live(gateway: RunningGateway, api: Api, is_taken: bool) -> None:
    api.post("/iserver/questions/suppress/reset")
    gateway.admin("POST", "/admin/venue", {"stale_order_taken": is_taken})
    coids = (f"a-{is_taken}", f"b-{is_taken}")
    first, second = (place(api, order(cOID=coid)) for coid in coids)
    assert api.reply(first).status_code == 503
    assert api.reply(second).json()[0]["local_order_id"] == coids[1]
    refs = [row.get("order_ref") for row in api.live_orders()]
    assert (coids[0] in refs, coids[1] in refs) == (is_taken, True)
    assert api.reply(first).status_code == (400 if is_taken else 503)


def test_a_preview_tells_cost_margin_and_what_would_be_asked(api: Api) -> None:
    path = f"/iserver/account/{api.account}/orders/whatif"
    seen = api.post(path, {"orders": [order(price=600.0, quantity=4, cOID="w")]}).json()
    assert seen["amount"] == {"amount": "2,400.00 USD (4 Shares)", "commission": "1.00 USD", "total": "2,401.00 USD"}
    assert (seen["initial"]["change"], seen["maintenance"]["change"]) == ("2,400", "2,400")
    assert seen["position"]["change"] == "4"
    assert seen["warn"].startswith("21/You are trying to submit an order without having market data")
    assert "exceeds \nthe Percentage constraint of 3%" in seen["warns"][1]
    assert (seen["errors"], seen["error"], seen["action"]) == ([], None, "BUY")
    api.post("/iserver/questions/suppress", {"messageIds": ["o163"]})
    for _ in range(2):
        api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31")
    assert api.post(path, {"orders": [order(price=600.0, quantity=4, cOID="w")]}).json()["warns"] == []
    refused = api.post(path, {"orders": [order(quantity=100_000)]}).json()
    assert "MUST EXCEED THE INITIAL MARGIN" in refused["error"]
    assert refused["errors"] == [refused["error"]]
    assert api.post(path, {"orders": list(bracket("w"))}).json()["amount"]["amount"].startswith("6,600.00")
    assert [row for row in api.live_orders() if row.get("order_ref") == "w"] == []


def test_rules_that_cannot_be_are_refused(gateway: RunningGateway) -> None:
    for body in (
        {"asked": ["o1"]},
        {"tick_limit": -1},
        {"cancel_after_s": -1},
        {"colour": 1},
        {"stale_order_taken": 1},
    ):
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            gateway.admin("POST", "/admin/venue", body)
    assert gateway.admin("GET", "/admin/venue").keys() == DEFAULTS.keys()
