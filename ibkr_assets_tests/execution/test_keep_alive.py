"""The keep-alive: its rhythm, its age, and a thread that dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ibkr_assets.domain.errors import LoginRequired, Unavailable
from ibkr_assets.execution.keep_alive import KeepAlive, Kept, require_session
from ibkr_assets_tests.execution.desk import HandClock
from ibkr_assets_tests.fakes.broker import READY, FakeBroker

GONE = replace(READY, is_authenticated=False)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def keeper(broker: FakeBroker, clock: HandClock) -> Iterator[KeepAlive]:
    made = KeepAlive(broker, every_s=60.0, monotonic=clock)
    yield made
    made.stop()


def wait(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_it_asks_about_once_a_round_and_at_once_when_hurried(broker: FakeBroker) -> None:
    keeper = KeepAlive(broker, every_s=0.1, monotonic=time.monotonic)
    keeper.begin()
    wait(lambda: len(broker.calls) >= 3)
    keeper.stop()
    assert set(broker.calls) == {"keep_alive"}
    slow = KeepAlive(broker, every_s=60.0, monotonic=time.monotonic)
    broker.calls.clear()
    slow.begin()
    assert broker.calls == []
    slow.hurry()
    wait(lambda: broker.calls == ["keep_alive"])
    slow.stop()


def test_its_age_is_the_time_since_a_ready_answer_and_its_health(
    broker: FakeBroker, keeper: KeepAlive, clock: HandClock
) -> None:
    assert keeper.age_s() is None
    assert not keeper.is_healthy
    keeper.begin()
    clock.pass_time(59)
    assert keeper.age_s() == 59
    broker.status = GONE
    keeper.hurry()
    wait(lambda: keeper.supervise() == Kept(replace(GONE, session_id="session-1")))
    assert keeper.age_s() == 59  # an answer that the session is gone keeps nothing alive
    clock.pass_time(122)
    assert not keeper.is_healthy
    broker.status = READY
    keeper.hurry()
    wait(lambda: keeper.age_s() == 0)
    assert keeper.is_healthy


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_started_again_and_asks_at_once_when_its_turn_has_passed(
    broker: FakeBroker, keeper: KeepAlive, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    has_died = threading.Event()

    def die() -> None:
        has_died.set()
        raise RuntimeError("a bug nobody foresaw")

    answer = broker.keep_alive
    broker.keep_alive = die  # type: ignore[method-assign]
    keeper.begin()
    keeper.hurry()
    wait(has_died.is_set)
    wait(lambda: keeper._thread is not None and not keeper._thread.is_alive())
    broker.keep_alive = answer  # type: ignore[method-assign]
    clock.pass_time(61)
    keeper.supervise()
    wait(lambda: keeper.age_s() == 0)
    assert keeper.restarts == 1
    assert "the keep-alive thread has died" in caplog.text


def test_what_was_known_before_a_new_beginning_does_not_count(broker: FakeBroker, keeper: KeepAlive) -> None:
    broker.is_down = True
    keeper.begin()
    keeper.hurry()
    wait(lambda: keeper.supervise() is not None)
    with pytest.raises(Unavailable, match="connection refused"):
        require_session(keeper.supervise(), "session-1")
    keeper.begin()
    require_session(keeper.supervise(), "session-1")


def test_a_session_that_is_gone_or_another_one_is_told() -> None:
    require_session(Kept(READY), "session-1")
    require_session(Kept(replace(READY, session_id="session-1")), "session-1")
    with pytest.raises(Unavailable, match="is gone: competing elsewhere"):
        require_session(Kept(replace(READY, is_competing=True, message="competing elsewhere")), "session-1")
    with pytest.raises(Unavailable, match="new session"):
        require_session(Kept(replace(READY, session_id="session-2")), "session-1")
    with pytest.raises(LoginRequired):
        require_session(Kept(None, LoginRequired("log in")), "session-1")
