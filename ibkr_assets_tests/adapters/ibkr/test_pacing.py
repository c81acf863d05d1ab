"""The limits hold in every window, are almost reached, and are shared by processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.ibkr.pacing import HISTORY_SLOTS, LONGEST_PENALTY_S, Limiter, PacedOut
from ibkr_assets.adapters.ibkr.pacing_state import FileState, MemoryState
from ibkr_assets.domain.errors import ConfigurationError, ShutOut
from ibkr_assets_tests.adapters.ibkr.raw_server import HandClock


def most_in_a_window(times: list[float], window_s: float) -> int:
    """The independent count: for each instant, how many lie in the half-open window that begins there."""
    return max((sum(start <= t < start + window_s for t in times) for start in times), default=0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 0.7), st.floats(0, 0.02)), min_size=1, max_size=60))
def test_no_second_ever_holds_more_than_ten(steps: list[tuple[float, float]]) -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    sent = []
    for pause_s, late_s in steps:
        clock.sleep(pause_s if pause_s > 0.5 else 0.0)
        with limiter.permit("GET", "x", max_wait_s=30) as permit:
            clock.sleep(late_s)  # a connection is opened first, say
            permit.sent()
            sent.append(clock())
    assert most_in_a_window(sent, 1.0) <= 10


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["iserver/account/orders", "iserver/account/trades", "tickle"]), max_size=20))
def test_lists_come_once_in_five_seconds_and_tickles_once_a_second(paths: list[str]) -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    sent: dict[str, list[float]] = {}
    for path in paths:
        with limiter.permit("GET", path, max_wait_s=30) as permit:
            permit.sent()
            sent.setdefault(path, []).append(clock())
    for path, times in sent.items():
        assert most_in_a_window(times, 1.0 if path == "tickle" else 5.0) <= 1


def test_the_rate_that_is_allowed_is_almost_reached() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    began = clock()
    for _ in range(1000):
        with limiter.permit("GET", "x", max_wait_s=30) as permit:
            permit.sent()
    rate = 1000 / (clock() - began)
    assert 0.95 * 10 <= rate <= 10.2  # the first ten leave at once


def test_an_order_is_not_held_up_by_the_limit_of_the_order_list() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    for _ in range(5):
        with limiter.permit("POST", "iserver/account/DU1/orders", max_wait_s=0.5):
            pass
    assert clock() == 1000.0


def test_threads_together_keep_the_limit() -> None:
    limiter = Limiter(MemoryState())
    sent: list[float] = []

    def work() -> None:
        for _ in range(4):
            with limiter.permit("GET", "x", max_wait_s=30) as permit:
                permit.sent()
                sent.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 32
    assert most_in_a_window(sent, 1.0) <= 10
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("is_shared", [False, True])
def test_at_most_five_history_requests_are_open(is_shared: bool, tmp_path: Path) -> None:
    limiter = Limiter(FileState("u", tmp_path) if is_shared else None)
    lock = threading.Lock()
    is_open, most = 0, 0

    def work() -> None:
        nonlocal is_open, most
        with limiter.permit("GET", "iserver/marketdata/history", max_wait_s=30):
            with lock:
                is_open += 1
                most = max(most, is_open)
            time.sleep(0.1)
            with lock:
                is_open -= 1

    threads = [threading.Thread(target=work) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == HISTORY_SLOTS


def test_two_processes_share_one_limit(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from ibkr_assets.adapters.ibkr.pacing import Limiter\n"
        "from ibkr_assets.adapters.ibkr.pacing_state import FileState\n"
        "limiter = Limiter(FileState('u', Path(sys.argv[1])))\n"
        "for _ in range(12):\n"
        "    with limiter.permit('GET', 'x', max_wait_s=30) as permit:\n"
        "        permit.sent()\n"
        "        print(time.monotonic(), flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    times = [float(line) for process in both for line in process.communicate(timeout=60)[0].split()]
    assert len(times) == 24
    assert most_in_a_window(times, 1.0) <= 10


def test_a_wait_that_is_too_long_is_refused_and_leaves_no_trace() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    with limiter.permit("GET", "iserver/account/orders", max_wait_s=0):
        pass
    for _ in range(3):
        with pytest.raises(PacedOut, match="orders"), limiter.permit("GET", "iserver/account/orders", max_wait_s=2):
            pass
    clock.sleep(5.1)
    with limiter.permit("GET", "iserver/account/orders", max_wait_s=0):
        pass


def test_a_penalty_grows_with_each_429_that_follows_and_is_bounded() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep, first_penalty_s=60)
    waited = []
    for _ in range(7):
        limiter.penalise()
        limiter.penalise()  # a second request that was under way adds nothing
        began = clock()
        while True:
            try:
                with limiter.permit("GET", "x", max_wait_s=1):
                    break
            except PacedOut:
                clock.sleep(1)
        waited.append(clock() - began)
    assert waited[:4] == [60, 120, 240, 480]
    assert waited[-1] == LONGEST_PENALTY_S
    limiter.forgive()
    limiter.penalise()
    clock.sleep(60.1)
    with limiter.permit("GET", "x", max_wait_s=1):
        pass


def test_six_logins_an_hour_and_not_one_more() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)

    def login() -> None:
        with limiter.permit("POST", "iserver/auth/ssodh/init", max_wait_s=10):
            pass

    for _ in range(6):
        login()
    with pytest.raises(PacedOut):
        login()
    clock.sleep(3600)
    login()


def test_the_age_of_the_keep_alive_is_known_to_every_process(tmp_path: Path) -> None:
    clock = HandClock()
    mine, other = (Limiter(FileState("u", tmp_path), clock=clock, sleep=clock.sleep) for _ in range(2))
    assert other.alive_age_s() is None
    mine.note_alive()
    clock.sleep(61)
    assert other.alive_age_s() == 61
    clock.now = 5.0  # the machine was started anew
    assert other.alive_age_s() is None


def test_a_state_file_that_was_cut_short_is_started_afresh(tmp_path: Path) -> None:
    state = FileState("u", tmp_path)
    with Limiter(state).permit("GET", "x", max_wait_s=1):
        pass
    (file,) = tmp_path.glob("pacing-*.json")
    file.write_text(file.read_text()[:10])
    with Limiter(state).permit("GET", "x", max_wait_s=1):
        pass


def test_stamps_of_before_a_restart_of_the_machine_do_not_block(tmp_path: Path) -> None:
    late, early = HandClock(), HandClock()
    late.now, early.now = 1e6, 5.0
    before = Limiter(FileState("u", tmp_path), clock=late, sleep=late.sleep)
    with before.permit("GET", "iserver/account/orders", max_wait_s=1):
        pass
    before.penalise()
    after = Limiter(FileState("u", tmp_path), clock=early, sleep=early.sleep)
    with after.permit("GET", "iserver/account/orders", max_wait_s=1):
        pass
    assert early() == 5.0


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="another user"):
        FileState("u", tmp_path / "open")


def test_in_the_silence_after_a_429_one_look_a_minute_may_leave_and_a_good_answer_ends_it() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    limiter.penalise()
    probes = []
    for second in range(1, 301):
        clock.sleep(1)
        with pytest.raises(ShutOut), limiter.permit("GET", "x", max_wait_s=5):
            pass
        with suppress(ShutOut), limiter.permit("POST", "iserver/auth/status", max_wait_s=5) as permit:
            assert permit.is_probe
            probes.append(second)
    assert probes == [60, 120, 180, 240, 300]
    limiter.forgive(is_probe=True)
    with limiter.permit("GET", "x", max_wait_s=0) as permit:
        assert not permit.is_probe


def test_after_a_429_nothing_else_leaves_for_a_quarter_of_an_hour() -> None:
    clock = HandClock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    limiter.penalise()
    clock.sleep(899)
    with pytest.raises(ShutOut), limiter.permit("GET", "x", max_wait_s=0):
        pass
    clock.sleep(1.1)
    with limiter.permit("GET", "x", max_wait_s=0):
        pass
