"""The public client ibind's websocket client listens to the gateway, unpatched: quotes, orders, trades and balances."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ibind import IbkrClient, IbkrWsClient, events, subscriptions
from ibind.ws.ws_sinks import QueueSink

from ibkr_assets_tests.gateway import ACCOUNT, RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, connect

_BOUND_S = 10.0


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    """Half an hour before the open of 1 October 2012."""
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00") as running:
        yield running


class Listener:
    """A websocket client with everything it heard, by kind of event."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.rest = IbkrClient(
            account_id=ACCOUNT, url=gateway.api_url, cacert=False, max_retries=0, auto_register_shutdown=False
        )
        self.rest.receive_brokerage_accounts()
        self.rest.portfolio_accounts()
        self.sink = QueueSink()
        self.socket = IbkrWsClient(
            account_id=ACCOUNT, url=gateway.api_url.replace("http", "ws", 1) + "/ws", ibkr_client=self.rest,
            cacert=False, sink=self.sink, cycle_interval=0.02,
        )  # fmt: skip

    def subscribe(self, *wanted: Any) -> None:
        handles = [self.socket.subscribe(one) for one in wanted]
        assert self.socket.wait_all(handles, timeout_each=_BOUND_S) == []

    def hear(self, kind: type, is_it: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next event of a kind that fits."""
        deadline = time.monotonic() + _BOUND_S
        while time.monotonic() < deadline:
            event = self.sink.get(kind, block=True, timeout=0.2)
            if event is not None and is_it(event):
                return event
        raise AssertionError(f"no such {kind.__name__} within {_BOUND_S} s")


@pytest.fixture
def listener(gateway: RunningGateway) -> Iterator[Listener]:
    threads = set(threading.enumerate())
    listening = Listener(gateway)
    assert listening.socket.start()
    yield listening
    assert listening.socket.shutdown()
    listening.rest.close()
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= threads


def test_it_is_authenticated_and_hears_of_the_account(listener: Listener) -> None:
    assert listener.socket.is_authenticated()
    assert listener.hear(events.AccountUpdate).data["accounts"] == [ACCOUNT]
    assert "hb" in listener.hear(events.System, lambda event: "hb" in event.data).data
    assert listener.socket.tic()["alive"] is True


def test_an_order_s_life_comes_over_the_stream(gateway: RunningGateway, listener: Listener) -> None:
    listener.subscribe(
        subscriptions.MarketDataSubscription(conid=str(AAPL), fields=["31", "84", "86"]),
        subscriptions.OrdersSubscription(),
        subscriptions.TradesSubscription(),
        subscriptions.PnlSubscription(),
        subscriptions.AccountLedgerSubscription(account_id=ACCOUNT),
        subscriptions.AccountSummarySubscription(account_id=ACCOUNT),
    )
    assert listener.hear(events.MarketData).data["last_price"] == "C667.105"
    assert listener.hear(events.AccountSummary).data["NetLiquidation"]["monetaryValue"] == 100_000.0
    with connect(gateway) as api:
        order_id = int(api.place_through(cOID="stream-1", price=680.0, quantity=10))
    first = listener.hear(events.Orders, lambda event: event.data["args"]).data["args"][0]
    assert (first["orderId"], first["order_ref"], first["price"]) == (order_id, "stream-1", 680.0)
    gateway.set_clock("2012-10-01T13:31:00+00:00")
    changed = listener.hear(events.Orders, lambda event: event.data["args"][0].get("status") == "Filled")
    delta = changed.data["args"][0]
    assert (delta["orderId"], delta["filledQuantity"], "ticker" in delta) == (order_id, 10.0, False)
    (trade,) = listener.hear(events.Trades, lambda event: event.data["args"]).data["args"]
    assert (trade["order_ref"], trade["price"], trade["size"]) == ("stream-1", "671.50", 10.0)
    assert listener.hear(events.MarketData).data["last_price"] == "671.50"
    profits = listener.hear(events.Pnl, lambda event: event.data["args"][f"{ACCOUNT}.Core"]["mv"] > 0)
    # By hand: 10 x (671.50 - 667.105) since the close before; 1.00 of commission is gone from the value.
    row = profits.data["args"][f"{ACCOUNT}.Core"]
    assert (row["dpl"], row["nl"], row["mv"]) == (43.95, 99_999.0, 6_715.0)
    is_spent = lambda event: event.data.get("cashbalance") == 93_284.0  # noqa: E731
    assert listener.hear(events.AccountLedger, is_spent).account_id == ACCOUNT


def test_it_leaves_what_it_subscribed_to(gateway: RunningGateway, listener: Listener) -> None:
    quotes = subscriptions.MarketDataSubscription(conid=str(AAPL), fields=["31"])
    listener.subscribe(quotes)
    listener.hear(events.MarketData)
    assert listener.socket.unsubscribe(quotes).wait(_BOUND_S)
    gateway.step_clock(86_400)
    assert listener.sink.get(events.MarketData, block=True, timeout=0.5) is None


def test_a_lost_session_is_heard_of(gateway: RunningGateway, listener: Listener) -> None:
    listener.hear(events.AuthenticationStatus, lambda event: event.authenticated is True)
    gateway.set_session("lost")
    assert listener.hear(events.AuthenticationStatus, lambda event: event.authenticated is False)
    gateway.set_session("ok")
    assert listener.hear(events.AuthenticationStatus, lambda event: event.authenticated is True)
