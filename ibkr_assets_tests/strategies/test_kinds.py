"""Every shipped kind: its rule written out bar by bar, no look-ahead, and the same answer today as over the past."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.registry import KINDS, build_strategy
from ibkr_assets_tests.fakes.tape import real_bars
from ibkr_assets_tests.features import recurrences

BARS = real_bars("AAPL").head(600)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("sma_cross", {"fast": 5, "slow": 20}),
    ("sma_cross", {"fast": 3, "slow": 9, "short": True}),
    ("sma_bracket", {"fast": 5, "slow": 20, "stop_pct": 2, "target_pct": 4.5}),
    ("rsi_reversion", {"period": 6, "low": 30, "high": 65}),
    ("rsi_reversion", {"period": 3, "low": 20, "high": 80, "short": True}),
    ("donchian", {"entry": 20, "exit": 10}),
    ("donchian", {"entry": 10, "exit": 5, "short": True}),
    ("donchian", {"entry": 5, "exit": 12, "short": True}),
]
SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}


def is_above(a: float, b: float) -> bool:
    return a - b > 1e-9 * abs(b)


def sma_cross(bars: pd.DataFrame, *, fast: int, slow: int, short: bool = False, **_: float) -> Iterator[int]:
    close = bars["close"].tolist()
    for a, b in zip(recurrences.sma(close, fast), recurrences.sma(close, slow), strict=True):
        yield 0 if a is None or b is None else 1 if is_above(a, b) else -1 if short else 0


def rsi_reversion(bars: pd.DataFrame, *, period: int, low: float, high: float, short: bool = False) -> Iterator[int]:
    held = 0
    for rsi in recurrences.rsi(bars["close"].tolist(), period):
        if rsi is not None and is_above(low, rsi):
            held = 1
        elif rsi is not None and is_above(rsi, high):
            held = -1 if short else 0
        yield held


def donchian(bars: pd.DataFrame, *, entry: int, exit: int, short: bool = False) -> Iterator[int]:  # noqa: A002
    high, low, close = (bars[name].tolist() for name in ("high", "low", "close"))
    held = 0
    for t in range(len(close)):
        if t >= max(entry, exit):
            if is_above(close[t], max(high[t - entry : t])):
                held = 1
            elif short and is_above(min(low[t - entry : t]), close[t]):
                held = -1
            elif (held == 1 and is_above(min(low[t - exit : t]), close[t])) or (
                held == -1 and is_above(close[t], max(high[t - exit : t]))
            ):
                held = 0
        yield held


RULES: dict[str, Callable[..., Iterator[int]]] = {
    "sma_cross": sma_cross, "sma_bracket": sma_cross, "rsi_reversion": rsi_reversion, "donchian": donchian,
}  # fmt: skip


def test_every_shipped_kind_is_tested_here() -> None:
    elsewhere = {"llm_analyst", "momentum_rank", "model_score"}  # in modules of their own
    assert {kind for kind, _ in CASES} == set(RULES) == set(KINDS) - elsewhere


@pytest.mark.parametrize(("kind", "params"), CASES)
def test_a_kind_is_its_rule_written_out_bar_by_bar(kind: str, params: dict[str, Any]) -> None:
    got = build_strategy(kind, params).directions(BARS).tolist()
    assert got == list(RULES[kind](BARS, **params))
    assert (-1 in got) is bool(params.get("short"))
    assert len(list(itertools.groupby(got))) > 8, "too few changes to prove anything"


CENTS = st.lists(st.integers(900, 1100), min_size=1, max_size=120)


@given(CENTS, st.sampled_from(CASES))
@settings(deadline=None, max_examples=200)
def test_a_kind_is_its_rule_on_prices_full_of_ties(cents: list[int], case: tuple[str, dict[str, Any]]) -> None:
    kind, params = case
    closes = [c // 20 * 20 / 100 for c in cents]
    bars = pd.DataFrame({"open": closes, "high": closes, "low": closes, "close": closes})
    assert build_strategy(kind, params).directions(bars).tolist() == list(RULES[kind](bars, **params))


@pytest.mark.parametrize(("kind", "params"), CASES)
def test_no_direction_depends_on_a_later_bar(kind: str, params: dict[str, Any]) -> None:
    strategy = build_strategy(kind, params)
    whole = strategy.directions(BARS).tolist()
    for end in range(0, len(BARS) + 1, 13):
        assert strategy.directions(BARS.head(end)).tolist() == whole[:end]


@pytest.mark.parametrize(("kind", "params"), CASES)
def test_today_is_decided_as_the_past_was(kind: str, params: dict[str, Any]) -> None:
    """Asked at any bar, the opinion is the direction over the whole past; where there is none, nothing changes."""
    strategy = build_strategy(kind, params)
    whole, opinions = strategy.directions(BARS).tolist(), 0
    for end in range(1, len(BARS) + 1, 3):
        shown = BARS.iloc[max(0, end - strategy.memory_bars) : end].reset_index(drop=True)
        opinion = strategy.decide(shown)
        if opinion is not None:
            assert SIGNS[opinion.direction] == whole[end - 1]
            assert opinion.reason
            opinions += 1
        elif end >= strategy.warm_up_bars and end > 1:
            assert whole[end - 1] == whole[end - 2]
    assert opinions > 40


@pytest.mark.parametrize(("kind", "params"), CASES)
def test_before_the_warm_up_is_full_there_is_no_opinion_and_from_then_on_there_may_be(
    kind: str, params: dict[str, Any]
) -> None:
    strategy = build_strategy(kind, params)
    assert strategy.decide(BARS.head(strategy.warm_up_bars - 1)) is None
    assert not strategy.directions(BARS)[: strategy.warm_up_bars - 1].any()
    starts = range(0, len(BARS) - strategy.warm_up_bars, 5)
    windows = (BARS.iloc[start : start + strategy.warm_up_bars].reset_index(drop=True) for start in starts)
    assert any(strategy.decide(window) is not None for window in windows)


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("rsi_reversion", {"low": 70, "high": 30}, "high must be greater than low, got low 70 and high 30"),
        ("rsi_reversion", {"period": 1}, "period: .*got 1"),
        ("donchian", {"entry": 1}, "entry: .*got 1"),
        ("sma_bracket", {"stop_pct": 0}, "stop_pct: .*got 0"),
        ("sma_bracket", {"fast": 30, "slow": 10}, "slow must be greater"),
    ],
)
def test_wrong_parameters_are_named(kind: str, params: dict[str, Any], words: str) -> None:
    from ibkr_assets.domain.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=words):
        build_strategy(kind, params)


@pytest.mark.parametrize(("kind", "params"), CASES)
def test_the_words_of_a_rule_name_every_number_and_a_last_opinion_carries_what_it_compared(
    kind: str, params: dict[str, Any]
) -> None:
    strategy = build_strategy(kind, params)
    for value in params.values():
        assert (str(value) if value is not True else "short") in strategy.words
    ends = (BARS.head(length) for length in range(len(BARS), strategy.warm_up_bars, -1))
    opinion = next(found for bars in ends if (found := strategy.decide(bars)) is not None)
    assert {"close", *(feature.name for feature in strategy.indicators)} <= set(opinion.numbers)
