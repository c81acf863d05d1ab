"""Indicators with free parameters, and when one is greater than the other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.indicators import (
    compute_indicators,
    highest_of,
    is_greater,
    lowest_of,
    rsi_of,
    sma_of,
)
from ibkr_assets_tests.features import recurrences

PRICES = st.lists(st.floats(0.01, 1e5), min_size=1, max_size=60)


def same(got: np.ndarray, expected: recurrences.Series) -> None:
    assert [None if math.isnan(value) else value for value in got] == [
        None if value is None else pytest.approx(value, rel=1e-9, abs=1e-7) for value in expected
    ]


@given(PRICES, st.integers(1, 60))
@settings(deadline=None)
def test_an_average_is_the_mean_of_its_window(values: list[float], window: int) -> None:
    got = compute_indicators([sma_of(window)], {"close": np.array(values)})
    same(got[f"sma_{window}"], recurrences.sma(values, window))


@given(PRICES, st.integers(2, 60))
@settings(deadline=None)
def test_extremes_are_of_their_window(values: list[float], window: int) -> None:
    columns = {"high": np.array(values), "low": np.array(values)}
    got = compute_indicators([highest_of(window), lowest_of(window)], columns)
    ends = range(window - 1, len(values))
    nothing: recurrences.Series = [None] * min(window - 1, len(values))
    same(got[f"highest_{window}"], nothing + [max(values[t - window + 1 : t + 1]) for t in ends])
    same(got[f"lowest_{window}"], nothing + [min(values[t - window + 1 : t + 1]) for t in ends])


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=60), st.integers(2, 30))
@settings(deadline=None)
def test_strength_is_of_averages_that_start_from_a_simple_mean(cents: list[int], period: int) -> None:
    values = [c / 100 for c in cents]
    same(
        compute_indicators([rsi_of(period)], {"close": np.array(values)})[f"rsi_{period}"],
        recurrences.rsi(values, period),
    )


def test_a_hole_is_refused() -> None:
    with pytest.raises(DataError, match=r"'close'.*hole"):
        compute_indicators([sma_of(2)], {"close": np.array([1.0, math.nan, 2.0])})


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
