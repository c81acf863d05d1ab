"""What answers may do to a rule's opinion: make it smaller or prevent it, and nothing more unless the owner says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.analysis import Abstention, AbstentionCode, Answer, Answered, Question
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.features.compute import compute_features
from ibkr_assets.strategies.llm_analyst import review
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets.strategies.strategy import Opinion
from ibkr_assets_tests.fakes.tape import real_bars

BARS = real_bars("IBM", start=date(2012, 1, 3), end=date(2012, 12, 31))
HISTORY = BARS.join(compute_features(BARS).drop(columns=["conid", "opened_at"]))
RULE = {"kind": "sma_cross", "params": {"fast": 5, "slow": 20}}
AGREES = Answer(Direction.LONG, 0.5, 0.6, 5, "It rises.", ("rsi_14",))
SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}


class Says:
    """An analyst that always says the same, and notes what it was asked."""

    def __init__(self, *said: Answer, abstains: Abstention | None = None, sees_charts: bool = False) -> None:
        self.said, self.abstains, self.sees_charts = said, abstains, sees_charts
        self.asked: list[Question] = []

    def ask(self, question: Question) -> tuple[Answered, ...] | Abstention:
        self.asked.append(question)
        return self.abstains or tuple(Answered(answer, number + 7) for number, answer in enumerate(self.said))


def build(analyst: Any, **changes: Any) -> Any:
    return build_strategy("llm_analyst", {"of": RULE} | changes, analyst=analyst)


def ends(strategy: Any, wanted: Direction) -> list[pd.DataFrame]:
    """Histories at whose end the rule alone wants this."""
    rule = build_strategy(RULE["kind"], RULE["params"])
    found = [HISTORY.iloc[max(0, end - strategy.memory_bars) : end].reset_index(drop=True) for end in range(80, 250, 3)]
    return [history for history in found if rule.decide(history).direction is wanted]


@given(
    st.sampled_from(list(Direction)), st.floats(0, 1),
    st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9),
)  # fmt: skip
def test_no_answers_make_a_position_larger_turn_it_round_or_open_one(
    wanted: Direction, strength: float, said: list[tuple[int, float, float]]
) -> None:
    words = {-1: Direction.SHORT, 0: Direction.FLAT, 1: Direction.LONG}
    answered = tuple(
        Answered(Answer(words[sign], sign * firm, sure, 1, "so", ("a",)), number)
        for number, (sign, firm, sure) in enumerate(said)
    )
    found = review(Opinion(wanted, strength, "rule"), answered, may_open=False)
    if isinstance(found, Abstention):
        return
    signed, own = (SIGNS[one.direction] * one.strength for one in (found, Opinion(wanted, strength, "")))
    assert min(own, 0) <= signed <= max(own, 0)
    assert abs(signed) <= 0.8 * abs(own)


def test_an_answer_that_agrees_shrinks_by_strength_confidence_and_agreement() -> None:
    three = tuple(Answered(answer, n) for n, answer in enumerate((AGREES, replace(AGREES, confidence=1.0), replace(
        AGREES, direction=Direction.FLAT, strength=0.0))))  # fmt: skip
    found = review(Opinion(Direction.LONG, 1.0, "rule"), three, may_open=False)
    assert isinstance(found, Opinion)
    assert found.strength == pytest.approx(0.5 * 0.6 * 2 / 3)
    assert found.numbers == {
        "analyst_strength": 0.5, "analyst_confidence": 0.6, "agreement": pytest.approx(2 / 3), "samples": 3.0,
        "llm_call_0": 0.0, "llm_call_1": 1.0, "llm_call_2": 2.0,
    }  # fmt: skip
    sure = review(Opinion(Direction.LONG, 1.0, "r"), (Answered(replace(AGREES, confidence=1.0), 1),), may_open=False)
    assert isinstance(sure, Opinion)
    assert sure.strength == pytest.approx(0.5 * 0.8), "confidence counts for 0.8 at most"


def test_answers_that_are_divided_are_an_abstention() -> None:
    two = (Answered(AGREES, 1), Answered(replace(AGREES, direction=Direction.SHORT, strength=-0.5), 2))
    found = review(Opinion(Direction.LONG, 1.0, "rule"), two, may_open=False)
    assert isinstance(found, Abstention)
    assert found.code is AbstentionCode.NO_AGREEMENT


@pytest.mark.parametrize("direction", [Direction.SHORT, Direction.FLAT])
def test_an_answer_that_disagrees_is_a_veto(direction: Direction) -> None:
    analyst = Says(replace(AGREES, direction=direction, strength=-0.9 if direction is Direction.SHORT else 0.0))
    strategy = build(analyst)
    for history in ends(strategy, Direction.LONG):
        assert strategy.decide(history).direction is Direction.FLAT


def test_a_rule_that_is_flat_is_passed_through_without_a_question() -> None:
    analyst = Says(AGREES)
    strategy = build(analyst)
    flat = ends(strategy, Direction.FLAT)
    assert len(flat) > 10
    assert {strategy.decide(history).direction for history in flat} == {Direction.FLAT}
    assert analyst.asked == []


def test_only_the_owner_lets_answers_open_a_position() -> None:
    analyst = Says(AGREES)
    strategy = build(analyst, may_open=True)
    (history, *_) = ends(strategy, Direction.FLAT)
    found = strategy.decide(history)
    assert (found.direction, found.strength) == (Direction.LONG, pytest.approx(0.3))


def test_an_abstention_and_no_analyst_at_all_are_no_opinion_with_a_reason() -> None:
    silent = build(Says(abstains=Abstention(AbstentionCode.TIMEOUT, "no answer in 30 s")))
    (history, *_) = ends(silent, Direction.LONG)
    assert silent.decide(history).reason == "the analyst abstains (timeout): no answer in 30 s"
    nobody = build(None).decide(history)
    assert nobody.code is AbstentionCode.NOT_CONFIGURED


def test_what_is_asked_names_no_instrument_no_day_and_no_money() -> None:
    analyst = Says(AGREES, sees_charts=True)
    strategy = build(analyst, features=["rsi_14"])
    (history, *_) = ends(strategy, Direction.LONG)
    strategy.decide(history)
    (question,) = analyst.asked
    closes = history["close"].tolist()
    assert set(question.facts) == {
        "rule_direction", "rule_strength", "close_change_1", "close_change_5", "close_change_20", "rsi_14",
    }  # fmt: skip
    for bars in (1, 5, 20):
        assert question.facts[f"close_change_{bars}"] == pytest.approx(closes[-1] / closes[-1 - bars] - 1, rel=1e-5)
    assert question.chart is not None
    assert question.chart.startswith(b"\x89PNG")
    strategy.decide(history)
    assert analyst.asked[1] == question, "the same bars give the same question, its picture included"


def test_the_past_is_decided_bar_by_bar_and_silence_changes_nothing() -> None:
    rule = build_strategy(RULE["kind"], RULE["params"]).directions(HISTORY).tolist()
    agreed = build(Says(AGREES)).directions(HISTORY).tolist()
    known = HISTORY["macd_hist"].notna().tolist()
    start = known.index(True)
    assert agreed[start:] == rule[start:]
    assert not any(build(Says(abstains=Abstention(AbstentionCode.TIMEOUT, ""))).directions(HISTORY))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"of": {"kind": "llm_analyst"}}, "an analyst does not review an analyst"),
        ({"of": {"kind": "momentum_rank"}}, "momentum_rank compares its whole universe"),
        ({"of": {"kind": "nothing"}}, "no such kind"),
        ({"of": {"kind": "sma_cross", "params": {"fast": 0}}}, "fast: .*got 0"),
        ({"features": ["sma_9"]}, "features must be different ones of"),
        ({"may_open": "yes"}, "may_open: .*got 'yes'"),
        ({"samples": 10}, "samples: .*got 10"),
        ({"quantity": 5}, "quantity: .*got 5"),
    ],
)
def test_wrong_parameters_are_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build_strategy("llm_analyst", params)
