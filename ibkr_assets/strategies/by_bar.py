"""Strategies that look at one bar at a time: the simplest to write, and slow over a long past.

What goes here: everything but the opinion. A rule that can be said over whole columns starts from `strategies.rule`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ibkr_assets.domain.analysis import Abstention
from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.strategy import Bracket, Opinion, words_of

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.strategies.strategy import Directions

_SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}


class ByBar(ABC):
    """Implements `Strategy` for a class that sets `warm_up_bars` and gives `decide`."""

    warm_up_bars: int
    features: tuple[str, ...] = ()
    bracket: Bracket | None = None

    @abstractmethod
    def decide(self, history: pd.DataFrame) -> Opinion | Abstention | None:
        """As `Strategy.decide`."""

    @property
    def memory_bars(self) -> int:
        """The warm-up, unless the class says otherwise."""
        return self.warm_up_bars

    @property
    def words(self) -> str:
        """How the class describes itself, unless it says otherwise."""
        return words_of(self)

    def directions(self, history: pd.DataFrame) -> Directions:
        """Ask at each bar, showing it what it would have been shown then; no opinion changes nothing."""
        import numpy as np

        stands = np.zeros(len(history), dtype=np.int8)
        is_known = history[list(self.features)].notna().all(axis=1).to_numpy()
        for bar in range(len(history)):
            shown = history.iloc[max(0, bar + 1 - self.memory_bars) : bar + 1].reset_index(drop=True)
            opinion = self.decide(shown) if is_known[bar] else None
            if isinstance(opinion, Opinion):
                stands[bar] = _SIGNS[opinion.direction]
            elif bar:
                stands[bar] = stands[bar - 1]
        return stands
