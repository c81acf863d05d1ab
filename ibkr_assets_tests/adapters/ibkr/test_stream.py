"""The order stream against a websocket server that does what a gateway does, and what it should not."""

from __future__ import annotations

import hashlib
import json
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ibkr_assets.adapters.ibkr import stream as module
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.stream import GatewayStream
from ibkr_assets.domain.broker import StreamNews
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, READY, RawServer, http
from ibkr_assets_tests.adapters.ibkr.socket_server import READY_FRAMES, SocketServer, wait

CANARY = "canary-of-the-session"
START = ["sor+{}", 'str+{"realtimeUpdatesOnly":false,"days":1}']
Streams = Callable[..., GatewayStream]


@pytest.fixture
def peer() -> Iterator[SocketServer]:
    made = SocketServer()
    yield made
    made.close()


@pytest.fixture
def streams(server: RawServer, session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Streams]:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.02)
    server.replies["POST tickle"] = http({"session": CANARY, "iserver": {"authStatus": READY}})
    made: list[GatewayStream] = []

    def start(peer: SocketServer, *, url: str | None = None, ca: str | None = None, pace: float = 1.0) -> GatewayStream:
        stream = GatewayStream(
            url or peer.url, ca=ca, session=session, account=ACCOUNT, connect_timeout_s=2, pace=pace
        )  # fmt: skip
        stream.start()
        made.append(stream)
        return stream

    yield start
    for stream in made:
        stream.close()


@pytest.fixture
def stream(streams: Streams, peer: SocketServer) -> GatewayStream:
    """A stream that is up, its first gap already told."""
    made = streams(peer)
    wait(lambda: peer.received == START)
    wait(lambda: made.news().has_gap)
    return made


def told(stream: GatewayStream, condition: Callable[[StreamNews], object]) -> StreamNews:
    """The first news for which the condition holds."""
    found: list[StreamNews] = []

    def look() -> bool:
        found.append(stream.news())
        return bool(condition(found[-1]))

    wait(look)
    return found[-1]


def order(order_id: int, **changes: Any) -> dict[str, Any]:
    return {"acct": ACCOUNT, "orderId": order_id, **changes}


def sor(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"topic": "sor", "args": list(rows)}


def execution(name: str, **changes: Any) -> dict[str, Any]:
    return {"topic": "str", "args": [{"execution_id": name, "account": ACCOUNT, "order_ref": "q1-a", **changes}]}


def test_it_connects_with_a_fresh_session_waits_until_it_may_speak_and_subscribes(
    streams: Streams, session: Session, server: RawServer
) -> None:
    peer = SocketServer(greeting=READY_FRAMES[:2])
    try:
        stream = streams(peer)
        wait(lambda: peer.connections == 1)
        assert peer.paths == ["/v1/api/ws"]
        assert peer.cookies == [f'api={{"session":"{CANARY}"}}']
        assert server.count("POST tickle") == 1
        time.sleep(0.1)
        assert peer.received == []  # what is sent before the gateway says so vanishes
        assert not stream.news().is_up
        peer.send({"topic": "sts", "args": {"competing": False}}, {"topic": "sts", "args": {"authenticated": True}})
        wait(lambda: peer.received == START)
        assert told(stream, lambda n: n.is_up).has_gap  # what happened before is not told
        assert stream.news() == StreamNews(is_up=True)
    finally:
        peer.close()


def test_deltas_are_merged_by_order_and_only_what_changed_is_told(stream: GatewayStream, peer: SocketServer) -> None:
    peer.send(sor(order(1, status="Submitted", filledQuantity=0, conid=265598), order(2, status="PreSubmitted")))
    assert told(stream, lambda n: n.changed_orders).changed_orders == {"1", "2"}
    peer.send(sor(order(1, bgColor="#FFFFFF")), sor(order(1, status="Submitted")), sor(order(2, status="Submitted")))
    news = told(stream, lambda n: n.changed_orders)
    assert news.changed_orders == {"2"}
    assert not news.has_fills
    peer.send(sor(order(1, filledQuantity=100.0, sizeAndFills="100/622"), order(1, filledQuantity=700.0)))
    assert told(stream, lambda n: n.changed_orders).has_fills
    peer.send(sor(order(1, filledQuantity=700.0)), sor({**order(3, status="Filled", filledQuantity=5), "acct": "U7"}))
    peer.send(sor(order(4, status="Cancelled")))
    news = told(stream, lambda n: n.changed_orders)
    assert news.changed_orders == {"4"}  # neither what is known already nor another account's
    assert not news.has_fills


def test_an_execution_counts_once_however_often_it_is_told(stream: GatewayStream, peer: SocketServer) -> None:
    peer.send(execution("0000e0d5.1.01.01"))
    assert told(stream, lambda n: n.has_fills).has_fills
    peer.send(
        execution("0000e0d5.1.01.01"), execution("0000e0d5.9.01.01", account="U7654321"), sor(order(1, status="F"))
    )
    assert not told(stream, lambda n: n.changed_orders).has_fills
    peer.send(execution("0000e0d5.1.01.02"))  # a correction is another one
    assert told(stream, lambda n: n.has_fills).has_fills


def test_after_a_drop_it_connects_anew_and_says_that_there_is_a_gap(
    stream: GatewayStream, peer: SocketServer, server: RawServer, session: Session
) -> None:
    peer.send(execution("0000e0d5.1.01.01"))
    told(stream, lambda n: n.has_fills)
    session.transport.limiter._sleep(2)  # the tickle's own limit, in time that passes by hand
    peer.drop()
    assert told(stream, lambda n: n.is_troubled).is_up is False
    news = told(stream, lambda n: n.is_up)
    assert news.has_gap
    wait(lambda: peer.received == START * 2)
    assert server.count("POST tickle") == 2  # a fresh one for each connection


@pytest.mark.parametrize(
    "frame",
    [{"topic": "sts", "args": {"authenticated": False}}, {"topic": "sts", "args": {"competing": True}}],
    ids=["logged out", "competing"],
)
def test_a_session_that_ends_is_told_at_once(
    stream: GatewayStream, peer: SocketServer, session: Session, frame: dict[str, Any]
) -> None:
    peer.send(frame)
    assert told(stream, lambda n: n.is_troubled).is_up is False


