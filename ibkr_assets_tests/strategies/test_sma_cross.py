"""The crossing of two averages, against the definition written out by hand and on real prices."""

from datetime import date
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars


def closes(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"close": [float(v) for v in values]})


def direction(history: pd.DataFrame, **params: object) -> Direction | None:
    opinion = build_strategy("sma_cross", {"fast": 2, "slow": 4, **params}).decide(history)
    return None if opinion is None else opinion.direction


def test_long_while_the_fast_average_is_above_the_slow_one() -> None:
    assert direction(closes(10, 10, 10, 11)) is Direction.LONG


@pytest.mark.parametrize(("short", "expected"), [(False, Direction.FLAT), (True, Direction.SHORT)])
def test_below_is_flat_or_short(short: bool, expected: Direction) -> None:
    assert direction(closes(10, 10, 10, 9), short=short) is expected


@pytest.mark.parametrize(("short", "expected"), [(False, Direction.FLAT), (True, Direction.SHORT)])
def test_a_tie_is_not_above(short: bool, expected: Direction) -> None:
    assert direction(closes(10, 10, 10, 10), short=short) is expected
    assert direction(closes(9, 11, 9, 11), short=short) is expected
    assert direction(closes(0.1, 0.2, 0.2, 0.1), short=short) is expected


def test_too_few_bars_are_no_opinion() -> None:
    assert direction(closes(10, 10, 11)) is None
    assert direction(closes()) is None


def test_the_opinion_says_why() -> None:
    opinion = build_strategy("sma_cross", {"fast": 2, "slow": 4}).decide(closes(10, 10, 10, 11))
    assert opinion is not None
    assert opinion.reason == "SMA(2) 10.5000 is above SMA(4) 10.2500"
    assert opinion.strength == 1.0


def test_it_needs_one_slow_window_and_no_feature() -> None:
    strategy = build_strategy("sma_cross", {"fast": 20, "slow": 100})
    assert strategy.warm_up_bars == 100
    assert strategy.features == ()


def test_closes_of_text_and_holes_are_refused() -> None:
    with pytest.raises(DataError, match="'close'"):
        direction(pd.DataFrame({"close": ["1", "2", "3", "4"]}))
    with pytest.raises(DataError, match="hole"):
        direction(closes(1, float("nan"), 3, 4))


CENTS = st.lists(st.integers(100, 500_000), min_size=1, max_size=40)


@given(CENTS, st.integers(1, 10), st.integers(1, 10))
@settings(deadline=None)
def test_it_agrees_with_exact_arithmetic(cents: list[int], fast: int, more: int) -> None:
    slow = fast + more
    got = direction(closes(*(c / 100 for c in cents)), fast=fast, slow=slow)
    if len(cents) < slow:
        assert got is None
        return
    difference = Fraction(sum(cents[-fast:]), fast) - Fraction(sum(cents[-slow:]), slow)
    assert got is (Direction.LONG if difference > 0 else Direction.FLAT)


@pytest.mark.parametrize("params", [{"fast": 5, "slow": 20}, {"fast": 1, "slow": 2, "short": True}])
def test_the_past_before_the_window_and_the_future_change_nothing(params: dict[str, object]) -> None:
    bars = real_bars("AAPL", start=date(2012, 1, 3))
    strategy = build_strategy("sma_cross", params)
    for end in range(strategy.warm_up_bars, len(bars), 7):
        whole = strategy.decide(bars.head(end))
        assert whole == strategy.decide(bars.head(end).tail(strategy.warm_up_bars))
        assert whole is not None
