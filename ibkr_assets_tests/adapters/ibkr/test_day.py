"""Twenty-four hours of one login: keep-alive, recovery and reads through every event that a day of IBKR's has.

The client's clock and the gateway's market clock move together, so that IBKR's limits hold in the day's own seconds.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ibkr_assets.adapters.ibkr.client import IbkrBroker
from ibkr_assets.adapters.ibkr.pacing import Limiter
from ibkr_assets.adapters.ibkr.pacing_state import MemoryState
from ibkr_assets.adapters.ibkr.session import Session
from ibkr_assets.adapters.ibkr.transport import Transport
from ibkr_assets.domain.errors import LoginRequired, PlatformError, Unavailable
from ibkr_assets.execution.keep_alive import KeepAlive
from ibkr_assets_tests.gateway import RunningGateway, start_gateway

#: Ten in the morning in New York, where midnight is at 04:00 UTC and the maintenance at 05:00.
START = datetime(2012, 10, 1, 14, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
BACK_AFTER_S = 2 * 3600
#: Requests and window in seconds, by route, from IBKR's "Pacing Limitations".
LIMITS = {"": (10, 1.0), "orders": (1, 5.0), "trades": (1, 5.0), "portfolio_accounts": (1, 5.0), "tickle": (1, 1.0)}


@dataclass
class DayClock:
    """Seconds of the client, which move the gateway's market clock with them."""

    gateway: RunningGateway
    seconds: float = 1000.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds
            self.gateway.step_clock(seconds)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000.0)


@dataclass
class Day:
    """What one client does all day, a minute at a time, and what came of it."""

    gateway: RunningGateway
    clock: DayClock
    broker: IbkrBroker
    keeper: KeepAlive
    ready: list[tuple[datetime, bool]] = field(default_factory=list)
    words: dict[datetime, str] = field(default_factory=dict)
    wire: dict[int, dict[str, Any]] = field(default_factory=dict)

    def minute(self) -> None:
        """One keep-alive; where the session is gone, one try to bring it back; and now and then some reads."""
        is_ready = self._keep_alive()
        if not is_ready:
            try:
                is_ready = self.broker.open_session().is_ready
            except (LoginRequired, Unavailable) as error:
                self.words[self.clock.now()] = f"{type(error).__name__}: {error}"
        self.ready.append((self.clock.now(), is_ready))
        number = len(self.ready)
        if is_ready and number % 10 == 0:
            self._read()
        if number % 120 == 0:
            self.note_wire()
        left_s = 60.0 - (self.clock.seconds - 1000.0) % 60.0
        self.clock.sleep(left_s)

    def note_wire(self) -> None:
        self.wire |= {row["n"]: row for row in self.gateway.wirelog()}

    def _keep_alive(self) -> bool:
        before = self.keeper.supervise()
        self.keeper.hurry()
        deadline = time.monotonic() + 20
        while (kept := self.keeper.supervise()) is before:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        return kept is not None and kept.status is not None and kept.status.is_ready

    def _read(self) -> None:
        try:
            self.broker.reads.settled_orders()
            self.broker.reads.settled_trades()
            self.broker.positions()
            self.broker.cash_ledger()
        except PlatformError as error:
            self.words[self.clock.now()] = f"{type(error).__name__}: {error}"

    def ready_after(self, moment: datetime) -> timedelta:
        """How long after a moment the session was ready again."""
        at = next(at for at, is_ready in self.ready[self._index(moment) :] if is_ready)
        return at - moment

    def was_ready(self, first: datetime, last: datetime) -> set[bool]:
        return {is_ready for _, is_ready in self.ready[self._index(first) : self._index(last)]}

    def words_between(self, first: datetime, last: datetime) -> set[str]:
        return {text for at, text in self.words.items() if first <= at <= last}

    def _index(self, moment: datetime) -> int:
        return bisect.bisect_left(self.ready, (moment, False))


@pytest.fixture(scope="module")
def day() -> Iterator[Day]:
    extra = ("--nightly-reset", "login", "--maintenance", "--auto-login-after-s", str(BACK_AFTER_S))
    with start_gateway(clock_start=START, pace=1000.0, extra=extra) as gateway:
        clock = DayClock(gateway)
        limiter = Limiter(MemoryState(), clock=clock, sleep=clock.sleep)
        transport = Transport(gateway.api_url, ca=None, limiter=limiter, connect_timeout_s=5, read_timeout_s=20)
        session = Session(transport, gateway.account, sleep=clock.sleep)
        broker = IbkrBroker(session, gateway.account, 5.0)
        keeper = KeepAlive(broker, every_s=1e9, monotonic=clock)
        broker.open_session()
        keeper.begin()
        made = Day(gateway, clock, broker, keeper)
        events = dict(EVENTS)
        while clock.now() < START + DAY:
            due = [at for at in events if START + at <= clock.now()]
            for at in due:
                events.pop(at)(made)
            made.minute()
        made.note_wire()
        keeper.stop()
        broker.close()
        yield made


def _idle(day: Day) -> None:
    """Nobody asks for longer than IBKR waits."""
    day.gateway.admin("POST", "/admin/session", {"idle_limit_s": 0.05})
    time.sleep(0.1)
    day.gateway.admin("GET", "/admin/session")
    day.gateway.admin("POST", "/admin/session", {"idle_limit_s": 360})


def _state(name: str) -> Callable[[Day], None]:
    return lambda day: day.gateway.set_session(name)


def _init_fails(day: Day) -> None:
    day.gateway.admin("POST", "/admin/session", {"state": "lost", "init_failures": 3})


def _restart(day: Day) -> None:
    day.gateway.restart_session()


