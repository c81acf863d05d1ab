"""The limiter against a count done another way: every window of the limit's length, not only those it keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.simulator.pacing import ROUTE_LIMITS, Pacer

PENALTY_S = 30.0


def is_crowded(times: list[float], limit: int, window_s: float) -> bool:
    """True when some half-open window of this length holds more requests than the limit."""
    return any(sum(1 for other in times if t <= other < t + window_s) > limit for t in times)


@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=60).map(sorted))
def test_a_request_is_refused_exactly_when_some_second_would_hold_eleven(milliseconds: list[int]) -> None:
    pacer = Pacer(1.0, PENALTY_S)
    admitted: list[float] = []
    for ms in milliseconds:
        t = ms / 1024  # binary fractions, so that sums are exact
        is_too_many = is_crowded([*admitted, t], 10, 1.0)
        assert pacer.admits("stocks", t) is not is_too_many
        if is_too_many:
            assert pacer.breaches == {"all": 1}
            return
        admitted.append(t)
    assert pacer.breaches == {}
    assert pacer.most["all"] == max(sum(1 for o in admitted if t <= o < t + 1) for t in admitted)


@pytest.mark.parametrize("route", sorted(ROUTE_LIMITS))
def test_each_route_keeps_its_own_limit_and_others_go_on(route: str) -> None:
    limit, window_s = ROUTE_LIMITS[route]
    pacer = Pacer(1.0, PENALTY_S)
    if limit == 1:
        assert pacer.admits(route, 100.0)
        assert pacer.admits("stocks", 100.0)
        assert pacer.admits(route, 100.0 + window_s)
        assert not pacer.admits(route, 100.0 + 2 * window_s - 0.001)
        assert pacer.breaches == {route: 1}


def test_the_penalty_box_is_shut_for_everybody_and_opens_by_itself() -> None:
    pacer = Pacer(1.0, PENALTY_S)
    assert pacer.admits("tickle", 0.0)
    assert not pacer.admits("tickle", 0.5)
    assert not pacer.admits("stocks", 0.5 + PENALTY_S - 0.001)
    assert pacer.admits("tickle", 0.5 + PENALTY_S)


def test_a_faster_pace_shortens_every_window() -> None:
    pacer = Pacer(10.0, PENALTY_S)
    assert pacer.admits("orders", 0.0)
    assert pacer.admits("orders", 0.5)
    assert not pacer.admits("orders", 0.9)
