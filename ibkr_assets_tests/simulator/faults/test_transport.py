"""Faults of the connection on the wire."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
import trustme

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import Api, connect

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00") as running:
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    with connect(gateway) as client:
        yield client
    for fault in gateway.admin("GET", "/admin/fault"):
        gateway.disarm_fault(fault["id"])


def test_f25_keeps_the_connection_and_says_nothing(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F25")
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("/tickle", timeout=0.3)
    assert api.get("/tickle").status_code == 200


@pytest.mark.parametrize("skew_s", [-86400, -1, 1, 86400])
def test_f50_dates_answers_by_another_clock(gateway: RunningGateway, api: Api, skew_s: int) -> None:
    gateway.arm_fault("F50", skew_s=skew_s)
    before = time.time()
    dates = api.get("/tickle").headers.get_list("date")
    assert len(dates) == 1
    assert parsedate_to_datetime(dates[0]).timestamp() == pytest.approx(before + skew_s, abs=1.5)


def test_f50_can_say_what_is_no_time(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F50", date="Sat, 30 Jun 2012 23:59:60 GMT")
    assert api.get("/tickle").headers["date"] == "Sat, 30 Jun 2012 23:59:60 GMT"


def test_f53_is_a_body_of_the_size_that_was_asked_for(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F53", how="giant", megabytes=20)
    with api.http.stream("GET", "/tickle") as answer:
        assert int(answer.headers["content-length"]) == 20 * MEGABYTE
        assert sum(map(len, answer.iter_raw())) == 20 * MEGABYTE


def test_f53_drips(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F53", how="slow", bytes_per_s=1)
    begun = time.monotonic()
    with api.http.stream("GET", "/tickle") as answer:
        first = next(answer.iter_raw())
        assert int(answer.headers["content-length"]) > 100
    assert len(first) <= 2
    assert time.monotonic() - begun < 3


def test_f53_is_small_on_the_wire_and_large_unpacked(gateway: RunningGateway, api: Api) -> None:
    gateway.arm_fault("F53", how="bomb", megabytes=20)
    with api.http.stream("GET", "/tickle") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert sum(map(len, answer.iter_raw())) < MEGABYTE


def test_f52_shows_another_certificate_from_the_next_handshake_on(tmp_path: Path) -> None:
    first, second = (_certificate(tmp_path, name) for name in ("first", "second"))
    with start_gateway(extra=("--tls-cert", str(first[0]), "--tls-key", str(first[1]))) as gateway:
        port = int(httpx.URL(gateway.api_url).port or 0)
        before = _shown(port)
        assert _shown(port) == before
        gateway.arm_fault("F52", cert=str(second[0]), key=str(second[1]))
        with (
            httpx.Client(base_url=gateway.api_url, verify=False, trust_env=False) as http,
            pytest.raises(httpx.TransportError),
        ):
            http.get("/tickle")
        assert _shown(port) == ssl.PEM_cert_to_DER_cert(second[0].read_text()) != before


def _certificate(directory: Path, name: str) -> tuple[Path, Path]:
    made = trustme.CA().issue_cert("127.0.0.1")
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    made.cert_chain_pems[0].write_to_path(cert)
    made.private_key_pem.write_to_path(key)
    return cert, key


def _shown(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""
