"""Finding the session of an instant agrees with a binary search, wherever it is looked for first."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.grid import is_ordered, moments
from ibkr_assets.market.places import find_places
from ibkr_assets.market.scan import session_of

DAY_NS = 86_400_000_000_000


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=30, unique=True).map(sorted),
    st.integers(-25, 25),
    st.integers(0, 29),
)
def test_the_session_of_an_instant_is_found_from_any_place(opens: list[int], at: int, near: int) -> None:
    before = [place for place, moment in enumerate(opens) if moment <= at]
    found = session_of(np.array(opens, dtype=np.int64), at, min(near, len(opens) - 1))
    assert found == (before[-1] if before else 0)


@pytest.mark.parametrize("mic", ["XNYS", "XTKS", "XASX"])
def test_a_daily_bar_starts_when_its_session_opens_and_is_over_when_it_closes(mic: str) -> None:
    """Sydney opens on the evening before, by UTC."""
    calendar = exchange_calendar(mic)
    sessions = calendar.sessions(date(2012, 1, 1), date(2013, 12, 31))
    for some in (sessions, sessions[7:8]):
        opens = moments(session.opens_at for session in some)
        is_inside, ends = find_places(np.concatenate([opens, opens + 1, opens[::-1]]), calendar, BarSize.DAY)
        assert is_inside.tolist() == [True] * len(some) + [False] * len(some) + [True] * len(some)
        closes = moments(session.closes_at for session in some)
        assert ends.tolist() == [*closes, *(opens + 1 + DAY_NS), *closes[::-1]]


def test_of_no_session_is_what_has_no_instant_and_what_lies_outside_of_the_calendar() -> None:
    nowhen = np.iinfo(np.int64).min
    for far in ([], [nowhen], [nowhen, 0], [-(2**61), 2**62]):
        is_inside, _ = find_places(np.array(far, dtype=np.int64), exchange_calendar("XNYS"), BarSize.MINUTE)
        assert is_inside.tolist() == [False] * len(far)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=6))
def test_rows_are_in_order_when_sorting_them_without_copies_changes_nothing(rows: list[tuple[int, int]]) -> None:
    conids, opened_at = (np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1))
    assert is_ordered(conids, opened_at) == (rows == sorted(set(rows)))


def test_moments_are_nanoseconds_since_1970() -> None:
    assert moments([datetime(1970, 1, 2, tzinfo=UTC), datetime(2012, 10, 1, 13, 30, tzinfo=UTC)]).tolist() == [
        DAY_NS, 1_349_098_200_000_000_000,
    ]  # fmt: skip
