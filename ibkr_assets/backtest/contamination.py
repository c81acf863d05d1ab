"""Decisions whose outcome a language model may have learnt: a past that it was trained on shows nothing.

What goes here: which bars are not after the end of a model's training, and the words about them. What does not: asking
a model (`execution.analyst`), and where the day comes from (`llm.training_cutoff` of the settings). A day that nobody
named is no proof: every decision is contaminated then. The prompts name no day and no instrument, which makes memory
less of a help and proves nothing either (Sarkar and Vafa, Lookahead Bias in Pretrained Language Models, 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: The name of the tag of a tracked run.
TAG = "contaminated"


@dataclass(frozen=True, slots=True)
class Contamination:
    """How many bars there are, and how many of them are not after the cutoff; None is a day that is not known."""

    training_cutoff: date | None
    bars: int
    contaminated_bars: int

    @property
    def about(self) -> dict[str, str | int]:
        """For `metrics.json`, the facts of a tear sheet and the parameters of a tracked run."""
        return {
            "training_cutoff": "unknown" if self.training_cutoff is None else self.training_cutoff.isoformat(),
            "contaminated_bars": self.contaminated_bars,
            "contaminated": self.tag,
        }

    @property
    def tag(self) -> str:
        """`true` where there is any."""
        return "true" if self.contaminated_bars else "false"

    @property
    def doubt(self) -> str:
        """What a reader is told first; empty where there is nothing to tell."""
        if not self.contaminated_bars:
            return ""
        known = "the day its training ended is not known"
        if self.training_cutoff is not None:
            known = f"they are not after {self.training_cutoff}, the end of its training"
        return (
            f"contaminated: a language model decided on {self.contaminated_bars:,} of {self.bars:,} bars whose outcome "
            f"it may have learnt: {known}. Nothing here shows that it foresees anything"
        )


def find_contamination(frame: pd.DataFrame, training_cutoff: date | None) -> Contamination:
    """Of bars with `opened_at` (aware UTC), those that are not after the cutoff by their UTC day."""
    last = date.max if training_cutoff is None else training_cutoff
    return Contamination(training_cutoff, len(frame), int((frame["opened_at"].dt.date <= last).sum()))
