"""A raw server for each test, and retries that do not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets_tests.adapters.ibkr.raw_server import ACCOUNT, RawServer, hand_limiter


@pytest.fixture
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture
def session(server: RawServer) -> Iterator[Session]:
    transport = server.transport(limiter=hand_limiter())
    yield Session(transport, ACCOUNT, sleep=lambda _: None)
    transport.close()


@pytest.fixture(autouse=True)
def _quick_retries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield
