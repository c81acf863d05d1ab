"""A few fixed questions by which a language model is known again: its name, and what it said to them before.

What goes here: the questions, and whether two sets of answers are those of one model. What does not: asking and keeping
(`execution.canary`). A model whose answers have changed is another one, whatever it calls itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from ibkr_assets.domain.analysis import Question

#: Models that are not exactly repeatable stay within this of their own strength.
MOST_STRENGTH_APART = 0.25
_NAMES = (
    "rule_direction", "rule_strength", "close_change_1", "close_change_5", "close_change_20", "rsi_14", "macd_hist",
    "volatility_20",
)  # fmt: skip
#: Agreeing in full, contradicting in full, on the short side, and too far gone.
_VALUES: tuple[tuple[str | float, ...], ...] = (
    ("long", 1.0, 0.012, 0.031, 0.064, 58.2, 0.42, 0.011),
    ("long", 1.0, -0.018, -0.042, -0.087, 31.5, -0.66, 0.024),
    ("short", 1.0, -0.009, -0.027, -0.055, 41.7, -0.38, 0.016),
    ("long", 1.0, 0.041, 0.113, 0.262, 86.4, 2.31, 0.029),
)
#: They are about no instrument and no day.
QUESTIONS: tuple[Question, ...] = tuple(
    Question("CANARY", datetime(2000, 1, 3, tzinfo=UTC), dict(zip(_NAMES, values, strict=True)), samples=1)
    for values in _VALUES
)
QUESTIONS_SHA256 = hashlib.sha256(json.dumps([_NAMES, _VALUES]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """What was said to one question: by whom, as it names itself, where to stand, and how firmly (in [-1, 1])."""

    model: str | None
    direction: str
    strength: float

    def plain(self) -> dict[str, str | float | None]:
        """For JSON."""
        return asdict(self)


Verdict = Literal["recorded", "same", "changed"]


@dataclass(frozen=True, slots=True)
class CanaryRun:
    """One asking of all questions. `difference` says in what the answers are not those recorded, "" where they are."""

    endpoint: str
    model: str
    verdict: Verdict
    answers: tuple[CanaryAnswer, ...]
    difference: str = ""
    actor: str = ""
    age_s: float = 0.0


def find_difference(recorded: Sequence[CanaryAnswer], found: Sequence[CanaryAnswer]) -> str | None:
    """In what these are not the answers of one model; None where they are."""
    if len(recorded) != len(found):
        return f"{len(found)} answers, {len(recorded)} were recorded"
    for number, (then, now) in enumerate(zip(recorded, found, strict=True), start=1):
        if then.model != now.model:
            return f"{now.model} answers, {then.model} did"
        if then.direction != now.direction:
            return f"question {number}: {now.direction}, it was {then.direction}"
        if abs(then.strength - now.strength) > MOST_STRENGTH_APART:
            return f"question {number}: strength {now.strength:g}, it was {then.strength:g}"
    return None
