"""The public client ibind drives the gateway, unpatched, as it drives IBKR's.

What it expects of each answer is ibind's own; the figures are those of the tape's source, read there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from ibind import IbkrClient, QuestionType, StockQuery
from ibind.client.ibkr_utils import OrderRequest
from ibind.support.errors import ExternalBrokerError

from ibkr_assets_tests.gateway import ACCOUNT, RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, IBM, MSFT

START = "2012-10-01T15:00:00+00:00"  # Monday, an hour and a half after the open
AAPL_OPEN = 671.5
YES = {
    QuestionType.PRICE_PERCENTAGE_CONSTRAINT: True,
    QuestionType.ORDER_VALUE_LIMIT: True,
    QuestionType.ORDER_SIZE_LIMIT: True,
    QuestionType.MISSING_MARKET_DATA: True,
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    """One gateway for the module, well funded, an hour and a half into a session."""
    threads = set(threading.enumerate())
    with start_gateway(clock_start=START, extra=("--opening-cash", "1000000")) as running:
        yield running
    left = [t.name for t in threading.enumerate() if t not in threads and not t.name.startswith("asyncio")]
    assert left == [], f"threads that did not end: {left}"


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[IbkrClient]:
    """A client of a fresh brokerage session. It may not send anything twice."""
    gateway.restart_session()
    connected = _connect(gateway)
    connected.receive_brokerage_accounts()
    connected.portfolio_accounts()
    yield connected
    connected.close()


def _connect(gateway: RunningGateway) -> IbkrClient:
    return IbkrClient(
        account_id=ACCOUNT, url=gateway.api_url, cacert=False, max_retries=0, auto_register_shutdown=False
    )


def order(side: str = "BUY", quantity: float = 10, price: float | None = AAPL_OPEN, **more: object) -> OrderRequest:
    kind = "MKT" if price is None else "LMT"
    fields = {"conid": AAPL, "order_type": kind, "acct_id": ACCOUNT, "tif": "DAY", **more}
    return OrderRequest(side=side, quantity=quantity, price=price, **fields)


def settled_orders(client: IbkrClient) -> list[dict]:
    """The live orders, asked again until the gateway says that they are all."""
    for _ in range(4):
        answer = client.live_orders().data
        if answer["snapshot"]:
            return list(answer["orders"])
    raise AssertionError("the order list was never a snapshot")


# ---- sessions


def test_health_follows_the_two_sessions(gateway: RunningGateway, client: IbkrClient) -> None:
    assert client.check_health() is True
    assert client.check_auth_status() is True
    assert client.validate().data["RESULT"] is True
    gateway.set_session("lost")
    assert client.check_health() is False
    with pytest.raises(ExternalBrokerError, match="no bridge"):
        client.receive_brokerage_accounts()
    assert client.initialize_brokerage_session(compete=False).data["authenticated"] is True
    assert client.check_auth_status() is True
    gateway.set_session("competing")
    assert client.check_health() is False
    gateway.set_session("logged_out")
    assert client.check_health() is False
    with pytest.raises(ExternalBrokerError) as refused:
        client.portfolio_summary()
    assert refused.value.status_code == 401
    gateway.set_session("ok")
    assert client.handle_auth_status() is True
    assert client.reauthenticate().data == {"message": "triggered"}


def test_its_keep_alive_thread_tickles_and_ends(gateway: RunningGateway, client: IbkrClient) -> None:
    before = sum(row["route"] == "tickle" for row in gateway.wirelog())
    client.start_tickler(interval=0.05)
    _wait_for(lambda: sum(row["route"] == "tickle" for row in gateway.wirelog()) >= before + 2)
    client.stop_tickler(5)


def test_accounts(client: IbkrClient) -> None:
    accounts = client.receive_brokerage_accounts().data
    assert (accounts["accounts"], accounts["selectedAccount"], accounts["isPaper"]) == ([ACCOUNT], ACCOUNT, True)
    assert client.portfolio_accounts().data[0]["accountId"] == ACCOUNT
    assert client.portfolio_account_information().data["currency"] == "USD"
    assert client.switch_account(ACCOUNT).data == {"success": "Account already set"}
    with pytest.raises(ExternalBrokerError, match="accountId is not valid: U9"):
        client.portfolio_summary("U9")


# ---- contracts


def test_a_symbol_is_one_us_contract(client: IbkrClient) -> None:
    found = client.stock_conid_by_symbol(["AAPL", "MSFT", "IBM"]).data
    assert found == {"AAPL": AAPL, "MSFT": MSFT, "IBM": IBM}
    by_query = StockQuery("AAPL", name_match="APPLE INC-CDR", contract_conditions={"exchange": "AEQLIT"})
    assert client.stock_conid_by_symbol(by_query, default_filtering=False).data == {"AAPL": 532640894}
    everything = client.security_stocks_by_symbol("AAPL", default_filtering=False).data["AAPL"]
    assert [len(company["contracts"]) for company in everything] == [3, 1, 1]
    assert client.stock_conid_by_symbol("NOSUCH").data == {}


def test_a_contract_has_a_definition_information_and_rules(client: IbkrClient) -> None:
    (listing, *_) = client.search_contract_by_symbol("IBM").data
    assert (listing["conid"], listing["description"]) == (str(IBM), "NYSE")
    (definition,) = client.security_definition_by_conid(str(IBM)).data["secdef"]
    assert (definition["ticker"], definition["incrementRules"][0]["increment"]) == ("IBM", 0.01)
    assert client.contract_information_by_conid(str(IBM)).data["company_name"] == "INTL BUSINESS MACHINES CORP"
    both = client.info_and_rules_by_conid(str(IBM), is_buy=True).data
    assert (both["con_id"], both["rules"]["increment"]) == (IBM, 0.01)
    assert client.search_contract_rules(str(IBM), is_buy=False).data["canTradeAcctIds"] == [ACCOUNT]
    (venue,) = client.trading_schedule_by_symbol("STK", "IBM").data
    assert venue["timezone"] == "America/New_York"
    assert client.security_future_by_symbol("ES").data == {"ES": []}
    assert client.search_strikes_by_conid(str(IBM), "OPT", "DEC12").data == {"call": [], "put": []}
    assert [row["ticker"] for row in client.all_conids_by_exchange("NYSE").data] == ["IBM"]


# ---- market data


def test_history_of_one_symbol(client: IbkrClient) -> None:
    end = datetime(2012, 9, 29, tzinfo=UTC)
    chart = client.marketdata_history_by_symbol("AAPL", bar="1d", period="3d", start_time=end).data
    assert (chart["symbol"], chart["points"], chart["barLength"]) == ("AAPL", 2, 86400)
    bars = [(bar["o"], bar["h"], bar["l"], bar["c"], bar["v"] * chart["volumeFactor"]) for bar in chart["data"]]
    assert bars == [
        (668.74, 672.69, 661.2, 665.18, 20_589_400),
        (664.29, 682.17, 660.35, 681.32, 21_217_500),
        (678.75, 681.11, 666.75, 667.105, 19_111_100),
    ]
    assert chart["data"][0]["t"] == datetime(2012, 9, 26, 13, 30, tzinfo=UTC).timestamp() * 1000


def test_history_of_several_symbols_at_a_time(client: IbkrClient) -> None:
    symbols = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    end = datetime(2012, 9, 29, tzinfo=UTC)
    charts = client.marketdata_history_by_symbols(
        symbols, period="1d", bar="1d", outside_rth=False, start_time=end, raise_on_error=True
    )
    closes = {symbol: bars[-1]["close"] for symbol, bars in charts.items()}
    assert closes == {"AAPL": 667.105, "FB": 21.66, "GOOG": 754.5, "IBM": 207.45, "MSFT": 29.76}
    assert {bars[-1]["date"] for bars in charts.values()} == {datetime(2012, 9, 28, 13, 30, tzinfo=UTC)}


def test_a_snapshot_by_symbol(client: IbkrClient) -> None:
    fields = ["55", "31", "84", "86", "7295", "6509"]
    client.live_marketdata_snapshot_by_symbol(["AAPL", "IBM"], fields)
    rows = client.live_marketdata_snapshot_by_symbol(["AAPL", "IBM"], fields)
    assert (rows["AAPL"]["last_price"], rows["AAPL"]["conid"]) == ("671.50", AAPL)
    assert (rows["AAPL"]["bid_price"], rows["AAPL"]["ask_price"]) == ("671.49", "671.51")
    assert (rows["IBM"]["symbol"], rows["IBM"]["open"]) == ("IBM", "208.01")
    results = client.marketdata_unsubscribe([str(AAPL)])
    assert results[str(AAPL)].data == {"success": True}
    with pytest.raises(ExternalBrokerError, match="unknown"):
        client.marketdata_unsubscribe([str(AAPL)])
    assert client.marketdata_unsubscribe_all().data == {"unsubscribed": True}


# ---- orders


def test_an_order_with_questions_is_placed_read_changed_and_cancelled(client: IbkrClient) -> None:
    placed = client.place_order(order(price=500.0, tif="GTC", coid="ibind-1"), YES).data
    assert placed["order_status"] in ("Submitted", "PreSubmitted")
    order_id = placed["order_id"]
    (row,) = [row for row in settled_orders(client) if row["orderId"] == int(order_id)]
    assert (row["order_ref"], row["price"], row["timeInForce"], row["side"]) == ("ibind-1", "500.00", "GTC", "BUY")
    status = client.order_status(order_id).data
    assert (status["limit_price"], status["total_size"], status["side"]) == ("500.00", "10.0", "B")
    changed = client.modify_order(order_id, order(price=510.0, quantity=12, tif="GTC"), YES).data
    assert changed["order_id"] == order_id
    status = client.order_status(order_id).data
    assert (status["limit_price"], status["total_size"]) == ("510.00", "12.0")
    cancelled = client.cancel_order(order_id).data
    assert (cancelled["msg"], cancelled["order_id"]) == ("Request was submitted", int(order_id))
    assert client.order_status(order_id).data["order_status"] in ("Cancelled", "PendingCancel")


def test_a_question_without_a_good_answer_places_nothing(gateway: RunningGateway, client: IbkrClient) -> None:
    before = len(gateway.ledger("accept"))
    with pytest.raises(ValueError, match="No answer found"):
        client.place_order(order(price=300.0, coid="ibind-2"), {QuestionType.MISSING_MARKET_DATA: True})
    with pytest.raises(RuntimeError, match="not given a positive reply"):
        client.place_order(order(price=300.0, coid="ibind-3"), {QuestionType.PRICE_PERCENTAGE_CONSTRAINT: False})
    assert len(gateway.ledger("accept")) == before


def test_a_suppressed_question_is_not_asked(client: IbkrClient) -> None:
    assert client.suppress_messages(["o163", "o354"]).data == {"status": "submitted"}
    placed = client.place_order(order(price=500.0, coid="ibind-4"), {}).data
    client.cancel_order(placed["order_id"])
    assert client.reset_suppressed_messages().data == {"status": "submitted"}
    with pytest.raises(ValueError, match="Percentage constraint"):
        client.place_order(order(price=500.0, coid="ibind-5"), {})


def test_a_refusal_and_a_repeat_are_errors(client: IbkrClient) -> None:
    with pytest.raises(ExternalBrokerError, match="AVAILABLE FUNDS"):
        client.place_order(order(quantity=100_000), YES)
    placed = client.place_order(order(price=500.0, coid="ibind-6"), YES).data
    with pytest.raises(ExternalBrokerError, match="already registered"):
        client.place_order(order(price=500.0, coid="ibind-6"), YES)
    client.cancel_order(placed["order_id"])


def test_a_preview_places_nothing(gateway: RunningGateway, client: IbkrClient) -> None:
    before = len(gateway.ledger("accept"))
    preview = client.whatif_order(order()).data
    assert preview["amount"]["amount"].startswith("6,715")
    assert preview["error"] is None
    assert len(gateway.ledger("accept")) == before


def test_a_bought_share_is_in_every_list(gateway: RunningGateway, client: IbkrClient) -> None:
    placed = client.place_order(order(price=None, coid="ibind-7"), YES | {QuestionType.MARKET_ORDER_CONFIRMATION: True})
    order_id = placed.data["order_id"]
    if not gateway.ledger("fill"):
        gateway.fill(order_id=int(order_id), price=AAPL_OPEN)
    price = gateway.ledger("fill")[-1]["price"]
    status = client.order_status(order_id).data
    assert (status["order_status"], status["cum_fill"]) == ("Filled", "10.0")
    client.trades()
    (trade,) = [row for row in client.trades(days=1, account_id=ACCOUNT).data if row["order_ref"] == "ibind-7"]
    assert (trade["conid"], trade["size"], trade["price"]) == (AAPL, 10.0, f"{price:.2f}")
    assert (trade["side"], trade["order_id"]) == ("B", int(order_id))
    sparse = client.positions().data
    (row,) = client.positions().data
    assert "ticker" not in sparse[0]
    assert (row["conid"], row["ticker"], row["position"], row["avgCost"]) == (AAPL, "AAPL", 10.0, price)
    (newer,) = client.positions2().data
    assert (newer["conid"], newer["position"], newer["description"]) == (str(AAPL), 10.0, "AAPL")
    assert client.positions_by_conid(ACCOUNT, str(AAPL)).data == [row]
    assert client.position_and_contract_info(str(AAPL)).data == {ACCOUNT: [row]}
    assert client.invalidate_backend_portfolio_cache().data == {"message": "success"}


def test_money_agrees_whatever_is_asked(gateway: RunningGateway, client: IbkrClient) -> None:
    ledger = client.get_ledger().data
    summary = client.portfolio_summary().data
    worth = ledger["BASE"]["netliquidationvalue"]
    assert worth == ledger["USD"]["netliquidationvalue"] == summary["netliquidation"]["amount"]
    assert client.account_summary().data["netLiquidationValue"] == worth
    allocation = client.portfolio_account_allocation().data["assetClass"]["long"]
    assert sum(allocation.values()) == pytest.approx(worth)
    bought = sum(row["qty"] * row["price"] for row in gateway.ledger("fill"))
    assert worth == pytest.approx(1_000_000, abs=bought * 0.05 + 100)
    assert client.account_profit_and_loss().data == {"upnl": {}}
    assert client.account_profit_and_loss().data["upnl"][f"{ACCOUNT}.Core"]["nl"] == worth
    (nav,) = client.account_performance(ACCOUNT, "7D").data["nav"]["data"]
    assert (nav["startNAV"]["val"], nav["navs"][-1]) == (1_000_000, worth)


def _wait_for(is_so: Callable[[], bool]) -> None:
    moment = threading.Event()
    for _ in range(200):
        if is_so():
            return
        moment.wait(0.05)
    raise AssertionError("it was not so within ten seconds")
