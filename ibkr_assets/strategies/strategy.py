"""What a strategy is: bars and features of one instrument in, an opinion out.

What goes here: the interface and the opinion. What does not: which bars a strategy is shown (`strategies.decide`)
and how large a position becomes (`portfolio.sizing`). A strategy knows no clock, no money and no other instrument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ibkr_assets.domain.signal import Direction

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Opinion:
    """Where to stand and how firmly (`strength` in [0, 1]), with a sentence for people."""

    direction: Direction
    strength: float
    reason: str


class Strategy(Protocol):
    """A rule that can be asked again: the same bars always give the same opinion."""

    @property
    def warm_up_bars(self) -> int:
        """How many bars an opinion needs, the newest included; it depends on no earlier ones."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features it reads beside the bars."""

    def decide(self, history: pd.DataFrame) -> Opinion | None:
        """The opinion at the last row of `history`, or None when there is too little to have one.

        `history` is one instrument, oldest first, up to and including the bar decided on: the columns of a bar
        frame and `features`, which have a value at the last row and may have none before. None is not flat: nothing
        is changed because of it.
        """
