"""Columns compared: each place as two numbers are, and a position that moves only where its bounds demand it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.features.comparison import follow, greater
from ibkr_assets.features.indicators import compute_indicators, is_greater, sma_of
from ibkr_assets_tests.fakes.tape import real_bars

NUMBERS = st.floats(0.01, 1e6) | st.just(math.nan)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40))
@settings(deadline=None)
def test_columns_are_compared_as_their_numbers_are(pairs: list[tuple[float, float]]) -> None:
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    assert greater(a, b).tolist() == [one - other > 1e-9 * abs(other) for one, other in pairs]
    assert is_greater(a, b).tolist() == greater(a, b).tolist()
    assert is_greater(a, pairs[0][1]).tolist() == [one - pairs[0][1] > 1e-9 * abs(pairs[0][1]) for one, _ in pairs]


BOUNDS = st.sampled_from([(-1, -1), (-1, 0), (-1, 1), (0, 0), (0, 1), (1, 1)])


@given(st.lists(BOUNDS, max_size=30), st.sampled_from([-1, 0, 1]), st.integers(0, 35))
@settings(deadline=None)
def test_a_position_moves_only_as_far_as_its_bounds_demand(
    bounds: list[tuple[int, int]], start: int, free: int
) -> None:
    lowest, highest = (np.array([pair[side] for pair in bounds], dtype=np.int8) for side in (0, 1))
    expected, stand = [], start
    for place, (low, high) in enumerate(bounds):
        if place >= free and not low <= stand <= high:
            stand = low if stand < low else high
        expected.append(stand)
    assert follow(lowest, highest, start, free).tolist() == expected


@pytest.mark.parametrize("window", [1, 2, 7, 20, 50, 600])
def test_a_mean_over_the_newest_bars_has_the_bits_of_the_mean_over_all_of_them(window: int) -> None:
    close = real_bars("MSFT")["close"].to_numpy()[:1500]
    name = f"sma_{window}"
    whole = compute_indicators([sma_of(window)], {"close": close})[name]
    for end in range(window, 1501, 97):
        own = compute_indicators([sma_of(window)], {"close": close[end - window : end]})[name]
        assert own[-1] == whole[end - 1]
        assert own[-1] == pytest.approx(math.fsum(close[end - window : end]) / window, rel=1e-14)
