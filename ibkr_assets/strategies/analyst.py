"""The door to a language model, as a strategy sees it: a question goes in, answers or an abstention come out.

What goes here: the interface alone. What does not: the kind that asks (`strategies.llm_analyst`) and who answers: asked
now, from the store, or nobody (`execution.analyst`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ibkr_assets.domain.analysis import Abstention, Answered, Question


class Analyst(Protocol):
    """Answers questions; whatever goes wrong is an abstention and never an exception."""

    @property
    def sees_charts(self) -> bool:
        """Whether a picture is shown with a question."""

    def ask(self, question: Question) -> tuple[Answered, ...] | Abstention:
        """One answer a sample, in order, or why there is none of them."""


#: The analyst of a version of a strategy, by the strategy's id and its number.
Analysts = Callable[[str, int], Analyst]
#: The analyst that knows the answers of these stored requests and asks nobody.
PastAnalysts = Callable[[Sequence[int]], Analyst]
