"""Finding the session of an instant by a table of days agrees with a binary search, whatever the openings are."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.grid import last_opened, moments

DAY_NS = 86_400_000_000_000
INSTANTS = st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20)


def searched(opens: np.ndarray, instants: np.ndarray) -> list[int]:
    """By bisection."""
    found: list[int] = np.clip(np.searchsorted(opens, instants, side="right") - 1, 0, None).tolist()
    return found


@given(
    st.lists(st.integers(-20 * DAY_NS, 20 * DAY_NS), min_size=1, max_size=30, unique=True),
    st.lists(st.integers(-25 * DAY_NS, 25 * DAY_NS), max_size=30),
    INSTANTS,
)
def test_any_openings_even_several_a_day(opens: list[int], near: list[int], far: list[int]) -> None:
    opened = np.array(sorted(opens), dtype=np.int64)
    around = [value + step for value in opens for step in (-1, 0, 1)]
    instants = np.array([*near, *far, *around], dtype=np.int64)
    assert last_opened(opened, instants).tolist() == searched(opened, instants)


@pytest.mark.parametrize("mic", ["XNYS", "XTKS", "XASX"])
def test_the_sessions_of_an_exchange(mic: str) -> None:
    calendar = exchange_calendar(mic)
    opens = moments(session.opens_at for session in calendar.sessions(calendar.first_day, calendar.last_day))
    instants = np.concatenate([opens - 1, opens, opens + 1, opens + DAY_NS // 2, [np.iinfo(np.int64).min]])
    assert last_opened(opens, instants).tolist() == searched(opens, instants)


def test_moments_are_nanoseconds_since_1970() -> None:
    assert moments([datetime(1970, 1, 2, tzinfo=UTC), datetime(2012, 10, 1, 13, 30, tzinfo=UTC)]).tolist() == [
        DAY_NS, 1_349_098_200_000_000_000,
    ]  # fmt: skip
