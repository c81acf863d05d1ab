"""Opening the brokerage session: by the state the gateway is in, bounded, and never a fight."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.ibkr.pacing import Limiter
from ibkr_assets.adapters.ibkr.pacing_state import FileState
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.domain.errors import LoginRequired, Unavailable
from ibkr_assets_tests.adapters.ibkr.raw_server import (
    ACCOUNT,
    READY,
    HandClock,
    RawServer,
    Request,
    by_request,
    hand_limiter,
    http,
)

STATUS = "POST iserver/auth/status"
INIT = "POST iserver/auth/ssodh/init"
AWAY = {**READY, "authenticated": False, "established": False}
COMPETING = {**READY, "authenticated": False, "competing": True}
HOUR_S = 3600.0


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def session(server: RawServer, clock: HandClock) -> Iterator[Session]:
    transport = server.transport(limiter=hand_limiter(clock))
    yield Session(transport, ACCOUNT, sleep=lambda _: None)
    transport.close()


@pytest.fixture
def bold(server: RawServer, clock: HandClock) -> Iterator[Session]:
    """A session whose owner allows to take the brokerage session from another platform."""
    transport = server.transport(limiter=hand_limiter(clock))
    yield Session(transport, ACCOUNT, may_compete=True, sleep=lambda _: None)
    transport.close()


@pytest.mark.parametrize(
    "init",
    [
        http(AWAY),
        http({"error": "failed to generate sso dh token"}, status=500),
        http(status=503),
        http({"error": "Bad Request: no bridge", "statusCode": 400}, status=400),
        http(b"{"),
    ],
    ids=["not authenticated", "no token", "maintenance", "no bridge", "cut"],
)
def test_a_login_that_does_not_work_is_tried_further_and_further_apart(
    server: RawServer, session: Session, clock: HandClock, init: bytes
) -> None:
    server.replies[STATUS] = http(AWAY)
    server.replies[INIT] = init
    tried: list[float] = []
    began = clock()
    while clock() < began + 3 * HOUR_S:
        before = server.count(INIT)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - one of two kinds, told apart by `person`
            session.open()
        assert not isinstance(caught.value, LoginRequired)
        if server.count(INIT) > before:
            tried.append(clock() - began)
        clock.sleep(15.5)
    waits = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert waits[:3] == sorted(waits[:3])
    assert waits[0] >= 15
    assert waits[1] >= 60
    assert waits[2] >= 240
    assert max(sum(at <= other < at + HOUR_S for other in tried) for at in tried) <= 6
    assert len(tried) > 12  # and it never gives up


def test_a_login_that_works_ends_the_waits_and_counts_all_the_same(
    server: RawServer, session: Session, clock: HandClock
) -> None:
    server.replies[INIT] = http(READY)
    for _ in range(6):
        server.replies[STATUS] = [http(AWAY), http(READY)]
        assert session.open().is_ready
        clock.sleep(1)
    server.replies[STATUS] = http(AWAY)
    with pytest.raises(Unavailable, match="too many logins within the hour"):
        session.open()
    assert server.count(INIT) == 6
    clock.sleep(HOUR_S)
    server.replies[STATUS] = [http(AWAY), http(READY)]
    assert session.open().is_ready


def test_after_a_login_that_worked_the_waits_begin_anew(server: RawServer, session: Session, clock: HandClock) -> None:
    def fail() -> None:
        server.replies[STATUS], server.replies[INIT] = http(AWAY), http(AWAY)
        with pytest.raises(Unavailable):
            session.open()

    fail()
    clock.sleep(15.5)
    fail()
    clock.sleep(60.5)
    server.replies[STATUS], server.replies[INIT] = [http(AWAY), http(READY)], http(READY)
    assert session.open().is_ready
    fail()
    clock.sleep(15.5)
    fail()
    assert server.count(INIT) == 5


def test_the_words_for_a_held_session_name_the_way_out(server: RawServer, session: Session) -> None:
    server.replies[STATUS] = http(COMPETING)
    with pytest.raises(LoginRequired, match=r"TWS.*log it out there.*gateway\.may_compete"):
        session.open()
    assert server.count(INIT) == 0


def test_a_session_is_taken_over_once_an_hour_where_the_owner_allows_it(
    server: RawServer, bold: Session, clock: HandClock
) -> None:
    server.replies[STATUS] = [http(COMPETING), http(READY)]
    server.replies[INIT] = http(READY)
    assert bold.open().is_ready
    (init,) = [r for r in server.requests if r.path.endswith("init")]
    assert init.json == {"publish": True, "compete": True}
    server.replies[STATUS] = http(COMPETING)
    clock.sleep(HOUR_S / 2)
    with pytest.raises(LoginRequired, match="not fought for"):
        bold.open()
    assert server.count(INIT) == 1
    clock.sleep(HOUR_S / 2)
    server.replies[STATUS] = [http(COMPETING), http(READY)]
    assert bold.open().is_ready


def test_an_owner_who_allows_it_does_not_compete_with_nobody(server: RawServer, bold: Session) -> None:
    server.replies[STATUS] = [http(AWAY), http(READY)]
    server.replies[INIT] = http(READY)
    bold.open()
    (init,) = [r for r in server.requests if r.path.endswith("init")]
    assert init.json == {"publish": True, "compete": False}


def test_processes_of_one_login_open_the_session_once(server: RawServer, tmp_path: Path) -> None:
    is_ready = threading.Event()

    @by_request
    def status(_: Request) -> bytes:
        return http(READY if is_ready.is_set() else AWAY)

    @by_request
    def init(_: Request) -> bytes:
        threading.Event().wait(0.3)  # while it lasts, the others find the session away
        is_ready.set()
        return http(READY)

    server.replies[STATUS], server.replies[INIT] = status, init
    # A state each over one file is what processes have.
    sessions = [Session(server.transport(limiter=Limiter(FileState("u", tmp_path))), ACCOUNT) for _ in range(3)]
    opened: list[Any] = []
    threads = [threading.Thread(target=lambda s=session: opened.append(s.open())) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [status.is_ready for status in opened] == [True, True, True]
    assert server.count(INIT) == 1
    for session in sessions:
        session.transport.close()


def test_a_login_of_another_process_that_does_not_end_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with (
        FileState("u", tmp_path).login_turn(1.0) as had_to_wait,
        pytest.raises(Unavailable, match="another process"),
        FileState("u", tmp_path).login_turn(0.2),
    ):
        pass
    assert not had_to_wait