def test_silence_of_two_heartbeats_is_a_dead_connection(
    streams: Streams, peer: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHORTEST_S", 0.3)
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    stream = streams(peer, pace=1000)
    wait(lambda: stream.news().is_up)
    for _ in range(4):  # heartbeats in time keep it
        time.sleep(0.15)
        peer.send({"topic": "system", "hb": 1594677336001})
    assert peer.connections == 1
    assert stream.news().is_up
    wait(lambda: peer.connections > 1)
    assert stream.news().has_gap or told(stream, lambda n: n.has_gap)
    assert "tic" in peer.received


def test_quotes_are_merged_renewed_and_let_go(
    streams: Streams, peer: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHORTEST_S", 0.3)
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    monkeypatch.setattr(module, "HEARTBEAT_S", 1e9)
    stream = streams(peer, pace=2000)
    wait(lambda: stream.news().is_up)
    stream.want_quotes([265598])
    subscription = 'smd+265598+{"fields":["31","84","86","6509"]}'
    wait(lambda: peer.received.count(subscription) >= 2)  # at nine minutes, at this pace after 0.3 s
    peer.send({"topic": "smd+265598", "conid": 265598, "_updated": 1594677336001, "31": "C382.89", "6509": "RpB"})
    peer.send({"topic": "smd+265598", "conid": 265598, "_updated": 1594677337001, "84": "382.80", "86": "1,382.95"})
    wait(lambda: 265598 in stream.quotes() and stream.quotes()[265598].ask is not None)
    quote = stream.quotes()[265598]
    assert [str(value) for value in (quote.last, quote.bid, quote.ask)] == ["382.89", "382.80", "1382.95"]
    stream.want_quotes([])
    wait(lambda: peer.received[-1] == "umd+265598+{}" or "umd+265598+{}" in peer.received)


@pytest.mark.parametrize(
    "frame",
    ["not json", "[1, 2]", "null", '{"topic": 7}', "ech+hb", '{"message":"waiting for session"}', '{"error":"x"}',
     '{"topic":"ntf","args":{"id":"A"}}', '{"topic":"sor"}', '{"topic":"sor","args":"x"}', '{"topic":"smd+1"}',
     "[" * 5000],
)  # fmt: skip
def test_frames_that_are_not_understood_change_nothing(stream: GatewayStream, peer: SocketServer, frame: str) -> None:
    peer.send(frame, sor(order(1, status="Submitted")))
    assert told(stream, lambda n: n.changed_orders).is_up
    assert peer.connections == 1


@pytest.mark.parametrize(
    "frame",
    [sor({"acct": ACCOUNT}), sor(order(1, filledQuantity="NaN")), {"topic": "str", "args": [{"account": ACCOUNT}]}],
    ids=["no order id", "no number", "no execution id"],
)
def test_a_row_that_is_none_ends_in_a_gap_not_in_a_dead_thread(
    stream: GatewayStream, peer: SocketServer, session: Session, frame: dict[str, Any]
) -> None:
    session.transport.limiter._sleep(2)
    peer.send(frame)
    told(stream, lambda n: n.is_troubled)
    assert told(stream, lambda n: n.is_up).has_gap


def test_a_giant_frame_is_cut_off(
    stream: GatewayStream, peer: SocketServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.transport.limiter._sleep(2)
    peer.send("x" * (module.MAX_FRAME_BYTES + 1))
    told(stream, lambda n: n.is_troubled)
    assert told(stream, lambda n: n.is_up).has_gap


def test_no_stream_is_no_trouble_and_is_tried_again(streams: Streams, peer: SocketServer, server: RawServer) -> None:
    away = GatewayStream("http://127.0.0.1:9/v1/api", ca=None, session=streams(peer)._session, account=ACCOUNT,
                         connect_timeout_s=1)  # fmt: skip
    away.start()
    time.sleep(0.2)
    assert away.news() == StreamNews()
    away.close()
    refusing = streams(peer, url=server.url)  # a gateway that knows no websocket answers 404
    wait(lambda: server.count("GET ws") >= 1)
    assert refusing.news() == StreamNews()


def test_a_person_s_login_that_is_missing_is_waited_for(
    streams: Streams, peer: SocketServer, server: RawServer, session: Session
) -> None:
    server.replies["POST tickle"] = http(status=401)
    stream = streams(peer)
    wait(lambda: server.count("POST tickle") >= 1)
    assert peer.connections == 0
    session.transport.limiter._sleep(2)
    server.replies["POST tickle"] = http({"session": CANARY, "iserver": {"authStatus": READY}})
    told(stream, lambda n: n.is_up)


def test_neither_cookie_nor_account_are_logged(
    streams: Streams, peer: SocketServer, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        stream = streams(peer)
        wait(lambda: stream.news().is_up)
        session.transport.limiter._sleep(2)
        peer.send({"error": f"account {ACCOUNT} is odd"}, sor({"acct": ACCOUNT, "orderId": ACCOUNT}))
        told(stream, lambda n: n.is_troubled)
        told(stream, lambda n: n.is_up)
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets.server")]
    assert any("no order stream" in text for text in ours)
    assert not any(CANARY in text or ACCOUNT in text for text in ours)


@pytest.fixture
def secure() -> Iterator[tuple[SocketServer, str, trustme.CA]]:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    leaf = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    made = SocketServer(context=context)
    yield made, "sha256:" + hashlib.sha256(leaf).hexdigest(), authority
    made.close()


def test_the_pinned_certificate_and_the_right_authority_are_accepted(
    streams: Streams, secure: tuple[SocketServer, str, trustme.CA], session: Session, tmp_path: Path
) -> None:
    peer, pin, authority = secure
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for ca in (pin, str(tmp_path / "ca.pem")):
        session.transport.limiter._sleep(2)
        told(streams(peer, ca=ca), lambda n: n.is_up)


def test_another_certificate_does_not_get_the_cookie(
    streams: Streams, secure: tuple[SocketServer, str, trustme.CA], server: RawServer, session: Session
) -> None:
    peer, _, _ = secure
    for ca in ("sha256:" + "0" * 64, None):
        session.transport.limiter._sleep(2)
        before = server.count("POST tickle")
        stream = streams(peer, ca=ca)
        wait(lambda before=before: server.count("POST tickle") > before)
        time.sleep(0.1)
        assert not stream.news().is_up
    assert peer.cookies == []


def test_plain_http_to_another_machine_is_refused(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="this machine only"):
        GatewayStream("http://example.org/v1/api", ca=None, session=session, account=ACCOUNT, connect_timeout_s=1)


def test_recorded_frames_are_understood() -> None:
    from ibkr_assets.adapters.ibkr.stream_frames import Merged, read_frame

    folder = Path(__file__).parents[4] / "shared" / "ibkr" / "payloads"
    if not folder.is_dir():
        pytest.skip("the recordings of real gateways are not here")

    def rows(name: str) -> list[dict[str, Any]]:
        messages = json.loads((folder / f"ws_{name}_ibeam-gateway-doc.json").read_text())["messages"]
        frame = read_frame(json.dumps(messages[0]))
        assert frame is not None
        assert frame.topic == "sor"
        return frame.rows

    merged = Merged("DU1234")
    assert merged.orders(rows("sor_full")) == ({"922048212"}, False)
    assert merged.orders(rows("sor_status_deltas")) == ({"352055828"}, False)
    assert merged.orders(rows("sor_partial_fills")) == ({"352055828"}, True)
    assert Merged("DU9").orders(rows("sor_full")) == (set(), False)
