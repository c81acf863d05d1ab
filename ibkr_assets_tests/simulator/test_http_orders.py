"""The whole round of an order over the wire: questions, answers, refusals, lists, fills."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, MSFT, Api, connect

NEW_YORK = ZoneInfo("America/New_York")
#: Every session of this module's tape looks the same; a session before the open knows the close of 667.10.
AAPL_BAR, MSFT_BAR = "671.50,676.50,656.00,667.10,20000000", "29.75,30.00,29.50,29.75,30000000"


@pytest.fixture(scope="module")
def sessions() -> list[date]:
    calendar = exchange_calendars.get_calendar("XNYS", start="2012-01-03", end="2012-12-31")
    return [day.date() for day in calendar.sessions]


@pytest.fixture(scope="module")
def gateway(sessions: list[date], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    tape = tmp_path_factory.mktemp("tape")
    for symbol, bar in (("AAPL", AAPL_BAR), ("MSFT", MSFT_BAR)):
        rows = "".join(f"{day},{bar}\n" for day in sessions)
        (tape / f"{symbol}.csv").write_text("opened_at,open,high,low,close,volume\n" + rows)
    with start_gateway(tape=tape, extra=("--opening-cash", "1000000")) as running:
        yield running


class Day:
    """A session of its own for one test, still before its open, and what the ledger says since."""

    def __init__(self, gateway: RunningGateway, day: date) -> None:
        self._gateway = gateway
        self.day = day
        gateway.set_clock(self._at(12))
        self._seen = len(gateway.ledger())

    def _at(self, hour: int) -> datetime:
        return datetime.combine(self.day, time(hour), NEW_YORK) - timedelta(hours=3)

    def open(self) -> None:
        """An instant in the session."""
        self._gateway.set_clock(self._at(14))

    def close(self) -> None:
        """An instant after it."""
        self._gateway.set_clock(self._at(20))

    def pass_days(self, count: int) -> None:
        self._gateway.set_clock(self._at(12) + timedelta(days=count))

    def events(self) -> list[str]:
        return [row["event"] for row in self._gateway.ledger()[self._seen :]]


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    gateway.restart_session()
    with connect(gateway) as client:
        client.cancel(-1)
        client.post("/iserver/questions/suppress", {"messageIds": ["o354"]})
        yield client


@pytest.fixture
def day(gateway: RunningGateway, sessions: list[date], api: Api) -> Day:
    today = gateway.now().date()
    return Day(gateway, next(session for session in sessions if session > today))


def test_an_order_before_the_open_rests_and_fills_at_the_open(day: Day, api: Api) -> None:
    before = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    (taken,) = api.place(cOID="q1-a").json()
    assert taken["order_status"] == "PreSubmitted"
    assert isinstance(taken["order_id"], str)
    (row,) = api.live_orders()
    assert (row["orderId"], row["order_ref"], row["timeInForce"]) == (int(taken["order_id"]), "q1-a", "OPG")
    day.open()
    (row,) = api.live_orders()
    assert (row["status"], row["filledQuantity"], row["avgPrice"]) == ("Filled", 10.0, "671.50")
    (trade,) = [trade for trade in api.trades() if trade["order_id"] == int(taken["order_id"])]
    # By hand: the tape opens at 671.50; 10 shares cost the minimum of 1.00.
    assert (trade["price"], trade["size"], trade["commission"], trade["side"]) == ("671.50", 10.0, "1.00", "B")
    assert (trade["order_ref"], trade["trade_time"][9:12]) == ("q1-a", "14:")
    cash = api.get(f"/portfolio/{api.account}/ledger").json()["USD"]
    assert cash["cashbalance"] == before["cashbalance"] - 6716.0
    status = api.get(f"/iserver/account/order/status/{taken['order_id']}").json()
    assert (status["order_status"], status["size"], status["cum_fill"], status["side"]) == (
        "Filled",
        "0.0",
        "10.0",
        "B",
    )
    assert "order_ref" not in status
    assert day.events() == ["accept", "fill"]


def test_a_day_order_shows_as_close_and_dies_unfilled_at_the_close(day: Day, api: Api) -> None:
    api.place(tif="DAY", price=650.0)
    day.open()
    (row,) = api.live_orders()
    assert (row["status"], row["timeInForce"], row["price"]) == ("Submitted", "CLOSE", "650.00")
    day.close()
    (row,) = api.live_orders()
    assert row["status"] == "Cancelled"
    assert "not filled by the close" in row["order_cancellation_by_system_reason"]
    day.pass_days(1)
    assert api.live_orders() == []


def test_questions_come_one_at_a_time_in_ibkr_s_words(day: Day, api: Api) -> None:
    api.post("/iserver/questions/suppress/reset")
    first = api.place(conid=MSFT, price=25.0, quantity=600, cOID="q1-a")
    (question,) = first.json()
    assert question["messageIds"] == ["o163"]
    assert "price exceeds the Percentage constraint of 3%" in question["message"][0].replace("\n", "")
    second = api.reply(first)
    assert second.json()[0]["messageIds"] == ["o383"]
    assert "size exceeds the Size Limit of 500" in second.json()[0]["message"][0]
    third = api.reply(second)
    assert third.json()[0]["messageIds"] == ["o354"]
    assert "submitting an order without market data" in third.json()[0]["message"][0]
    assert api.live_orders() == []
    assert api.reply(third).json()[0]["order_status"] == "PreSubmitted"
    assert day.events() == ["question", "reply", "question", "reply", "question", "reply", "accept"]


def test_a_snapshot_before_the_order_answers_the_market_data_question(day: Day, api: Api) -> None:
    api.post("/iserver/questions/suppress/reset")
    api.get("/iserver/marketdata/snapshot", conids=AAPL, fields="31")
    assert "order_id" in api.place().json()[0]


def test_the_value_question_names_the_estimate(day: Day, api: Api) -> None:
    (question,) = api.place(side="SELL", quantity=150).json()
    assert question["messageIds"] == ["o451"]
    assert "value estimate of 102,000.00 USD exceeds" in question["message"][0]


def test_suppressed_questions_are_not_asked_and_a_new_session_asks_again(
    gateway: RunningGateway, day: Day, api: Api
) -> None:
    assert api.post("/iserver/questions/suppress", {"messageIds": ["o163", "o354"]}).json() == {"status": "submitted"}
    assert "order_id" in api.place(price=600.0).json()[0]
    assert api.post("/iserver/questions/suppress", {"messageIds": []}).status_code == 500
    gateway.restart_session()
    api.get("/iserver/accounts")
    assert api.place(price=600.0).json()[0]["messageIds"] == ["o163"]


def test_a_declined_question_places_nothing(day: Day, api: Api) -> None:
    question = api.place(price=600.0, cOID="q1-a")
    assert api.reply(question, confirmed=False).json() == {"error": "Order not confirmed "}
    assert api.live_orders() == []
    assert day.events() == ["question", "reply"]
    assert "order_id" in api.place(cOID="q1-a").json()[0]


def test_another_submission_makes_the_question_stale(day: Day, api: Api) -> None:
    stale = api.place(price=600.0)
    api.place()
    assert api.reply(stale).status_code == 503
    unknown = api.post("/iserver/reply/0000", {"confirmed": True})
    assert (unknown.status_code, unknown.json()["error"]) == (400, "reply id not found: '0000'")
    assert len(api.live_orders()) == 1


def test_confirmed_must_be_a_boolean(day: Day, api: Api) -> None:
    question = api.place(price=600.0)
    assert api.post(f"/iserver/reply/{question.json()[0]['id']}", {"confirmed": "true"}).status_code == 400


def test_a_repeated_coid_is_refused_in_ibkr_s_words(gateway: RunningGateway, day: Day, api: Api) -> None:
    api.place(cOID="q1-a")
    refused = api.place(cOID="q1-a")
    assert refused.status_code == 400
    assert refused.json()["error"] == "Order couldn't be submitted: Local order ID=q1-a is already registered."
    gateway.restart_session()
    api.get("/iserver/accounts")
    assert api.place(cOID="q1-a").status_code == 400
    assert day.events() == ["accept", "dup_refused", "dup_refused"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"price": "680"}, 400, "orders request includes parameter with incorrect type"),
        ({"side": "HOLD"}, 400, "Invalid Side (must be 'BUY' or 'SELL')."),
        ({"orderType": "MAGIC"}, 400, "Unknown order type"),
        ({"conid": None}, 400, "conid or conidex is required"),
        ({"acctId": "U9"}, 400, "accountId is not valid: U9"),
        ({"conid": 1}, 200, "no sec defs returned forSecDef"),
        ({"price": None}, 200, "Invalid order price fields"),
        ({"tif": None}, 200, "null time in force is not supported"),
        ({"price": 680.005}, 200, "minimum price variation"),
        ({"quantity": 1.5}, 200, "Invalid order quantity"),
        ({"quantity": 2000}, 200, "MUST EXCEED THE INITIAL MARGIN"),
    ],
)
def test_what_cannot_be_taken_is_refused(day: Day, api: Api, fields: dict[str, Any], status: int, said: str) -> None:
    refused = api.place(**fields)
    assert refused.status_code == status
    assert said in refused.json()["error"]
    assert api.live_orders() == []


def test_a_body_that_is_not_json_is_a_400(day: Day, api: Api) -> None:
    assert api.http.post(f"/iserver/account/{api.account}/orders", content=b"{").status_code == 400
    assert api.post(f"/iserver/account/{api.account}/orders", {"orders": []}).status_code == 400
    assert api.post("/iserver/account/U9/orders", {"orders": []}).json()["error"] == "accountId is not valid: U9"


def test_a_cancel_is_noted_and_a_dead_order_is_inactive(day: Day, api: Api) -> None:
    resting = api.place_through()
    assert api.cancel(resting).json() == {
        "msg": "Request was submitted",
        "order_id": int(resting),
        "conid": -1,
        "account": None,
    }
    day.open()
    working = api.place_through(tif="DAY", price=655.0)
    assert api.cancel(working).json()["conid"] == AAPL
    assert (api.cancel(working).status_code, api.cancel(working).json()["error"]) == (400, "Order is inactive")
    assert api.cancel(1).json()["error"] == "OrderID 1 doesn't exist"
    assert day.events() == ["accept", "cancel", "accept", "cancel"]


def test_minus_one_cancels_every_order(day: Day, api: Api) -> None:
    api.place()
    api.place(conid=MSFT, price=29.0)
    api.cancel(-1)
    assert {row["status"] for row in api.live_orders()} == {"Cancelled"}


def test_modify_takes_the_whole_ticket_and_keeps_the_coid(day: Day, api: Api) -> None:
    order_id = api.place_through(cOID="q1-a", price=660.0)
    ticket = {"conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 675.0, "quantity": 12, "tif": "OPG"}
    path = f"/iserver/account/{api.account}/order/{order_id}"
    assert api.post(path, ticket).json()[0]["order_id"] == order_id
    (row,) = api.live_orders()
    assert (row["price"], row["totalSize"], row["order_ref"]) == ("675.00", 12.0, "q1-a")
    assert "error" in api.post(path, ticket | {"side": "SELL"}).json()
    day.open()
    assert api.live_orders()[0]["filledQuantity"] == 12.0
    assert api.post(path, ticket).json() == {"error": "Order is inactive"}
    assert "doesn't exist" in api.post(f"/iserver/account/{api.account}/order/5", ticket).json()["error"]


def test_preview_places_nothing(day: Day, api: Api) -> None:
    answer = api.post(
        f"/iserver/account/{api.account}/orders/whatif",
        {"orders": [{"conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 650.0, "quantity": 2, "tif": "DAY"}]},
    ).json()
    assert answer["amount"] == {
        "amount": "1,300.00 USD (2 Shares)",
        "commission": "1.00 USD",
        "total": "1,301.00 USD",
    }
    assert answer["warn"].startswith("21/")
    assert api.live_orders() == []


def test_first_reads_of_a_session_prove_nothing(day: Day, api: Api) -> None:
    api.place()
    day.open()
    assert api.get("/iserver/account/orders").json() == {"orders": [], "snapshot": False}
    assert len(api.live_orders()) == 1
    assert api.get("/iserver/account/orders", force="true").json() == {"orders": [], "snapshot": False}
    assert len(api.live_orders()) == 1
    assert api.get("/iserver/account/trades/", accountId=api.account, days=1).json() == []
    assert len(api.get("/iserver/account/trades/", accountId=api.account, days=1).json()) == 1


def test_filters_narrow_and_other_spellings_are_an_empty_500(day: Day, api: Api) -> None:
    api.place()
    api.live_orders()
    assert api.get("/iserver/account/orders", filters="filled").json()["orders"] == []
    assert len(api.get("/iserver/account/orders", filters="pre_submitted,filled").json()["orders"]) == 1
    refused = api.get("/iserver/account/orders", filters="PreSubmitted")
    assert (refused.status_code, refused.content) == (500, b"")


def test_an_unknown_order_is_a_503(day: Day, api: Api) -> None:
    assert api.get("/iserver/account/order/status/1").status_code == 503


def test_trades_of_a_week_are_listed(day: Day, api: Api) -> None:
    api.place(cOID="q1-a")
    day.pass_days(6)
    assert [trade["order_ref"] for trade in api.trades()] == ["q1-a"]
    assert api.get("/iserver/account/trades", days=2).json() == []
    assert api.get("/iserver/account/trades", days=8).status_code == 400
    day.pass_days(7)
    assert api.trades() == []
