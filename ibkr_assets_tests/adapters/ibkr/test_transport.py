"""What leaves, what comes back, and how often: over real sockets."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme

from ibkr_assets.adapters.ibkr.answers import is_transient
from ibkr_assets.adapters.ibkr.transport import (
    MAX_BODY_BYTES,
    NoAnswer,
    NothingSent,
    Transport,
    clock_skew_s,
    redact,
)
from ibkr_assets.domain.errors import ConfigurationError, Unavailable, UnreadableAnswer
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, RawServer, drip, http, reset


def test_a_post_without_a_body_sends_an_empty_object_and_its_length(server: RawServer) -> None:
    server.replies["POST tickle"] = http({})
    server.transport().request("POST", "tickle")
    request = server.requests[0]
    assert request.body == b"{}"
    assert request.headers["content-length"] == "2"
    assert request.headers["user-agent"].startswith("ibkr-assets/")
    assert request.headers["accept-encoding"] == "identity"


def test_a_get_is_tried_three_times_and_the_last_answer_is_given(server: RawServer) -> None:
    server.replies["GET x"] = [reset, http(status=503), http({"ok": 1})]
    assert server.transport().get("x", is_transient=is_transient).parsed() == {"ok": 1}
    assert server.count("GET x") == 3


def test_a_get_that_never_gets_better_ends(server: RawServer) -> None:
    server.replies["GET x"] = http({"error": "nightly"}, status=503)
    assert server.transport().get("x", is_transient=is_transient).status == 503
    assert server.count("GET x") == 3


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    "reply",
    [reset, http(b'{"a": 1}', length=50), http(status=500), http(status=503), http(status=401), b"not http\r\n\r\n"],
    ids=["reset", "truncated", "500", "503", "401", "garbage"],
)
def test_a_post_or_delete_is_never_repeated(server: RawServer, method: str, reply: object) -> None:
    server.replies[f"{method} x"] = reply
    with contextlib.suppress(NoAnswer):
        server.transport().request(method, "x")
    assert server.count(f"{method} x") == 1


def test_a_peer_that_sends_a_byte_now_and_then_is_left_at_the_deadline(server: RawServer) -> None:
    for prefix in (b"HTTP/1.1 200 ", b"HTTP/1.1 200 X\r\nA:", http(b"[", length=10_000)):
        server.replies["POST x"] = drip(prefix)
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="time"):
            server.transport().request("POST", "x", timeout_s=0.4)
        assert time.monotonic() - began < 1.5


def test_a_peer_that_says_nothing_is_left_at_the_deadline(server: RawServer) -> None:
    server.replies["POST x"] = lambda connection: time.sleep(3)
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        server.transport().request("POST", "x", timeout_s=0.3)
    assert time.monotonic() - began < 1.5


def test_a_giant_body_is_not_read_to_its_end(server: RawServer) -> None:
    sent = [0]

    def flood(connection: socket.socket) -> None:
        connection.sendall(http(b"", length=200 * 1024 * 1024))
        while sent[0] < 200 * 1024 * 1024:
            connection.sendall(b"x" * 65536)
            sent[0] += 65536

    server.replies["GET x"] = flood
    with pytest.raises(UnreadableAnswer, match="longer than"):
        server.transport().request("GET", "x")
    time.sleep(0.1)
    assert sent[0] < 4 * MAX_BODY_BYTES  # what the sockets held when the client hung up


def test_a_compressed_answer_is_refused_before_it_is_unpacked(server: RawServer) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    server.replies["GET x"] = http(bomb).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
    with pytest.raises(UnreadableAnswer, match="compressed"):
        server.transport().request("GET", "x")


def test_a_redirect_is_not_followed(server: RawServer) -> None:
    server.replies["GET x"] = http(status=302).replace(b"\r\n\r\n", b"\r\nLocation: /v1/api/y\r\n\r\n", 1)
    assert server.transport().request("GET", "x").status == 302
    assert server.count("GET y") == 0


def test_proxies_of_the_environment_are_not_used(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.replies["GET x"] = http({})
    assert server.transport().request("GET", "x").status == 200


def test_a_refused_connection_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NothingSent):
        _door(f"http://127.0.0.1:{port}/v1/api").request("POST", "x")


def test_a_reset_after_the_request_is_no_answer(server: RawServer) -> None:
    server.replies["POST x"] = reset
    with pytest.raises(NoAnswer):
        server.transport().request("POST", "x")


def test_an_idle_connection_that_the_peer_closed_costs_nothing(server: RawServer) -> None:
    def answer_and_leave(connection: socket.socket) -> None:
        connection.sendall(http({}))  # without saying that it will close

    server.replies["POST x"] = answer_and_leave
    door = server.transport()
    for _ in range(5):
        assert door.request("POST", "x").status == 200
        time.sleep(0.02)
    assert server.count("POST x") == 5


def test_a_retry_is_never_printed_where_commands_print_json(
    server: RawServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.replies["GET x"] = [http(status=503), http({})]
    server.transport().get("x", is_transient=is_transient)
    assert server.count("GET x") == 2
    assert capsys.readouterr().out == ""


def test_a_429_closes_the_door_for_everything_and_it_opens_again(server: RawServer) -> None:
    server.replies["GET x"] = http({"error": "slow down"}, status=429)
    server.replies["GET y"] = http({})
    door = server.transport()
    with pytest.raises(Unavailable, match="429"):
        door.get("x", is_transient=is_transient)
    with pytest.raises(Unavailable, match="nothing is sent"):
        door.request("GET", "y")
    assert server.count("GET y") == 0
    time.sleep(0.35)
    assert door.request("GET", "y").status == 200
    assert server.count("GET x") == 1


def test_neither_account_nor_cookie_reaches_a_log(server: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path = f"portfolio/{ACCOUNT}/ledger"
    server.replies[f"GET {path}"] = [
        http({}).replace(b"\r\n\r\n", b"\r\nSet-Cookie: secret=canary\r\n\r\n", 1),
        http(status=500),
        reset,
    ]
    door = server.transport()
    for _ in range(2):
        door.request("GET", path)
    with pytest.raises(NoAnswer) as caught:
        door.request("GET", path)
    assert ACCOUNT not in str(caught.value)
    assert len(server.requests) == 3
    assert ACCOUNT not in caplog.text
    assert "canary" not in caplog.text


def test_account_ids_are_taken_out_of_texts() -> None:
    assert redact("accountId is not valid: DU1234567, U7654321") == "accountId is not valid: <account>, <account>"
    assert redact("order 1234567 of UAL at 12.34 DUMMY") == "order 1234567 of UAL at 12.34 DUMMY"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xe9"}',
        b"",
        b"[1",
        b"<html>",
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_not_strict_json_is_refused(server: RawServer, body: bytes) -> None:
    server.replies["GET x"] = http(body)
    answer = server.transport().request("GET", "x")
    with pytest.raises(UnreadableAnswer):
        answer.parsed()


def _door(url: str, ca: str | None = None) -> Transport:
    from ibkr_assets.adapters.ibkr.pacing import Limiter

    return Transport(url, ca=ca, limiter=Limiter(), connect_timeout_s=1.0, read_timeout_s=2.0)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> RawServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.configure_cert(context)
    server = RawServer(context)
    server.replies["POST x"] = http({"ok": 1})
    server.leaf = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())  # type: ignore[attr-defined]
    yield server
    server.close()


def test_the_right_authority_is_accepted(secure: RawServer, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert _door(secure.url, str(tmp_path / "ca.pem")).request("POST", "x").parsed() == {"ok": 1}


def test_the_pinned_certificate_is_accepted_for_any_name(secure: RawServer) -> None:
    pin = "sha256:" + hashlib.sha256(secure.leaf).hexdigest()  # type: ignore[attr-defined]
    assert _door(secure.url.replace("127.0.0.1", "localhost"), pin).request("POST", "x").parsed() == {"ok": 1}


def test_another_certificate_gets_not_one_byte(secure: RawServer, tmp_path: Path) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for ca in ("sha256:" + "0" * 64, str(tmp_path / "other.pem"), None):
        with pytest.raises(NothingSent, match=r"pinned|certificate"):
            _door(secure.url, ca).request("POST", "x")
    time.sleep(0.05)
    assert secure.bytes_received == 0
    assert not secure.requests


def test_plain_http_on_a_tls_port_and_tls_on_a_plain_port_get_no_request(server: RawServer) -> None:
    with pytest.raises(NothingSent):
        _door(server.url.replace("http:", "https:")).request("POST", "x")
    assert not server.requests


@pytest.mark.parametrize(
    ("url", "ca", "words"),
    [
        ("http://gateway:5000/v1/api", None, "this machine only"),
        ("http://10.0.0.7:5000/v1/api", None, "this machine only"),
        ("ftp://localhost/v1/api", None, "http or https"),
        ("localhost:5000", None, "http or https"),
        ("https://localhost:5000/v1/api", "sha256:abc", "64 hex"),
        ("https://localhost:5000/v1/api", "/nowhere/ca.pem", "cannot read"),
    ],
)
def test_a_door_that_cannot_be_trusted_is_not_opened(url: str, ca: str | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        _door(url, ca)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_plain_http_is_allowed_on_this_machine(host: str) -> None:
    _door(f"http://{host}:5000/v1/api")


NOON = 1_349_092_800.0  # 2012-10-01 12:00:00 UTC


@pytest.mark.parametrize(
    ("date", "skew_s"),
    [
        ("Mon, 01 Oct 2012 12:00:00 GMT", 0.0),
        ("Mon, 01 Oct 2012 11:59:59 GMT", 0.0),  # a whole second that was not over when the request was sent
        ("Mon, 01 Oct 2012 11:59:58 GMT", -0.5),
        ("Mon, 01 Oct 2012 12:00:03 GMT", 1.9),
        ("Tue, 02 Oct 2012 12:00:00 GMT", 86_398.9),
        ("Sun, 30 Sep 2012 12:00:00 GMT", -86_398.5),
        ("Sat, 30 Jun 2012 23:59:60 GMT", None),  # a leap second
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_the_gateways_clock_is_off_only_by_what_the_call_cannot_explain(date: str | None, skew_s: float | None) -> None:
    found = clock_skew_s(date, sent_at=NOON - 0.5, received_at=NOON + 1.1)
    assert found is None if skew_s is None else found == pytest.approx(skew_s)


def test_the_newest_answer_says_how_far_the_gateways_clock_is_off(server: RawServer) -> None:
    transport = server.transport()
    assert transport.clock_skew_s is None
    dated = http({}).replace(b"\r\n\r\n", b"\r\nDate: Mon, 01 Oct 2012 12:00:00 GMT\r\n\r\n", 1)
    server.replies["POST tickle"] = [dated, http({})]
    transport.request("POST", "tickle")
    assert transport.clock_skew_s == pytest.approx(NOON + 1 - time.time(), abs=60)
    server.replies["POST iserver/auth/status"] = http({})
    transport.request("POST", "iserver/auth/status")
    assert transport.clock_skew_s is None
