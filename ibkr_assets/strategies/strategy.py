"""What a strategy is: bars and features of one instrument in, an opinion out.

What goes here: the interface and the opinion. What does not: which bars a strategy is shown (`strategies.decide`) and
how large a position becomes (`portfolio.sizing`). A strategy knows no clock and no money, and of other instruments what
`Compares` says. Rules over whole columns start from `strategies.rule`, anything else from `strategies.by_bar`.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ibkr_assets.domain.analysis import Abstention
from ibkr_assets.domain.signal import Direction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from ibkr_assets.features.frame import Floats

    #: +1 long, 0 flat, -1 short, one a bar.
    Directions = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Opinion:
    """Where to stand and how firmly (`strength` in [0, 1]), with a sentence for people.

    `numbers` are the values that were compared at the bar decided on, by name; the reason says them in words.
    """

    direction: Direction
    strength: float
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Bracket:
    """A stop and a target that come with each opening order, as fractions of the close that was decided on.

    Not of the fill: the prices of a bracket are named when it is sent, before its parent has filled.
    """

    stop_fraction: float
    target_fraction: float


class Strategy(Protocol):
    """A rule that can be asked again: the same bars always give the same opinion."""

    @property
    def warm_up_bars(self) -> int:
        """How many bars an opinion needs, the newest included."""

    @property
    def memory_bars(self) -> int:
        """How many bars it looks at where there are so many; at least `warm_up_bars`."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the stored features it reads beside the bars."""

    @property
    def bracket(self) -> Bracket | None:
        """The stop and target of its positions, or None."""

    @property
    def words(self) -> str:
        """The rule in words, with its parameters, or the prompt of a model: what is kept to explain an order by."""

    def decide(self, history: pd.DataFrame) -> Opinion | Abstention | None:
        """The opinion at the last row of `history`, or None when there is none; an Abstention also says why.

        `history` is one instrument, oldest first, up to and including the bar decided on: the columns of a bar
        frame and `features`, which have a value at the last row and may have none before. None is not flat: nothing
        is changed because of it.
        """

    def directions(self, history: pd.DataFrame) -> Directions:
        """Where it wants to stand after each bar of `history`, having been flat before: the past, decided at once.

        At each bar this is the direction of the newest opinion so far, and it never depends on later bars.
        """


@runtime_checkable
class Compares(Protocol):
    """What a strategy has besides that looks at its whole universe: columns that say where each symbol stands in it."""

    compared: tuple[str, ...]

    def compare(self, universe: Mapping[int, pd.DataFrame]) -> dict[int, pd.DataFrame]:
        """By conid: the columns `compared`, one row for each row of the bars given; no value depends on a later bar.

        `decide` and `directions` are then shown them beside the bars.
        """


@runtime_checkable
class Scores(Protocol):
    """What a strategy has besides whose directions follow from one number a bar, which takes longest to find.

    Strategies of one `scored_by` share their scores: only what they make of them differs.
    """

    @property
    def scored_by(self) -> Hashable:
        """What gives the scores, with all that they depend on beside the bars."""

    def scores(self, history: pd.DataFrame) -> Floats:
        """One a bar, from this bar alone; NaN where there is none."""

    def directions_by(self, scores: Floats) -> Directions:
        """As `Strategy.directions`, where the scores are known."""


def words_of(strategy: object) -> str:
    """The opening of a strategy's own description, for a kind that does not say its rule with the parameters."""
    return (inspect.getdoc(type(strategy)) or type(strategy).__name__).split("\n\n", maxsplit=1)[0].replace("\n", " ")
