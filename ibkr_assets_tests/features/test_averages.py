"""Averages with a free window, and when one is greater than the other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.averages import is_greater, sma


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=60), st.integers(1, 60))
@settings(deadline=None)
def test_an_average_is_the_mean_of_its_window(values: list[float], window: int) -> None:
    got = sma(np.array(values), window)
    assert np.isnan(got[: window - 1]).all()
    for t in range(window - 1, len(values)):
        assert got[t] == pytest.approx(math.fsum(values[t - window + 1 : t + 1]) / window, rel=1e-9, abs=1e-7)


def test_a_hole_and_an_empty_window_are_refused() -> None:
    with pytest.raises(DataError, match="hole"):
        sma(np.array([1.0, math.nan, 2.0]), 2)
    with pytest.raises(ValueError, match="at least 1"):
        sma(np.array([1.0]), 0)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (2.0, 1.0, True),
        (1.0, 2.0, False),
        (1.0, 1.0, False),
        (100.0 + 5e-8, 100.0, False),
        (100.0 + 2e-7, 100.0, True),
        (0.1 + 0.2, 0.3, False),
        (math.nan, 1.0, False),
    ],
)
def test_a_tie_is_not_greater(a: float, b: float, expected: bool) -> None:
    assert is_greater(a, b) is expected


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_two_numbers_are_never_each_greater_than_the_other(a: float, b: float) -> None:
    assert not (is_greater(a, b) and is_greater(b, a))
