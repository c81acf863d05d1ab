"""Positions, cash, orders and executions of one account, and what `inspect` shows of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ibkr_assets.adapters.ibkr.accounts import AccountReads, PositionCheck
from ibkr_assets.adapters.ibkr.client import IbkrBroker
from ibkr_assets.adapters.ibkr.inspect import inspect_broker
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.broker import BrokerOrder, BrokerOrderStatus, BrokerPosition, Presence
from ibkr_assets.domain.errors import BrokerRefusal, InputError, Unavailable, UnreadableAnswer
from ibkr_assets.domain.order import Side
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, READY, RawServer, http

ORDERS = "GET iserver/account/orders"
TRADES = "GET iserver/account/trades"
STATUS = "GET iserver/account/order/status/987"
NEW_POSITIONS = f"GET portfolio2/{ACCOUNT}/positions"
LEDGER = f"GET portfolio/{ACCOUNT}/ledger"


@pytest.fixture
def reads(session: Session) -> AccountReads:
    return AccountReads(session, ACCOUNT)


def order(**changes: Any) -> dict[str, Any]:
    return {
        "acct": ACCOUNT, "account": ACCOUNT, "conid": 265598, "conidex": "265598", "orderId": 987, "side": "BUY",
        "status": "Submitted", "totalSize": 10.0, "filledQuantity": 3.0, "remainingQuantity": 7.0, "price": "189.37",
        "order_ref": "q1-a", "timeInForce": "CLOSE", "orderDesc": "Buy 10 Limit 189.37, Day", **changes,
    }  # fmt: skip


def trade(**changes: Any) -> dict[str, Any]:
    return {
        "execution_id": "0000e0d5.6576fd38.01.01", "symbol": "AAPL", "side": "B", "size": 3.0, "price": "189.37",
        "commission": "1.0", "net_amount": 568.11, "conid": 265598, "conidEx": "265598@EDGEA", "order_id": 987,
        "order_ref": "q1-a", "account": ACCOUNT, "accountCode": ACCOUNT, "trade_time": "20261005-17:49:01",
        "trade_time_r": 1791222541000, **changes,
    }  # fmt: skip


def ledger(**changes: Any) -> dict[str, Any]:
    return {
        "cashbalance": 971869.6, "settledcash": 971800.1, "dividends": 2.65, "stockmarketvalue": 30613.4,
        "netliquidationvalue": 1005165.5, "currency": "USD", "timestamp": 1775169606, "key": "LedgerList", **changes,
    }  # fmt: skip


def test_orders_are_read_unfiltered_and_of_the_account_alone(server: RawServer, reads: AccountReads) -> None:
    server.replies[ORDERS] = http({"orders": [order(), order(acct="DU7654321", orderId=5)], "snapshot": True})
    read = reads.live_orders()
    assert read.is_snapshot
    assert read.orders == (
        BrokerOrder(
            "987", "q1-a", 265598, Side.BUY, BrokerOrderStatus.SUBMITTED, Decimal(10), Decimal(3),
            "Buy 10 Limit 189.37, Day", None, Decimal("189.37"),
        ),
    )  # fmt: skip
    assert server.requests[-1].query == {}
    assert server.requests[0].path == "iserver/accounts"


def test_a_list_is_read_until_it_means_something_but_not_for_ever(server: RawServer, reads: AccountReads) -> None:
    empty, whole = http({"orders": [], "snapshot": False}), http({"orders": [order()], "snapshot": True})
    server.replies[ORDERS] = [empty, empty, whole]
    read = reads.settled_orders()
    assert read.presence("q1-a") is Presence.YES
    assert read.presence("q1-b") is Presence.NO
    server.replies[ORDERS] = empty
    read = reads.settled_orders()
    assert read.presence("q1-a") is Presence.UNKNOWN
    assert server.count(ORDERS) == 6


def test_a_row_is_there_also_in_a_list_that_is_not_whole(server: RawServer, reads: AccountReads) -> None:
    server.replies[ORDERS] = http({"orders": [order()], "snapshot": False})
    read = reads.settled_orders()
    assert read.presence("q1-a") is Presence.YES
    assert read.presence("q1-b") is Presence.UNKNOWN


def test_executions_are_read_twice_where_none_came(server: RawServer, reads: AccountReads) -> None:
    server.replies[TRADES] = [http([]), http([trade()])]
    assert len(reads.settled_trades()) == 1
    server.replies[TRADES] = http([trade()])
    assert len(reads.settled_trades()) == 1
    assert server.count(TRADES) == 3


def test_an_order_placed_elsewhere_has_no_id_of_ours(server: RawServer, reads: AccountReads) -> None:
    foreign = order(totalSize=None, side="SELL", order_cancellation_by_system_reason="margin")
    del foreign["order_ref"]
    server.replies[ORDERS] = http({"orders": [foreign], "snapshot": False})
    (row,) = reads.live_orders().orders
    assert (row.client_order_id, row.quantity, row.side, row.text) == (None, 10, Side.SELL, "margin")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "Sleeping"}, "Sleeping"),
        ({"side": "HOLD"}, "HOLD"),
        ({"filledQuantity": "NaN"}, "filledQuantity"),
        ({"totalSize": None, "remainingQuantity": None}, "neither"),
        ({"acct": None, "account": None}, "no account"),
        ({"orderId": None}, "orderId"),
    ],
)
def test_an_order_that_money_could_not_follow_from_is_refused(
    server: RawServer, reads: AccountReads, changes: dict[str, Any], words: str
) -> None:
    server.replies[ORDERS] = http({"orders": [order(**changes)], "snapshot": True})
    with pytest.raises(UnreadableAnswer, match=words):
        reads.live_orders()


@pytest.mark.parametrize("answer", [{}, {"orders": []}, {"orders": [], "snapshot": "true"}, []])
def test_a_list_that_does_not_say_whether_it_is_whole_is_refused(
    server: RawServer, reads: AccountReads, answer: Any
) -> None:
    server.replies[ORDERS] = http(answer)
    with pytest.raises(UnreadableAnswer, match="orders"):
        reads.live_orders()


def test_one_order_s_status_has_other_names_for_the_same(server: RawServer, reads: AccountReads) -> None:
    status = {
        "order_id": 987, "conid": 265598, "side": "S", "order_status": "Filled", "size": "0.0", "total_size": "1,300.0",
        "cum_fill": "1,300.0", "account": ACCOUNT, "order_type": "LIMIT", "tif": "DAY",
    }  # fmt: skip
    server.replies[STATUS] = http(status)
    found = reads.order_status("987")
    assert found is not None
    assert (found.quantity, found.filled, found.side, found.client_order_id) == (1300, 1300, Side.SELL, None)
    server.replies[STATUS] = http({**status, "account": "DU7654321"})
    with pytest.raises(UnreadableAnswer, match="another account"):
        reads.order_status("987")


@pytest.mark.parametrize(
    "reply",
    [http(status=503), http(status=404), http({"error": "OrderID 987 doesn't exist"})],
    ids=["503", "404", "error in 200"],
)
def test_an_unknown_order_is_none_only_where_the_session_is_in_order(
    server: RawServer, reads: AccountReads, reply: bytes
) -> None:
    server.replies[STATUS] = reply
    assert reads.order_status("987") is None
    assert server.count(STATUS) == 1
    server.replies["POST iserver/auth/status"] = http({**READY, "authenticated": False})
    with pytest.raises(Unavailable):
        reads.order_status("987")


def test_executions_become_fills_in_order_of_time(server: RawServer, reads: AccountReads) -> None:
    earlier = trade(execution_id="e0", side="S", trade_time_r=1791222540999, price="1,189.5", commission="0.35")
    server.replies[TRADES] = http([trade(), earlier, trade(account="DU7654321", execution_id="x")])
    first, second = reads.trades()
    assert second == Fill(
        execution_id="0000e0d5.6576fd38.01.01",
        client_order_id="q1-a",
        broker_order_id="987",
        conid=265598,
        symbol="AAPL",
        side=Side.BUY,
        quantity=Decimal(3),
        price=Decimal("189.37"),
        commission=Decimal("1.0"),
        executed_at=datetime(2026, 10, 5, 17, 49, 1, tzinfo=UTC),
    )
    assert (first.side, first.price, first.commission) == (Side.SELL, Decimal("1189.5"), Decimal("0.35"))
    assert server.requests[-1].query == {"days": "7"}


@pytest.mark.parametrize("missing", ["commission", "price", "size", "execution_id", "trade_time_r", "conid"])
def test_an_execution_without_its_money_is_refused(server: RawServer, reads: AccountReads, missing: str) -> None:
    row = trade()
    del row[missing]
    server.replies[TRADES] = http([row])
    with pytest.raises(UnreadableAnswer, match=missing):
        reads.trades()


def test_an_empty_list_of_executions_is_one_read_as_it_came(server: RawServer, reads: AccountReads) -> None:
    server.replies[TRADES] = [http([]), http([trade()])]
    assert reads.trades() == ()
    assert len(reads.trades()) == 1


BAR = {"t": 951921000000, "o": 1.5, "h": 2, "l": 1, "c": 2, "v": 2.5}
POSITION = {
    "position": 3.0, "conid": "265598", "avgCost": 584.3133333333334, "avgPrice": 584.3133333333334, "currency": "USD",
    "description": "AAPL", "marketPrice": 584.68, "marketValue": 1754.04, "secType": "STK", "timestamp": 1775169611,
}  # fmt: skip
PAGED = {
    "acctId": ACCOUNT, "conid": 265598, "contractDesc": "AAPL", "position": -3.0, "mktPrice": 584.68, "currency": "USD",
    "avgCost": 584.31, "avgPrice": 584.31, "strike": 0.0, "multiplier": None,
}  # fmt: skip


def test_positions_come_from_the_newer_endpoint(server: RawServer, reads: AccountReads) -> None:
    server.replies[NEW_POSITIONS] = http([POSITION])
    expected = BrokerPosition(265598, "AAPL", Decimal(3), Decimal("584.3133333333334"), Decimal("584.68"), "USD")
    assert reads.positions() == (expected,)
    assert server.requests[0].path == "portfolio/accounts"


def test_positions_come_from_all_pages_of_the_older_endpoint_where_the_newer_is_missing(
    server: RawServer, reads: AccountReads
) -> None:
    for page, rows in enumerate(([PAGED], [{**PAGED, "conid": 8314, "ticker": "IBM"}], [])):
        server.replies[f"GET portfolio/{ACCOUNT}/positions/{page}"] = http(rows)
    found = reads.positions()
    assert [(p.symbol, p.quantity) for p in found] == [("AAPL", -3), ("IBM", -3)]


def test_both_endpoints_of_positions_are_held_against_each_other(server: RawServer, reads: AccountReads) -> None:
    server.replies[NEW_POSITIONS] = http([POSITION, {**POSITION, "conid": "756733", "description": "SPY"}])
    paged = [{**PAGED, "position": 2.0}, {**PAGED, "conid": 8314, "ticker": "IBM"}]
    server.replies[f"GET portfolio/{ACCOUNT}/positions/0"] = http(paged)
    server.replies[f"GET portfolio/{ACCOUNT}/positions/1"] = http([])
    assert reads.compare_positions() == (
        PositionCheck(8314, "IBM", None, Decimal(-3)),
        PositionCheck(265598, "AAPL", Decimal(3), Decimal(2)),
        PositionCheck(756733, "SPY", Decimal(3), None),
    )


def test_cash_of_one_currency_is_its_own_entry(server: RawServer, reads: AccountReads) -> None:
    server.replies[LEDGER] = http({"BASE": ledger(currency="BASE"), "USD": ledger()})
    found = reads.cash_ledger()
    assert (found.currency, found.cash, found.settled_cash) == ("USD", Decimal("971869.6"), Decimal("971800.1"))
    assert (found.accrued_dividends, found.net_liquidation) == (Decimal("2.65"), Decimal("1005165.5"))


def test_cash_of_several_currencies_is_the_total_in_the_base_currency(server: RawServer, reads: AccountReads) -> None:
    entries = {"EUR": ledger(currency="EUR"), "USD": ledger(), "BASE": ledger(currency="BASE", cashbalance="5")}
    server.replies[LEDGER] = http(entries)
    assert (reads.cash_ledger().currency, reads.cash_ledger().cash) == ("USD", 5)
    server.replies[LEDGER] = http({"EUR": ledger(), "USD": ledger()})
    with pytest.raises(UnreadableAnswer, match="no totals"):
        reads.cash_ledger()


def test_what_is_inspected_is_plain_json(server: RawServer, session: Session) -> None:
    broker = IbkrBroker(session, ACCOUNT, 1.0)
    source = IbkrMarketData(session, None, exchange_calendar("XNYS"))  # type: ignore[arg-type]
    server.replies |= {
        ORDERS: [http({"orders": [], "snapshot": False}), http({"orders": [order()], "snapshot": True})],
        TRADES: [http([]), http([trade()])],
        STATUS: http(status=503),
        NEW_POSITIONS: http([POSITION]),
        LEDGER: http({"USD": ledger()}),
        f"GET portfolio/{ACCOUNT}/summary": http(
            {
                "netliquidation": {"amount": 1005165.5, "currency": "USD", "isNull": False, "value": None},
                "accounttype": {"amount": 0.0, "currency": None, "isNull": False, "value": "INDIVIDUAL"},
            }
        ),
        "GET iserver/secdef/search": http(
            [{"conid": "265598", "symbol": "AAPL", "companyName": "APPLE INC", "description": "NASDAQ",
              "sections": [{"secType": "STK"}]}]
        ),
        "GET iserver/marketdata/history": http(
            {"symbol": "AAPL", "volumeFactor": 40, "data": [BAR]}
        ),
        "GET iserver/marketdata/snapshot": http(
            [{"conid": 265598, "_updated": 1775169600000, "31": "C189.37", "84": "1", "86": "2", "6509": "DPB"}]
        ),
    }  # fmt: skip
    cases: dict[str, dict[str, Any]] = {
        "status": {}, "accounts": {}, "summary": {}, "ledger": {}, "positions": {}, "orders": {}, "trades": {},
        "search": {"symbol": "AAPL"}, "history": {"conid": 265598, "period": "1m", "bar": "1d"},
        "snapshot": {"conid": 265598},
    }  # fmt: skip
    shown = {what: inspect_broker(source, broker, what, **arguments) for what, arguments in cases.items()}
    assert json.loads(json.dumps(shown)) == shown
    assert shown["status"]["is_ready"] is True
    assert shown["ledger"]["cash"] == "971869.6"
    assert shown["ledger"]["as_of"] == "2026-04-02T22:40:06+00:00"
    assert shown["summary"]["netliquidation"]["amount"] == "1005165.5"
    assert shown["summary"]["accounttype"]["value"] == "INDIVIDUAL"
    assert shown["orders"]["orders"][0]["status"] == "Submitted"
    assert shown["orders"]["is_snapshot"] is True
    assert shown["trades"][0]["side"] == "BUY"
    assert shown["search"][0] == {
        "conid": 265598, "symbol": "AAPL", "name": "APPLE INC", "exchange": "NASDAQ", "kinds": ["STK"],
    }  # fmt: skip
    assert shown["history"]["bars"][0]["opened_at"] == "2000-03-01T14:30:00+00:00"
    assert shown["history"]["bars"][0]["volume"] == "100.0"
    assert shown["snapshot"]["quote"]["last"] == "189.37"
    with pytest.raises(BrokerRefusal, match="987"):
        inspect_broker(source, broker, "order", order_id="987")
    with pytest.raises(InputError, match="one of"):
        inspect_broker(source, broker, "everything")
