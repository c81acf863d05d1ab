"""The client against a simulated gateway in a process of its own, which shares no code with it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.adapters.ibkr import pacing_state
from ibkr_assets.adapters.ibkr.client import IbkrBroker, broker, market_data, stream
from ibkr_assets.adapters.ibkr.history import fetch_page
from ibkr_assets.adapters.ibkr.inspect import inspect_broker
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.ibkr.stream import GatewayStream
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.broker import (
    Acknowledged,
    Ambiguous,
    BrokerOrderStatus,
    CancelRequested,
    DuplicateRefused,
    OrderTicket,
    Presence,
    Question,
    Rejected,
    StreamNews,
)
from ibkr_assets.domain.errors import ConfigurationError, InputError, LoginRequired
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import OrderType, Side, TimeInForce
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.gateway import RunningGateway, start_gateway

PACE = 1000.0
XNYS = exchange_calendar("XNYS")


@pytest.fixture(autouse=True, scope="module")
def _own_limits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing_state.tempfile, "tempdir", str(tmp_path_factory.mktemp("pacing")))
        yield


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00", pace=PACE) as running:
        yield running


def data_side(gateway: RunningGateway, pace: float = PACE) -> IbkrMarketData:
    return market_data(
        gateway.api_url, ca=None, clock=MarketClock(gateway.clock_url), calendar=XNYS, connect_timeout_s=2,
        read_timeout_s=10, pace=pace,
    )  # fmt: skip


def order_side(gateway: RunningGateway, account: str | None = None) -> IbkrBroker:
    return broker(
        gateway.api_url, ca=None, account=account or gateway.account, connect_timeout_s=2, read_timeout_s=10,
        order_timeout_s=2, pace=PACE,
    )  # fmt: skip


@pytest.fixture
def source(gateway: RunningGateway) -> Iterator[IbkrMarketData]:
    side = data_side(gateway)
    yield side
    side.close()


@pytest.fixture
def desk(gateway: RunningGateway) -> Iterator[IbkrBroker]:
    side = order_side(gateway)
    side.open_session()
    side.quotes([Instrument(265598, "AAPL", "NASDAQ")])  # an order without market data is asked about
    yield side
    side.close()


def ticket(gateway: RunningGateway, name: str, limit: str, **changes: Any) -> OrderTicket:
    made = OrderTicket(
        gateway.account, f"q1-{name}", 265598, "AAPL", Side.BUY, OrderType.LIMIT, Decimal(5), Decimal(limit),
        TimeInForce.OPENING,
    )  # fmt: skip
    return replace(made, **changes)


def accepted(gateway: RunningGateway, client_order_id: str) -> int:
    return sum(row["coid"] == client_order_id for row in gateway.ledger("accept"))


def test_symbols_are_resolved_and_an_unknown_one_is_named(source: IbkrMarketData) -> None:
    found = {s: source.resolve(s) for s in ("AAPL", "FB", "GOOG", "IBM", "MSFT")}
    assert [found[s].conid for s in ("AAPL", "FB", "IBM", "MSFT")] == [265598, 107113386, 8314, 272093]
    assert {(i.currency, i.tick, i.lot) for i in found.values()} == {("USD", Decimal("0.01"), Decimal(1))}
    with pytest.raises(InputError, match="NOPE"):
        source.resolve("NOPE")


def test_bars_are_those_of_the_tape_to_the_last_digit(source: IbkrMarketData, gateway: RunningGateway) -> None:
    from bokeh_sampledata.stocks import data as tape

    frame = source.fetch_bars(source.resolve("AAPL"), BarSize.DAY, datetime(2000, 1, 1, tzinfo=UTC), gateway.now())
    over = XNYS.last_closed(gateway.now()).day
    true = tape[(tape["ticker"] == "AAPL") & (tape["date"].astype("datetime64[ns]").dt.date <= over)]
    assert list(frame["opened_at"].dt.date) == list(true["date"].astype("datetime64[ns]").dt.date)
    for column in ("open", "high", "low", "close", "volume"):
        assert list(frame[column]) == list(true[column])
    assert list(frame["opened_at"]) == [s.opens_at for s in XNYS.sessions(date(2000, 3, 1), over)]


def test_several_symbols_at_once_are_within_the_limit_of_five(source: IbkrMarketData) -> None:
    instruments = [source.resolve(s) for s in ("AAPL", "FB", "GOOG", "IBM", "MSFT")] * 2
    frames: list[Any] = []

    def work(instrument: Any) -> None:
        start = datetime(2012, 8, 1, tzinfo=UTC)
        frames.append(source.fetch_bars(instrument, BarSize.DAY, start, datetime(2012, 9, 28, tzinfo=UTC)))

    threads = [threading.Thread(target=work, args=(instrument,)) for instrument in instruments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(frame) for frame in frames] == [len(XNYS.sessions(date(2012, 8, 1), date(2012, 9, 27)))] * 10


def test_quotes_come_through_the_pre_flight(source: IbkrMarketData) -> None:
    quote = source.fetch_quotes([source.resolve("MSFT")])[272093]
    assert quote.last is not None
    assert quote.bid is not None
    assert quote.ask is not None
    assert quote.bid <= quote.last <= quote.ask
    assert not quote.is_halted


def test_a_limit_on_open_sent_before_the_open_fills_there(gateway: RunningGateway, desk: IbkrBroker) -> None:
    placed = desk.place(ticket(gateway, "open", "680.45"))
    assert isinstance(placed, Acknowledged)
    assert placed.status == "PreSubmitted"
    again = desk.place(ticket(gateway, "open", "680.45"))
    assert isinstance(again, DuplicateRefused)
    desk.live_orders()
    waiting = desk.live_orders()
    assert waiting.is_snapshot
    assert [(o.client_order_id, o.status) for o in waiting.orders] == [("q1-open", BrokerOrderStatus.PRE_SUBMITTED)]
    before = desk.cash_ledger()

    gateway.set_clock("2012-10-01T14:00:00+00:00")

    (row,) = [o for o in desk.live_orders().orders if o.client_order_id == "q1-open"]
    assert (row.status, row.filled) == (BrokerOrderStatus.FILLED, 5)
    desk.trades()
    (fill,) = desk.trades()
    assert (fill.client_order_id, fill.quantity, fill.side) == ("q1-open", 5, Side.BUY)
    assert fill.price == Decimal("671.50")  # the tape's opening price of the day
    assert fill.executed_at == datetime(2012, 10, 1, 13, 30, tzinfo=UTC)
    assert desk.cash_ledger().cash == before.cash + fill.cash_change
    (held,) = desk.positions()
    assert (held.conid, held.quantity, held.average_cost) == (265598, 5, Decimal("671.50"))
    status = desk.order_status(placed.broker_order_id)
    assert status is not None
    assert status.status is BrokerOrderStatus.FILLED
    assert desk.order_status("424242") is None
    assert accepted(gateway, "q1-open") == 1


def test_the_portfolio_of_a_restarted_gateway_is_read_by_the_client_that_knew_it_before(tmp_path: Path) -> None:
    start = "2012-10-01T13:00:00+00:00"
    with start_gateway(clock_start=start, pace=PACE, state_dir=tmp_path) as first:
        first.move_position(265598, 10)
        side = order_side(first)
        side.open_session()
        before = (side.positions(), side.cash_ledger())
        first.kill()
        port = int(first.api_url.rsplit(":", 1)[1].split("/")[0])
        with start_gateway(clock_start=start, pace=PACE, state_dir=tmp_path, port=port) as second:
            assert (side.positions(), side.cash_ledger()) == before
            asked = [row["path"].partition("/v1/api/")[2] for row in second.wirelog()]
        side.close()
    assert [path for path in asked if path.startswith("portfolio/accounts")] == ["portfolio/accounts"]
    assert before[0][0].quantity == 10


def test_a_question_is_answered_and_a_cancel_is_taken(gateway: RunningGateway, desk: IbkrBroker) -> None:
    day = {"time_in_force": TimeInForce.DAY}
    asked = desk.place(ticket(gateway, "far", "600.00", **day))
    assert isinstance(asked, Question)
    assert asked.message_ids == ("o163",)
    taken = desk.reply(asked.reply_id, is_confirmed=True)
    assert isinstance(taken, Acknowledged)
    assert desk.cancel(taken.broker_order_id) == CancelRequested()
    assert isinstance(desk.cancel("424242"), Rejected)
    declined = desk.place(ticket(gateway, "farther", "500.00", **day))
    assert isinstance(declined, Question)
    assert isinstance(desk.reply(declined.reply_id, is_confirmed=False), Rejected)
    assert accepted(gateway, "q1-farther") == 0
    assert isinstance(desk.reply(declined.reply_id, is_confirmed=True), Ambiguous)


def test_an_order_is_modified_by_its_whole_ticket(gateway: RunningGateway, desk: IbkrBroker) -> None:
    now = ticket(gateway, "modify", "660.00", time_in_force=TimeInForce.DAY)
    placed = desk.place(now)
    assert isinstance(placed, Acknowledged)
    changed = desk.modify(placed.broker_order_id, replace(now, quantity=Decimal(7), limit_price=Decimal("661.00")))
    assert isinstance(changed, Acknowledged)
    assert changed.broker_order_id == placed.broker_order_id
    status = desk.order_status(placed.broker_order_id)
    assert status is not None
    assert status.quantity == 7
    assert desk.reads.settled_orders().presence("q1-modify") is Presence.YES
    assert desk.cancel(placed.broker_order_id) == CancelRequested()
    assert isinstance(desk.modify(placed.broker_order_id, now), Rejected)


def test_the_stream_tells_of_orders_and_fills_and_of_what_it_missed(gateway: RunningGateway, desk: IbkrBroker) -> None:
    ears = stream(desk, gateway.api_url, ca=None, connect_timeout_s=2, pace=PACE)
    ears.start()
    try:
        assert _told(ears, lambda n: n.is_up).has_gap
        placed = desk.place(ticket(gateway, "heard", "660.00", time_in_force=TimeInForce.DAY))
        assert isinstance(placed, Acknowledged)
        assert placed.broker_order_id in _told(ears, lambda n: n.changed_orders).changed_orders
        gateway.fill(coid="q1-heard", quantity=2, price=660)
        assert _told(ears, lambda n: n.has_fills).is_up
        desk.cancel(placed.broker_order_id)
        ears.want_quotes([8314])
        _told(ears, lambda _: 8314 in ears.quotes())
        gateway.restart_session()
        assert _told(ears, lambda n: n.has_gap).is_up
    finally:
        ears.close()


def _told(ears: GatewayStream, condition: Callable[[StreamNews], object]) -> StreamNews:
    """The first news for which the condition holds."""
    give_up = time.monotonic() + 10
    while True:
        news = ears.news()
        if condition(news):
            return news
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "spec", "orders"),
    [
        ("F1", {}, 1),
        ("F2", {}, 0),
        ("F5", {"booked": True, "delay_s": 0.1}, 1),
        ("F5", {"booked": False, "delay_s": 0.1}, 0),
        ("F5", {"booked": True, "delay_s": 3.0}, 1),
        ("F8", {"routes": ["submit"]}, 0),
        ("F10", {}, 0),
        ("F21", {"routes": ["submit"]}, 0),
    ],
)
def test_a_fault_leaves_a_doubt_and_at_most_one_order(
    gateway: RunningGateway, desk: IbkrBroker, fault: str, spec: dict[str, Any], orders: int
) -> None:
    name = f"{fault}-{spec.get('booked')}-{spec.get('delay_s')}"
    gateway.arm_fault(fault, **spec)
    try:
        placed = desk.place(ticket(gateway, name, "671.00", time_in_force=TimeInForce.DAY))
    finally:
        gateway.disarm_fault(fault)
    assert isinstance(placed, Ambiguous)
    assert accepted(gateway, f"q1-{name}") == orders


def test_lost_sessions_come_back_by_themselves_and_others_ask_for_a_person(
    gateway: RunningGateway, desk: IbkrBroker
) -> None:
    try:
        gateway.set_session("lost")
        assert not desk.session().is_ready
        desk.live_orders()
        assert desk.session().is_ready
        for state in ("competing", "logged_out"):
            gateway.set_session(state)
            with pytest.raises(LoginRequired):
                desk.live_orders()
            with pytest.raises(LoginRequired):
                desk.open_session()
    finally:
        gateway.set_session("ok")
    before = desk.session_id()
    assert desk.session_id() == before
    gateway.restart_session()
    assert desk.session_id() != before
    desk.live_orders()


def test_an_account_that_the_gateway_does_not_have_is_refused(gateway: RunningGateway) -> None:
    with pytest.raises(ConfigurationError, match="not among") as caught:
        order_side(gateway, "DU9999999").open_session()
    assert "DU" not in str(caught.value).replace("IBKR_ASSETS_ACCOUNT", "")


def test_everything_can_be_inspected(gateway: RunningGateway, source: IbkrMarketData, desk: IbkrBroker) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "search": {"symbol": "AAPL"}, "history": {"conid": 265598}, "snapshot": {"conid": 265598},
    }  # fmt: skip
    for what in ("status", "accounts", "summary", "ledger", "positions", "orders", "trades", *arguments):
        json.dumps(inspect_broker(source, desk, what, **arguments.get(what, {})))


def test_at_ibkr_s_own_pace_nothing_is_refused() -> None:
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00", pace=1) as slow:
        source = data_side(slow, pace=1)
        todo = list(range(35))

        def work() -> None:
            while todo:
                todo.pop()
                fetch_page(source.sessions, 265598, period="1m", bar="1d")

        threads = [threading.Thread(target=work) for _ in range(7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        log = slow.wirelog()
        times = [row["t_mono"] for row in log]
        assert {row["status"] for row in log} == {200}
        assert max(sum(begin <= t < begin + 1 for t in times) for begin in times) <= 10
        source.close()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, list[Instrument]]]:
    """A gateway of more contracts than an account has market data lines."""
    tape = tmp_path_factory.mktemp("crowded")
    days = XNYS.sessions(date(2012, 9, 20), date(2012, 10, 2))
    symbols = [f"S{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(130)]
    for symbol in symbols:
        rows = "".join(f"{day.day},10,11,9,10.5,100000\n" for day in days)
        (tape / f"{symbol}.csv").write_text("opened_at,open,high,low,close,volume\n" + rows)
    with start_gateway(tape=tape, clock_start="2012-10-01T15:00:00+00:00", pace=PACE) as running:
        source = data_side(running)
        yield running, [source.resolve(symbol) for symbol in symbols]
        source.close()


def test_more_contracts_are_quoted_than_an_account_has_lines_also_where_another_process_holds_some(
    crowded: tuple[RunningGateway, list[Instrument]],
) -> None:
    gateway, instruments = crowded
    one, other = data_side(gateway), data_side(gateway)
    for source, wanted in ((one, instruments), (other, instruments[:90]), (one, instruments[90:110]),
                           (other, instruments)):  # fmt: skip
        assert source.fetch_quotes(wanted).keys() == {instrument.conid for instrument in wanted}
    one.close()
    other.close()


def test_an_order_is_not_questioned_for_lack_of_data_although_others_took_its_line(
    crowded: tuple[RunningGateway, list[Instrument]],
) -> None:
    gateway, instruments = crowded
    desk = order_side(gateway)
    assert len(desk.quotes(instruments)) == len(instruments)
    first, second = (
        ticket(gateway, f"line-{n}", "10.10", conid=one.conid, symbol=one.symbol, time_in_force=TimeInForce.DAY)
        for n, one in enumerate(instruments[:2])
    )
    questioned = desk.place(first)
    assert isinstance(questioned, Question)
    assert "without market data" in questioned.texts[0]
    desk.open_line(second.conid)
    assert isinstance(desk.place(second), Acknowledged)
