"""The market clock asks each time, and says so when nothing usable comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ibkr_assets.adapters.clock import MarketClock, SystemClock
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets_tests.adapters.ibkr.raw_server import RawServer, http


@pytest.fixture
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


def test_the_machine_s_clock_is_aware_utc() -> None:
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert abs(now.timestamp() - time.time()) < 5


def test_the_market_s_time_is_asked_for_at_every_call(server: RawServer) -> None:
    server.replies["GET clock"] = [
        http({"now": "2012-10-01T16:00:00-04:00"}), http({"now": "2012-10-02T13:30:00+00:00"}),
    ]  # fmt: skip
    clock = MarketClock(server.url + "/clock")
    assert clock.now() == datetime(2012, 10, 1, 20, tzinfo=UTC)
    assert clock.now() == datetime(2012, 10, 2, 13, 30, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_a_kept_connection_that_the_server_has_closed_is_no_answer_of_the_clock(server: RawServer) -> None:
    server.replies["GET clock"] = [b"", http({"now": "2012-10-02T13:30:00+00:00"})]
    assert MarketClock(server.url + "/clock").now() == datetime(2012, 10, 2, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "reply",
    [
        http({"now": "2012-10-01T16:00:00"}), http({"now": 5}), http({}), http([]), http(b"soon"),
        http({"now": "2012-10-01T16:00:00Z"}, status=503),
    ],
    ids=["no zone", "number", "no key", "list", "text", "503"],
)  # fmt: skip
def test_anything_else_is_no_clock(server: RawServer, reply: bytes) -> None:
    server.replies["GET clock"] = reply
    with pytest.raises(Unavailable, match="clock_url"):
        MarketClock(server.url + "/clock").now()


def test_a_clock_that_is_gone_is_unavailable(server: RawServer) -> None:
    url = server.url
    server.close()
    with pytest.raises(Unavailable, match="no answer"):
        MarketClock(url + "/clock").now()
