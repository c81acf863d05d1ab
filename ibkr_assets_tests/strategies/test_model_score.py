"""A model's score: what it is shown, what its number means, and that no bar's score depends on a later one."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.domain.errors import ConfigurationError, DataError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.features.compute import compute_features
from ibkr_assets.strategies.model_score import ScoringModel
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

BARS = real_bars("IBM", start=date(2012, 1, 3), end=date(2012, 12, 31))
HISTORY = BARS.join(compute_features(BARS).drop(columns=["conid", "opened_at"]))
PARAMS = {"model": "m", "features": ["rsi_14", "macd_hist"], "threshold": 0.1, "short": True}
SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}


class Linear:
    """(RSI - 50) / 50, whatever the other feature; notes what it was shown."""

    version, sha256 = 7, "ab" * 32

    def __init__(self, factor: float = 1.0) -> None:
        self.factor, self.shown = factor, []

    def score(self, rows: pd.DataFrame) -> Any:
        self.shown.append(list(rows.columns))
        return self.factor * (rows["rsi_14"].to_numpy() - 50) / 50


def build(model: ScoringModel | None = None, **changes: Any) -> Any:
    asked = model or Linear()
    return build_strategy("model_score", PARAMS | changes, models=lambda name, alias: asked)


def test_directions_are_the_score_against_the_threshold_and_unknown_changes_nothing() -> None:
    expected, held = [], 0
    for rsi, macd in zip(HISTORY["rsi_14"], HISTORY["macd_hist"], strict=True):
        if rsi == rsi and macd == macd:
            score = (rsi - 50) / 50
            held = 1 if score > 0.1 else -1 if score < -0.1 else 0
        expected.append(held)
    got = build().directions(HISTORY).tolist()
    assert got == expected
    assert {-1, 0, 1} == set(got)
    assert -1 not in build(short=False).directions(HISTORY).tolist()


def test_no_direction_depends_on_a_later_bar_and_today_is_decided_as_the_past_was() -> None:
    strategy = build()
    whole = strategy.directions(HISTORY).tolist()
    for end in range(1, len(HISTORY), 11):
        assert strategy.directions(HISTORY.head(end)).tolist() == whole[:end]
        opinion = strategy.decide(HISTORY.head(end).tail(strategy.memory_bars))
        if opinion is not None:
            assert SIGNS[opinion.direction] == whole[end - 1]


def test_an_opinion_names_the_version_and_what_it_was_shown() -> None:
    model = Linear()
    strategy = build(model)
    opinion = strategy.decide(HISTORY)
    assert opinion.numbers["model_version"] == 7
    assert set(opinion.numbers) == {"score", "model_version", "rsi_14", "macd_hist"}
    assert model.shown[0] == ["rsi_14", "macd_hist"]
    assert "version 7 (champion, sha256 abababababab)" in strategy.words


def test_without_a_feature_there_is_no_opinion() -> None:
    assert build().decide(HISTORY.assign(macd_hist=np.nan)) is None


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="model m version 7: its scores are not one number a row"):
        build(Linear(float("nan"))).decide(HISTORY)


def test_a_platform_without_a_registry_builds_it_and_refuses_to_score() -> None:
    strategy = build_strategy("model_score", PARAMS)
    with pytest.raises(ConfigurationError, match="model 'm': no model registry is named"):
        strategy.decide(HISTORY)


def test_features_that_are_not_stored_are_refused() -> None:
    for features in (["rsi_15"], ["rsi_14", "rsi_14"]):
        with pytest.raises(ConfigurationError, match="features must be different ones of"):
            build_strategy("model_score", PARAMS | {"features": features})
