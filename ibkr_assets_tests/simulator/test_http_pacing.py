"""IBKR's limits at IBKR's own pace, and the penalty box."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.simulator.clients import Api, connect


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with start_gateway(pace=1.0) as running:
        running.admin("POST", "/admin/pacing", {"penalty_s": 0.3})
        yield running


@pytest.fixture
def api(gateway: RunningGateway) -> Iterator[Api]:
    time.sleep(0.35)
    _forget(gateway)
    with connect(gateway) as client:
        _forget(gateway)
        yield client


def _forget(gateway: RunningGateway) -> None:
    """Nothing was counted so far."""
    gateway.admin("POST", "/admin/pacing", {"pace": 1.0})


def test_ten_requests_a_second_pass_and_the_eleventh_shuts_everything_out(api: Api) -> None:
    started = time.monotonic()
    statuses = [api.get("/trsrv/stocks", symbols="AAPL").status_code for _ in range(10)]
    assert time.monotonic() - started < 0.9
    assert statuses == [200] * 10
    assert api.get("/trsrv/stocks", symbols="AAPL").status_code == 429
    assert api.get("/portfolio/accounts").status_code == 429
    time.sleep(0.35)
    assert api.get("/portfolio/accounts").status_code == 200


@pytest.mark.parametrize(
    "path", ["/iserver/account/orders", "/iserver/account/trades", "/portfolio/accounts", "/tickle", "/sso/validate"]
)
def test_some_routes_have_limits_of_their_own(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200
    assert api.get(path).status_code == 429


def test_eleven_requests_in_more_than_a_second_pass(api: Api) -> None:
    time.sleep(1.0)
    statuses = []
    for _ in range(12):
        statuses.append(api.get("/trsrv/stocks", symbols="AAPL").status_code)
        time.sleep(0.1)
    assert set(statuses) == {200}
