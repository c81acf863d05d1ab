"""Rules over whole columns: one computation gives the opinion of today and of every bar of the past.

What goes here: how what a rule says bar by bar becomes a position. What does not: the rules themselves, each a module
beside this one. A rule says at each bar the lowest and the highest position it would let stand (-1, 0 or 1): equal,
they order that position; apart, they let what is held between them be. That is enough for levels, for reversions with
a zone of no opinion, and for exits that concern only one side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.strategy import Bracket, Opinion, words_of

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.definition import Feature
    from ibkr_assets.features.frame import Floats
    from ibkr_assets.strategies.strategy import Directions

_WORDS = {1: Direction.LONG, 0: Direction.FLAT, -1: Direction.SHORT}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest position that may stand after each bar, -1 <= lowest <= highest <= 1."""

    lowest: Directions
    highest: Directions


class Rule(ABC):
    """Implements `Strategy` for a kind that gives `indicators`, `bounds` and `explain`."""

    features: tuple[str, ...] = ()
    #: The bar columns that `bounds` reads beside the indicators.
    columns: tuple[str, ...] = ("close",)

    @property
    @abstractmethod
    def indicators(self) -> tuple[Feature, ...]:
        """What is computed from the bars, with this strategy's own parameters."""

    @abstractmethod
    def bounds(self, values: Mapping[str, Floats]) -> Bounds:
        """What may stand after each bar, by `columns` and the indicators' names. Bars of the warm-up are not asked for.

        At each bar only values of this bar and earlier ones may be used.
        """

    @abstractmethod
    def explain(self, last: Mapping[str, float]) -> str:
        """A sentence about the values at the bar decided on."""

    @property
    def bracket(self) -> Bracket | None:
        """None unless the kind has one."""
        return None

    @property
    def words(self) -> str:
        """How the class describes itself, unless the kind says otherwise."""
        return words_of(self)

    @property
    def warm_up_bars(self) -> int:
        """Until every indicator has a value."""
        return max(feature.warm_up for feature in self.indicators) + 1

    @property
    def memory_bars(self) -> int:
        """The warm-up, unless the kind looks further back."""
        return self.warm_up_bars

    def decide(self, history: pd.DataFrame) -> Opinion | None:
        """None while the warm-up is not full, and where what is shown would let more than one position stand."""
        if len(history) < self.warm_up_bars:
            return None
        values = self._values(history.tail(self.memory_bars))
        bounds = self.bounds(values)
        from_below, from_above = (int(self._settle(bounds, start)[-1]) for start in (-1, 1))
        if from_below != from_above:
            return None
        last = {name: float(column[-1]) for name, column in values.items()}
        return Opinion(_WORDS[from_below], 1.0, self.explain(last), last)

    def directions(self, history: pd.DataFrame) -> Directions:
        """Flat through the warm-up, then as the bounds say."""
        return self.directions_over(self._columns(history), {})

    def directions_over(self, columns: Mapping[str, Floats], known: dict[Feature, Floats]) -> Directions:
        """As `directions`, over columns of one instrument with all that the rule reads.

        An indicator is taken from `known`, or computed and put there: rules that differ in a parameter share the rest.
        """
        import numpy as np

        from ibkr_assets.features.indicators import compute_indicators

        wanted, bars, warm_up = self.indicators, columns["close"].size, self.warm_up_bars - 1
        if bars <= warm_up:
            return np.zeros(bars, dtype=np.int8)
        values = {name: columns[name] for name in self.columns}
        for feature in wanted:
            found = known.get(feature)
            if found is None:
                found = known[feature] = compute_indicators((feature,), columns)[feature.name]
            values[feature.name] = found
        bounds = self.bounds(values)
        if bounds.lowest is bounds.highest:  # one position at every bar: nothing is left to settle
            bounds.lowest[:warm_up] = 0
            return bounds.lowest
        return self._settle(bounds, 0)

    def _values(self, history: pd.DataFrame) -> dict[str, Floats]:
        from ibkr_assets.features.indicators import compute_indicators

        columns = self._columns(history)
        return columns | compute_indicators(self.indicators, columns)

    def _columns(self, history: pd.DataFrame) -> dict[str, Floats]:
        from ibkr_assets.features.frame import float_column

        names = {"close", *self.columns, *(name for feature in self.indicators for name in feature.inputs)}
        return {name: float_column(history, name) for name in sorted(names)}

    def _settle(self, bounds: Bounds, start: int) -> Directions:
        """The position after each bar when it is moved, from `start`, as far as the bounds after the warm-up demand."""
        from ibkr_assets.features.comparison import follow  # brings the compiler

        return follow(bounds.lowest, bounds.highest, start, self.warm_up_bars - 1)
