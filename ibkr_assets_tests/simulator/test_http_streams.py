"""The websocket over the wire: who may listen, what is told unasked, each topic, and how connections end."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, MSFT, Api, connect
from ibkr_assets_tests.simulator.sockets import Stream, open_socket, open_stream


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    options = ("--stream-ready-s", "0.01", "--opening-cash", "10000000")
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00", extra=options) as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    gateway.restart_session()
    with connect(gateway) as client:
        yield client
    gateway.set_session("ok")


@pytest.fixture
def stream(gateway: RunningGateway, api: Api) -> Iterator[Stream]:
    with open_stream(gateway, api) as opened:
        yield opened


def wait_until_gone(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + 5
    while gateway.admin("GET", "/admin/streams"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- who may listen


def test_who_is_there_and_how_the_sessions_stand_is_told_unasked(gateway: RunningGateway, api: Api) -> None:
    with open_socket(gateway, session=api.get("/tickle").json()["session"]) as stream:
        frames = [stream.next() for _ in range(5)]
    assert [frame["topic"] for frame in frames] == ["system", "act", "sts", "sts", "sts"]
    assert frames[0]["success"]
    assert frames[1]["args"] == api.get("/iserver/accounts").json()
    assert (frames[2]["args"], frames[3]["args"]) == ({"authenticated": True}, {"competing": False})


def test_a_heartbeat_tells_the_real_time(stream: Stream) -> None:
    for _ in range(20):
        frame = stream.connection.recv(timeout=2)
        if '"hb"' in str(frame):
            assert abs(int(str(frame).split(":")[-1].rstrip("}")) / 1000 - time.time()) < 2
            return
    raise AssertionError("no heartbeat")


@pytest.mark.parametrize("session", [None, "of-somebody-else"])
def test_without_the_session_one_waits_for_it(gateway: RunningGateway, api: Api, session: str | None) -> None:
    own = api.get("/tickle").json()["session"]
    with open_socket(gateway, session=session) as stream:
        assert stream.next() == {"message": "waiting for session"}
        stream.send("spl")
        stream.send('{"session":"nobody"}')
        stream.send(f'{{"session":"{own}"}}')
        assert stream.next()["topic"] == "system"


def test_the_session_may_come_in_the_query(gateway: RunningGateway, api: Api) -> None:
    own = api.get("/tickle").json()["session"]
    with open_socket(gateway, query=f"?oauth_token={own}") as stream:
        assert stream.next()["topic"] == "system"


def test_nobody_logged_in_is_a_401_and_another_path_a_404(gateway: RunningGateway, api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused, open_socket(gateway, query="/other"):
        pass
    assert refused.value.response.status_code == 404
    gateway.set_session("logged_out")
    with pytest.raises(InvalidStatus) as refused, open_socket(gateway, session="x"):
        pass
    assert refused.value.response.status_code == 401


def test_what_is_sent_too_early_vanishes() -> None:
    with start_gateway(extra=("--stream-ready-s", "0.5")) as late, connect(late) as api:
        own = api.get("/tickle").json()["session"]
        with open_socket(late, session=own) as stream:
            stream.send("ech+hb")
            assert stream.next()["topic"] == "system"
            while "serverName" not in stream.until("sts")["args"]:
                pass
            stream.silence()
            with pytest.raises(TimeoutError):
                stream.next(bound_s=0.05)


def test_it_is_there_over_tls_as_well(tmp_path: Path) -> None:
    with start_gateway(extra=("--tls-self-signed", str(tmp_path))) as secure:
        context = ssl.create_default_context(cafile=secure.said[2].split()[1])
        ticked = httpx.get(f"{secure.api_url}/tickle", verify=context, trust_env=False)
        with open_socket(secure, session=ticked.json()["session"], context=context) as stream:
            assert stream.next()["topic"] == "system"


# ---- orders and executions


def test_an_order_is_told_whole_and_then_only_what_changed(gateway: RunningGateway, api: Api, stream: Stream) -> None:
    api.place_through(cOID="before", tif="DAY")
    stream.send("sor+{}")
    stream.silence()  # what was before is not told
    order_id = int(api.place_through(cOID="s1", tif="DAY", price=660.5))
    (whole,) = stream.next()["args"]
    assert (whole["orderId"], whole["order_ref"], whole["status"]) == (order_id, "s1", "Submitted")
    assert whole["price"] == 660.5
    assert whole["sizeAndFills"] == "0/10"
    gateway.fill(coid="s1", quantity=4, price=660)
    (part,) = stream.next()["args"]
    assert part == {
        "acct": api.account, "orderId": order_id, "sizeAndFills": "4/6", "remainingQuantity": 6.0,
        "filledQuantity": 4.0, "avgPrice": "660.00",
    }  # fmt: skip
    gateway.fill(coid="s1", price=659)
    (rest,) = stream.next()["args"]
    assert (rest["status"], rest["filledQuantity"], rest["orderId"]) == ("Filled", 10.0, order_id)
    assert not {"conid", "price", "order_ref", "ticker"} & set(rest)
    stream.send("uor+{}")
    api.place_through(cOID="after", tif="DAY")
    stream.silence()


def test_a_fill_is_told_within_milliseconds(gateway: RunningGateway, api: Api, stream: Stream) -> None:
    stream.send('str+{"realtimeUpdatesOnly":true}')
    assert stream.next() == {"topic": "str", "args": []}
    waits = []
    for i in range(10):
        api.place_through(cOID=f"quick-{i}-{time.monotonic()}", tif="DAY")
        began = time.monotonic()
        gateway.fill(conid=AAPL, side="BUY", quantity=1)
        assert stream.next()["args"][0]["size"] == 1.0
        waits.append(time.monotonic() - began)
    assert sorted(waits)[5] < 0.03  # the pulse of the gateway alone would take 50 ms and more


def test_orders_can_be_narrowed_to_a_status(gateway: RunningGateway, api: Api, stream: Stream) -> None:
    stream.send('sor+{"filters": ["Filled"]}')
    stream.silence()
    api.place_through(cOID=f"f{time.monotonic()}", tif="DAY")
    stream.silence()
    gateway.fill(order_id=api.live_orders()[-1]["orderId"])
    (row,) = stream.next()["args"]
    assert row["status"] == "Filled"


def test_a_filtered_order_list_narrows_the_stream_until_a_forced_one(api: Api, stream: Stream) -> None:
    stream.send("sor+{}")
    api.get("/iserver/account/orders", filters="filled")
    api.place_through(cOID=f"n{time.monotonic()}", tif="DAY")
    stream.silence()
    api.get("/iserver/account/orders", force="true")
    order_id = int(api.place_through(cOID=f"w{time.monotonic()}", tif="DAY"))
    assert [row["orderId"] for row in stream.next()["args"]] == [order_id]


def trades_of(stream: Stream, arguments: str) -> list[dict[str, Any]]:
    stream.send(f"str+{arguments}")
    return list(stream.next()["args"])


def test_executions_are_replayed_and_then_told_live(gateway: RunningGateway, api: Api, stream: Stream) -> None:
    execution_id = gateway.fill(conid=MSFT, side="BUY", quantity=3)
    told = trades_of(stream, '{"days":1}')
    assert execution_id in [trade["execution_id"] for trade in told]
    assert told == [trade for trade in api.trades() if trade["trade_time"].startswith("20121001")]
    for spelling in ("realtimeUpdatesOnly", "realtime_updates_only"):
        assert trades_of(stream, f'{{"{spelling}":true}}') == []
    corrected = gateway.admin("POST", "/admin/bust", {"execution_id": execution_id, "price": 30})["execution_id"]
    (live,) = stream.next()["args"]
    assert (live["execution_id"], live["price"]) == (corrected, "30.00")
    stream.send("utr")
    gateway.fill(conid=MSFT, side="SELL", quantity=3)
    stream.silence()


# ---- quotes, bars, money


def test_quotes_are_told_once_and_then_as_they_change(gateway: RunningGateway, api: Api, stream: Stream) -> None:
    first = stream.ask(f'smd+{AAPL}+{{"fields":["31","84","86","83","55","70"]}}')
    assert (first["topic"], first["conid"]) == (f"smd+{AAPL}", AAPL)
    assert (first["84"], first["55"], first["server_id"]) == ("671.49", "AAPL", first["6119"])
    assert isinstance(first["83"], float)
    gateway.set_clock("2012-10-01T20:00:00+00:00")
    second = stream.next()
    assert (second["31"], second["84"], second["70"]) == ("659.39", "659.38", "676.75")
    assert "55" not in second
    stream.send(f"umd+{AAPL}+{{}}")
    gateway.step_clock(86_400)
    stream.silence()


def test_a_line_that_is_open_on_the_websocket_is_open_for_orders(api: Api, stream: Stream) -> None:
    questions = api.place(tif="DAY", conid=MSFT, price=29.0, quantity=1).json()
    stream.ask(f"smd+{MSFT}+{{}}")
    after = api.place(tif="DAY", conid=MSFT, price=29.0, quantity=1).json()
    assert "o354" in str(questions)
    assert "o354" not in str(after)


def test_bars_come_once_and_five_charts_are_the_most(stream: Stream, api: Api) -> None:
    wish = f'smh+{AAPL}+{{"period":"1m","bar":"1d","outside_rth":false}}'
    charts = [stream.ask(wish) for _ in range(5)]
    rest = api.get("/iserver/marketdata/history", conid=AAPL, period="1m", bar="1d").json()
    assert charts[0]["data"] == rest["data"]
    assert charts[0]["conid"] == AAPL
    assert len({chart["serverId"] for chart in charts}) == 5
    assert "Too many" in stream.ask(wish)["error"]
    server_id = charts[0]["serverId"]
    assert stream.ask(f"umh+{server_id}") == {"message": f"Unsubscribed {server_id}"}
    assert "not subscribed" in stream.ask(f"umh+{server_id}")["error"]
    assert stream.ask(wish)["topic"] == f"smh+{AAPL}"


def test_profit_and_loss_need_no_brokerage_session(gateway: RunningGateway, api: Api) -> None:
    gateway.set_session("lost")
    with open_stream(gateway, api) as stream:
        row = stream.ask("spl")["args"][f"{api.account}.Core"]
        assert set(row) == {"rowType", "dpl", "upl", "nl", "uel", "mv"}
        gateway.move_position(MSFT, 10, price=1)
        assert stream.until("spl")["args"][f"{api.account}.Core"]["mv"] > row["mv"]
        assert stream.ask("sor+{}") == {"error": "no bridge"}


def test_summary_and_ledger_are_told_whole_and_then_what_changed(
    gateway: RunningGateway, api: Api, stream: Stream
) -> None:
    first = {row["key"]: row for row in stream.ask(f"ssd+{api.account}+{{}}")["result"]}
    assert first["AccountCode"]["value"] == api.account
    nav = api.get(f"/portfolio/{api.account}/summary").json()["netliquidation"]["amount"]
    assert first["NetLiquidation-S"]["monetaryValue"] == nav
    again = stream.until(f"ssd+{api.account}")["result"]
    assert {tuple(sorted(row)) for row in again} == {("key", "timestamp")}
    stream.send(f"usd+{api.account}")
    while (frame := stream.next()) != {"result": "unsubscribed from summary"}:
        assert frame["topic"].startswith("ssd")
    wish = f'sld+{api.account}+{{"keys":["LedgerListUSD"],"fields":["settledCash","secondKey"]}}'
    (row,) = stream.ask(wish)["result"]
    assert (row["key"], row["secondKey"]) == ("LedgerListUSD", "USD")
    assert row["settledCash"] == api.get(f"/portfolio/{api.account}/ledger").json()["USD"]["settledcash"]
    assert "acctCode" not in row


def test_a_ladder_has_the_price_in_its_middle(api: Api, stream: Stream) -> None:
    frame = stream.ask(f"sbd+{api.account}+{AAPL}+NASDAQ")
    (focus,) = [row for row in frame["data"] if row["focus"]]
    asks = [float(row["price"]) for row in frame["data"] if "ask" in row]
    bids = [float(row["price"]) for row in frame["data"] if "bid" in row]
    assert max(bids) < float(focus["price"]) < min(asks)
    assert frame["topic"] == f"sbd+{api.account}+{AAPL}"


def test_tic_is_answered_and_what_cannot_be_is_an_error_without_a_topic(stream: Stream, api: Api) -> None:
    tic = stream.ask("tic")
    assert (tic["topic"], tic["alive"], tic["id"]) == ("tic", True, api.get("/tickle").json()["session"])
    for wish in (
        "nonsense",
        "smd+5+{}",
        "smd+x+{}",
        f"smd+{AAPL}+{{",
        'str+{"days":8}',
        "uor+{}",
        "ssd+U9+{}",
        "",
        "u",
    ):
        assert set(stream.ask(wish)) == {"error"}, wish


# ---- how it ends


def test_the_brokerage_session_takes_its_subscriptions_with_it(
    gateway: RunningGateway, api: Api, stream: Stream
) -> None:
    stream.send("sor+{}")
    gateway.set_session("competing")
    assert stream.until("sts")["args"] == {"authenticated": False}
    assert stream.until("sts")["args"] == {"competing": True}
    api.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    assert stream.until("act")["args"]["accounts"] == [api.account]
    api.get("/iserver/accounts")
    api.place_through(cOID=f"gap-{time.monotonic()}", tif="DAY")
    stream.silence()
    assert gateway.admin("GET", "/admin/streams")[0]["topics"] == []


@pytest.mark.parametrize("how", ["logout", "restart", "drop"])
def test_a_session_that_is_over_ends_its_connections(
    gateway: RunningGateway, api: Api, stream: Stream, how: str
) -> None:
    if how == "logout":
        api.post("/logout")
    elif how == "restart":
        gateway.restart_session()
    else:
        assert gateway.admin("POST", "/admin/streams", {"drop": True}) == {"dropped": 1}
    with pytest.raises(ConnectionClosed):
        stream.until("nothing that ever comes")
    wait_until_gone(gateway)


def test_a_reader_that_vanishes_is_forgotten_and_holds_up_nobody(gateway: RunningGateway, api: Api) -> None:
    with open_stream(gateway, api) as stream:
        stream.send("sor+{}")
        stream.silence()
        stream.connection.socket.close()
        began = time.monotonic()
        api.place_through(cOID=f"alone-{began}", tif="DAY")
        assert time.monotonic() - began < 1
        wait_until_gone(gateway)


def test_a_reader_that_does_not_keep_up_is_dropped_and_holds_up_nobody(gateway: RunningGateway, api: Api) -> None:
    with open_stream(gateway, api) as stream:
        slowest = 0.0
        for number in range(10_000):
            try:
                stream.send(f"ssd+{api.account}+{{}}")  # ten thousand bytes each, and nobody reads them
            except ConnectionClosed:
                break
            if number % 250 == 0:
                began = time.monotonic()
                api.get("/trsrv/stocks", symbols="AAPL")
                slowest = max(slowest, time.monotonic() - began)
        else:
            raise AssertionError("it was never dropped")
    assert slowest < 3
    wait_until_gone(gateway)


def test_notices_are_told_when_somebody_posts_them(gateway: RunningGateway, stream: Stream) -> None:
    gateway.admin("POST", "/admin/streams", {"ntf": {"id": "n1", "title": "t", "text": "x"}, "blt": "closed early"})
    assert stream.next() == {"topic": "ntf", "args": [{"id": "n1", "title": "t", "text": "x"}]}
    assert stream.next()["args"]["message"] == "closed early"
