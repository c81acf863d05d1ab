"""A submitter that dies anywhere, and answers that go wrong: the broker has each order once, and the ledger agrees.

Real processes on both sides. Each case has a gateway, a database and a submitter of its own; they mostly wait for
IBKR's pacing, so several run at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.execution.crashpoints import CRASH_POINTS
from ibkr_assets_tests.execution.processes import Case, run_case

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

AT_ONCE = 6


def hide_executions(case: Case) -> None:
    """The next list of executions lacks what the market's opening fills, so that an order's status tells of it first.

    Otherwise it depends on which of both is asked for first.
    """
    case.gateway.arm_fault("F30", times=1)


LOST = ({"id": "F1", "nth": 1},)
DROPPED = ({"id": "F2", "nth": 1},)
#: Points that no ordinary day passes, each with what makes it pass: faults of the gateway, or another kind of day.
PASSED_BY: dict[str, dict[str, Any]] = {
    "doubt.observed": {"faults": DROPPED},
    "doubt.ended": {"faults": DROPPED},
    "doubt.adopting": {"faults": LOST},
    "doubt.adopted": {"faults": LOST},
    "send.not_sent": {"trouble": "rehearse"},
    "expire.done": {"trouble": "expire"},
    "watch.status": {"during": hide_executions},
    "cancel.begun": {"trouble": "kill_cancel"},
    "cancel.answered": {"trouble": "kill_cancel"},
}
PLACING = ["submit", "reply"]
FAULTS: dict[str, dict[str, Any]] = {
    "no answer to an accepted order": {"faults": LOST},
    "no answer, thrice": {"faults": ({"id": "F1", "nth": 1, "times": 3},)},
    "a request that never arrived": {"faults": DROPPED},
    "503 after booking": {"faults": ({"id": "F5", "booked": True},)},
    "503 without booking": {"faults": ({"id": "F5", "booked": False},)},
    "a page instead of an answer": {"faults": ({"id": "F8", "routes": PLACING},)},
    "an empty answer after booking": {"faults": ({"id": "F10", "booked": True},)},
    "an empty answer": {"faults": ({"id": "F10", "booked": False},)},
    "401 to an order": {"faults": ({"id": "F21", "routes": PLACING},)},
    "lists that are fake-empty": {"faults": (*LOST, {"id": "F28", "times": 2}, {"id": "F30", "times": 2})},
}


def run_all(postgres_server: Any, template: str, directory: Path, cases: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Run every case; returns what went wrong by name."""
    chosen = os.environ.get("ONLY_CASES", "").split(",") if os.environ.get("ONLY_CASES") else list(cases)
    names = {title: f"case_{number}" for number, title in enumerate(cases)}

    def run(title: str) -> None:
        run_case(postgres_server, template, directory, names[title], **cases[title])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {title: pool.submit(run, title) for title in chosen}
    return {title: repr(error) for title, case in running.items() if (error := case.exception()) is not None}


@pytest.fixture
def template(_template) -> str:
    """The name of a database at the newest schema."""
    return str(_template)


def test_whatever_point_the_submitter_dies_at_each_order_is_placed_once(postgres_server, template, tmp_path):
    cases = {point: {"point": point, **PASSED_BY.get(point, {})} for point in CRASH_POINTS}
    assert run_all(postgres_server, template, tmp_path, cases) == {}


def test_whatever_answer_goes_wrong_each_order_is_placed_once(postgres_server, template, tmp_path):
    def restart(case: Case) -> None:
        case.gateway.restart_session()

    def lose(case: Case) -> None:
        case.gateway.set_session("lost")

    happenings: dict[str, Callable[[Case], None]] = {"the gateway restarts": restart, "the session is lost": lose}
    cases = FAULTS | {title: {"during": during} for title, during in happenings.items()}
    assert run_all(postgres_server, template, tmp_path, cases) == {}
