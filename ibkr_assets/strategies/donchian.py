"""Breakout of Donchian's channel: long once a close is above the highest high of the `entry` bars before it.

A long position is left once a close is below the lowest low of the `exit` bars before it; short, where wanted, is the
mirror image. Source of the rule: the two systems in Faith, Way of the Turtle (2007), here on closes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from ibkr_assets.strategies.rule import Bounds, Rule

if TYPE_CHECKING:
    from ibkr_assets.features.definition import Feature
    from ibkr_assets.features.frame import Floats

#: In how many entry windows a breakout is looked for; where none is found, what is held is left alone.
_WINDOWS_REMEMBERED = 5


class DonchianParams(BaseModel):
    """Windows in bars, both of bars before the one decided on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: StrictInt = Field(20, ge=2, le=1000)
    exit: StrictInt = Field(10, ge=2, le=1000)
    short: StrictBool = False


class Donchian(Rule):
    """A tie is no breakout."""

    def __init__(self, params: DonchianParams) -> None:
        self.params = params

    @property
    def warm_up_bars(self) -> int:
        """Both windows, and the bar decided on after them."""
        return max(self.params.entry, self.params.exit) + 1

    @property
    def memory_bars(self) -> int:
        """Several windows, to find the last breakout in."""
        return _WINDOWS_REMEMBERED * self.warm_up_bars

    @cached_property
    def indicators(self) -> tuple[Feature, ...]:
        """The channel of entries and the channel of exits."""
        from ibkr_assets.features.indicators import highest_of, lowest_of

        entry, leave = self.params.entry, self.params.exit
        return highest_of(entry), lowest_of(entry), highest_of(leave), lowest_of(leave)

    @property
    def words(self) -> str:
        """The breakouts that open and close."""
        entry, leave = self.params.entry, self.params.exit
        mirrored = "; short is the mirror image" if self.params.short else ""
        return (
            f"long once a close is above the highest high of the {entry} bars before it, "
            f"out once one is below the lowest low of the {leave} bars before it{mirrored}"
        )

    def bounds(self, values: Mapping[str, Floats]) -> Bounds:
        """A breakout orders its side; a close beyond the exit channel forbids the other side."""
        import numpy as np

        from ibkr_assets.features.indicators import is_greater

        close = values["close"]
        high_in, low_in, high_out, low_out = (_before(values[feature.name]) for feature in self.indicators)
        lowest, highest = np.full(close.size, -1, dtype=np.int8), np.full(close.size, 1, dtype=np.int8)
        highest[is_greater(low_out, close)] = 0
        lowest[is_greater(close, high_out)] = 0
        if self.params.short:
            is_down = is_greater(low_in, close)
            lowest[is_down], highest[is_down] = -1, -1
        is_up = is_greater(close, high_in)
        lowest[is_up], highest[is_up] = 1, 1
        return Bounds(lowest, highest)

    def explain(self, last: Mapping[str, float]) -> str:
        """The close; the channels that it is compared with end one bar earlier."""
        return f"close {last['close']:.4f} after its last breakout of {self.params.entry} or {self.params.exit} bars"


def _before(values: Floats) -> Floats:
    """The value one bar earlier."""
    import numpy as np

    return np.concatenate(([np.nan], values[:-1]))
