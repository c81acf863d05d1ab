"""Feeds and their times, with seconds that are values: no socket, no process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

from ibkr_assets.simulator.face.exchange import Call
from ibkr_assets.simulator.face.feeds_account import BundleFeed, PnlFeed, ledger_rows
from ibkr_assets.simulator.face.feeds_orders import OrdersFeed
from ibkr_assets.simulator.face.feeds_quotes import QuotesFeed
from ibkr_assets.simulator.face.snapshots import MOST_LINES, open_line
from ibkr_assets.simulator.face.stream_topics import Wish
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.options import GatewayOptions
from ibkr_assets.simulator.stream_hub import MOST_WAITING, StreamConnection, StreamHub
from ibkr_assets_tests.simulator.tapes import CONID, at, bar, small_tape, ticket

FIELDS = ("31", "84", "86")


def small_gateway(pace: float = 1.0) -> Gateway:
    bars = [bar("100", "110", "90", "105"), bar("106", "120", "100", "108")]
    return Gateway(GatewayOptions(admin_token="t", clock_start=at(0, 14), pace=pace), small_tape(bars))


def test_quotes_come_at_most_twice_a_second_and_only_what_changed() -> None:
    gateway = small_gateway()
    feed = QuotesFeed(gateway, CONID, FIELDS, 10.0)
    (first,) = feed.look(10.0)
    assert (first["31"], first["84"], first["86"]) == ("100.00", "99.99", "100.01")
    gateway.set_clock(at(0, 20))
    assert list(feed.look(10.499)) == []
    (second,) = feed.look(10.5)
    assert second["31"] == "105.00"
    assert list(feed.look(60.0)) == []


def test_a_subscription_of_quotes_ends_after_a_quarter_of_an_hour_at_the_gateway_s_pace() -> None:
    assert not QuotesFeed(small_gateway(), CONID, FIELDS, 10.0).is_over(909.9)
    assert QuotesFeed(small_gateway(), CONID, FIELDS, 10.0).is_over(910.0)
    assert QuotesFeed(small_gateway(100.0), CONID, FIELDS, 10.0).is_over(19.0)


def test_the_end_of_a_subscription_gives_its_line_back() -> None:
    gateway = small_gateway()
    hub, connection = gateway.streams, StreamConnection(("127.0.0.1", 1), 0.0)
    hub.connections.append(connection)
    assert open_line(gateway.session.memory, CONID) is not None
    connection.subscribe(f"smd+{CONID}", QuotesFeed(gateway, CONID, FIELDS, 0.0), 0.0)
    hub.look(899.9)
    assert CONID in gateway.session.memory.streams
    hub.look(900.0)
    assert connection.feeds == {}
    assert CONID not in gateway.session.memory.streams


def test_an_account_has_a_hundred_lines() -> None:
    memory = small_gateway().session.memory
    assert all(open_line(memory, conid) is not None for conid in range(MOST_LINES))
    assert open_line(memory, MOST_LINES) is None
    assert open_line(memory, 5) is not None
    del memory.streams[5]
    assert open_line(memory, MOST_LINES) is not None


def test_profit_and_loss_is_told_when_it_changed_and_at_most_once_a_second() -> None:
    gateway = small_gateway()
    feed = PnlFeed(gateway)
    assert len(list(feed.look(0.0))) == 1
    gateway.venue.move_position(CONID, Decimal(10), Decimal(100))
    assert list(feed.look(0.9)) == []
    (frame,) = feed.look(1.0)
    assert frame["args"]["DU1000001.Core"]["mv"] == 1000.0
    assert list(feed.look(5.0)) == []


def test_a_bundle_comes_every_ten_seconds_with_what_changed() -> None:
    gateway = small_gateway()
    feed = BundleFeed(gateway, "sld+DU1000001", lambda: ledger_rows(gateway, (), ()))
    (first,) = feed.look(0.0)
    assert {row["key"] for row in first["result"]} == {"LedgerListUSD", "LedgerListBASE"}
    assert first["result"][0]["settledCash"] == 100_000.0
    assert list(feed.look(9.9)) == []
    (second,) = feed.look(10.0)
    assert all(set(row) == {"key", "timestamp"} for row in second["result"])


def test_changes_of_one_moment_are_one_frame_with_a_row_for_each() -> None:
    gateway = small_gateway()
    feed = OrdersFeed(gateway, frozenset())
    gateway.streams.connections.append(connection := StreamConnection(("127.0.0.1", 1), 0.0))
    connection.feeds["sor"] = feed

    async def play() -> None:
        order = gateway.venue.submit(ticket(price="95", coid="a"))
        gateway.venue.execute_by_hand(CONID, "BUY", Decimal(3), Decimal(95), order)
        gateway.venue.execute_by_hand(CONID, "BUY", Decimal(7), Decimal(94), order)
        await asyncio.sleep(0)
        text = await asyncio.wait_for(connection.next_text(), 1)
        assert text is not None
        rows = Call(gateway, "x", {}, {}, text.encode(), 0).json()["args"]
        assert [row.get("sizeAndFills") for row in rows] == ["0/10", "3/7", "10"]
        assert "conid" in rows[0]
        assert "conid" not in rows[1]

    asyncio.run(play())


def test_a_reader_for_whom_too_much_waits_is_dropped() -> None:
    connection = StreamConnection(("127.0.0.1", 1), 0.0)
    for i in range(MOST_WAITING):
        connection.push({"n": i})
    assert not connection.is_dropped
    connection.push({"n": MOST_WAITING})
    assert connection.is_dropped


def test_heartbeats_come_every_ten_seconds_and_not_too_often_at_a_fast_pace() -> None:
    assert StreamHub(1.0).heartbeat_s == 10.0
    assert StreamHub(10.0).heartbeat_s == 1.0
    assert StreamHub(1000.0).heartbeat_s == 0.2
    hub, connection = StreamHub(1.0), StreamConnection(("127.0.0.1", 1), 5.0)
    hub.connections.append(connection)
    hub.pulse(5.0, 1)
    assert connection.told == 0  # not ready
    connection.is_ready = True
    told = []
    for tenths in range(50, 360):
        hub.pulse(tenths / 10, 1)
        told.append(connection.told)
    assert told[0] == 1
    assert told[-1] == 4


def test_a_client_s_words_are_topic_target_and_arguments() -> None:
    assert Wish.parse('smd+265598+{"fields":["31"]}') == Wish("smd", "265598", '{"fields":["31"]}')
    assert Wish.parse("sor+{}") == Wish("sor", "", "{}")
    assert Wish.parse("spl") == Wish("spl", "", "")
    assert Wish.parse("sbd+DU1+265598+NYSE") == Wish("sbd", "DU1", "265598+NYSE")
    assert Wish.parse('smh+1+{"a":"b+c"}').arguments() == {"a": "b+c"}


def test_a_delayed_quote_is_a_quarter_of_an_hour_late() -> None:
    bars = [bar("100", "110", "90", "105"), bar("106", "120", "100", "108")]
    options = GatewayOptions(admin_token="t", clock_start=at(0, 21), market_data="D")
    gateway = Gateway(options, small_tape(bars))
    gateway.set_clock(at(1, 13, 30) + timedelta(minutes=14))
    (before,) = QuotesFeed(gateway, CONID, ("31", "6509"), 0.0).look(0.0)
    gateway.set_clock(at(1, 13, 30) + timedelta(minutes=15))
    (after,) = QuotesFeed(gateway, CONID, ("31", "6509"), 0.0).look(0.0)
    assert (before["31"], after["31"], after["6509"]) == ("C105.00", "106.00", "D")


def test_without_a_subscription_there_are_no_prices() -> None:
    gateway = Gateway(GatewayOptions(admin_token="t", clock_start=at(0, 14), market_data="N"), small_tape([
        bar("100", "110", "90", "105"), bar("106", "120", "100", "108"),
    ]))  # fmt: skip
    (frame,) = QuotesFeed(gateway, CONID, ("31", "55", "6509"), 0.0).look(0.0)
    assert (frame["55"], frame["6509"]) == ("IBM", "N")
    assert "31" not in frame
