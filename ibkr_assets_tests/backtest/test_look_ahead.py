"""No shipped strategy sees ahead: what it wants after bar t is the same whatever follows, at every t."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.backtest.study import Shared, directions_of
from ibkr_assets.backtest.tape import Tape, tapes_of
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.backtest.bars import Cents, cents, tape_of
from ibkr_assets_tests.backtest.test_backtesting_py import KINDS
from ibkr_assets_tests.fakes.tape import real_bars

SMALL: dict[str, dict[str, Any]] = {
    "sma_cross long": {"fast": 2, "slow": 4}, "sma_cross long/short": {"fast": 2, "slow": 4, "short": True},
    "rsi_reversion long": {"period": 3, "low": 40, "high": 60},
    "rsi_reversion long/short": {"period": 3, "low": 40, "high": 60, "short": True},
    "donchian long": {"entry": 3, "exit": 2}, "donchian long/short": {"entry": 3, "exit": 2, "short": True},
    "sma_bracket long": {"fast": 2, "slow": 4}, "sma_bracket long/short": {"fast": 2, "slow": 4, "short": True},
}  # fmt: skip


def wanted(kind: str, tapes: list[Tape], **params: Any) -> list[list[int]]:
    return [line.tolist() for line in directions_of(build_strategy(kind, params), tapes)]


def test_every_kind_that_is_held_against_another_library_is_looked_at() -> None:
    assert set(SMALL) == set(KINDS)


@pytest.mark.parametrize("named", SMALL)
@given(rows=cents(longest=30))
@settings(deadline=None, max_examples=15)
def test_directions_over_a_shortened_past_are_those_over_the_whole_at_every_bar(named: str, rows: list[Cents]) -> None:
    kind, params = named.split(maxsplit=1)[0], SMALL[named]
    (whole,) = wanted(kind, [tape_of(rows)], **params)
    for end in range(1, len(rows) + 1):
        assert wanted(kind, [tape_of(rows[:end])], **params) == [whole[:end]]


@given(st.lists(cents(longest=24), min_size=2, max_size=3))
@settings(deadline=None, max_examples=15)
def test_a_strategy_that_compares_its_universe_does_not_look_ahead_in_it_either(many: list[list[Cents]]) -> None:
    count = min(len(rows) for rows in many)
    tapes = [tape_of(rows[:count], "ABC"[place], place + 1) for place, rows in enumerate(many)]
    params = {"lookback": 3, "hold": 1}
    whole = wanted("momentum_rank", tapes, **params)
    for end in range(1, count + 1):
        assert wanted("momentum_rank", [tape.cut(0, end) for tape in tapes], **params) == [one[:end] for one in whole]
    assert np.shape(whole) == (len(many), count)


class Momentary:
    """Scores a bar by its own features."""

    version, sha256 = 1, "ab" * 32

    def score(self, rows: pd.DataFrame) -> Any:
        return rows["rsi_14"].to_numpy() - 50 + rows["return_1"].to_numpy()


def test_a_model_is_shown_no_later_bar_by_a_sweep_either() -> None:
    """Features are computed from each shortened past anew, as when the future is not there yet."""
    (tape,) = tapes_of(real_bars("IBM").head(90))
    params = {"features": ["rsi_14", "return_1"], "threshold": 5, "short": True}
    strategy = build_strategy("model_score", params, models=lambda _name, _alias: Momentary())
    (whole,) = (line.tolist() for line in directions_of(strategy, [tape], Shared([tape])))
    assert set(whole) == {-1, 0, 1}
    for end in range(1, len(tape) + 1, 3):
        cut = [tape.cut(0, end)]
        assert directions_of(strategy, cut, Shared(cut))[0].tolist() == whole[:end]