IDLE_AT = timedelta(hours=1, minutes=30)
COMPETING_AT, COMPETING_TO = timedelta(hours=3), timedelta(hours=3, minutes=45)
FAILING_AT = timedelta(hours=6)
RESTART_AT = timedelta(hours=8)
MIDNIGHT_AT = timedelta(hours=14)  # 04:00 UTC
MAINTENANCE_AT, MAINTENANCE_TO = timedelta(hours=15), timedelta(hours=15, minutes=10)
FLAPPING_AT = timedelta(hours=20)
EVENTS: dict[timedelta, Callable[[Day], None]] = {
    IDLE_AT: _idle,
    COMPETING_AT: _state("competing"),
    COMPETING_TO: _state("lost"),
    FAILING_AT: _init_fails,
    RESTART_AT: _restart,
    **{FLAPPING_AT + timedelta(minutes=4 * number): _state("lost") for number in range(10)},
}

pytestmark = pytest.mark.slow


def test_no_limit_was_broken_in_any_of_the_day_s_seconds(day: Day) -> None:
    rows = [day.wire[number] for number in sorted(day.wire)]
    assert [row["n"] for row in rows] == list(range(1, rows[-1]["n"] + 1))  # none of the log is missing
    assert len(rows) > 1440
    assert [row for row in rows if row["status"] == 429] == []
    for route, (limit, window_s) in LIMITS.items():
        times = [datetime.fromisoformat(row["t_virtual"]) for row in rows if route in ("", row["route"])]
        assert len(times) > 5
        window = timedelta(seconds=window_s)
        most = max(bisect.bisect_left(times, at + window) - index for index, at in enumerate(times))
        assert most <= limit, f"{route or 'all'}: {most} in {window_s} s"


def test_at_most_six_logins_in_any_hour_and_some_were_needed(day: Day) -> None:
    state = day.gateway.admin("GET", "/admin/session")
    attempts = [datetime.fromisoformat(text) for text in state["attempts"]]
    assert state["login_attempts"] == len(attempts) > 8
    most = max(bisect.bisect_left(attempts, at + timedelta(hours=1)) - index for index, at in enumerate(attempts))
    assert most == 6  # the flapping session asks for more


def test_an_idle_session_and_a_restarted_gateway_are_healed_at_once(day: Day) -> None:
    assert day.ready_after(START + IDLE_AT) <= timedelta(minutes=2)
    assert day.ready_after(START + RESTART_AT) <= timedelta(minutes=2)


def test_a_competing_session_is_not_fought_and_healed_when_it_is_gone(day: Day) -> None:
    first, last = START + COMPETING_AT, START + COMPETING_TO
    assert day.was_ready(first, last) == {False}
    words = day.words_between(first, last)
    assert len(words) == 1
    assert "log it out there" in words.pop()
    assert day.ready_after(last) <= timedelta(minutes=2)
    attempts = day.gateway.admin("GET", "/admin/session")["attempts"]
    assert [text for text in attempts if first <= datetime.fromisoformat(text) < last] == []


def test_inits_that_fail_are_tried_again_further_and_further_apart_until_one_does_not(day: Day) -> None:
    at = START + FAILING_AT
    assert timedelta(minutes=4) < day.ready_after(at) <= timedelta(minutes=10)
    assert any("the next is tried in" in text for text in day.words_between(at, at + timedelta(minutes=10)))


def test_after_the_reset_a_person_is_waited_for_and_then_all_is_well(day: Day) -> None:
    reset, back = START + MIDNIGHT_AT, START + MIDNIGHT_AT + timedelta(seconds=BACK_AFTER_S)
    assert day.was_ready(reset + timedelta(minutes=1), back) == {False}
    before_maintenance = day.words_between(reset, START + MAINTENANCE_AT - timedelta(minutes=1))
    assert {text.split(":")[0] for text in before_maintenance} == {"LoginRequired"}
    assert all("browser" in text for text in before_maintenance)
    assert day.ready_after(back) <= timedelta(minutes=2)
    attempts = day.gateway.admin("GET", "/admin/session")["attempts"]
    assert [text for text in attempts if reset < datetime.fromisoformat(text) < back] == []


def test_the_maintenance_is_waited_out_without_a_login(day: Day) -> None:
    during = day.words_between(START + MAINTENANCE_AT, START + MAINTENANCE_TO - timedelta(minutes=1))
    assert during
    assert all("503" in text for text in during)


def test_a_session_that_comes_and_goes_is_healed_as_far_as_six_an_hour_go(day: Day) -> None:
    flapping = START + FLAPPING_AT
    for number in range(5):
        assert day.ready_after(flapping + timedelta(minutes=4 * number)) <= timedelta(minutes=2)
    assert any("within the hour" in text for text in day.words_between(flapping, flapping + timedelta(hours=1)))
    assert day.ready_after(flapping + timedelta(hours=1, minutes=2)) <= timedelta(minutes=2)


def test_outside_of_what_happened_the_session_was_always_ready(day: Day) -> None:
    spans = [
        (IDLE_AT, timedelta(minutes=2)),
        (COMPETING_AT, COMPETING_TO - COMPETING_AT + timedelta(minutes=2)),
        (FAILING_AT, timedelta(minutes=10)),
        (RESTART_AT, timedelta(minutes=2)),
        (MIDNIGHT_AT, timedelta(seconds=BACK_AFTER_S, minutes=2)),
        (FLAPPING_AT, timedelta(hours=1, minutes=4)),
    ]
    idle = [
        at
        for at, is_ready in day.ready
        if not is_ready and not any(START + begin <= at <= START + begin + length for begin, length in spans)
    ]
    assert idle == []
    assert day.ready[-1][1]
