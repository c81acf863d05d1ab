"""Reversion of Wilder's relative strength index: long once it is below `low`, until it is above `high`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

from ibkr_assets.strategies.rule import Bounds, Rule

if TYPE_CHECKING:
    from ibkr_assets.features.definition import Feature
    from ibkr_assets.features.frame import Floats

#: Wilder's average forgets e to this power of a change after so many periods: less than a part in a hundred million.
_PERIODS_REMEMBERED = 20


class RsiReversionParams(BaseModel):
    """Period in bars, levels of the index. With `short` the strategy goes short above `high`, else flat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period: StrictInt = Field(14, ge=2, le=500)
    low: StrictFloat | StrictInt = Field(30.0, ge=0, le=100)
    high: StrictFloat | StrictInt = Field(70.0, ge=0, le=100)
    short: StrictBool = False

    @model_validator(mode="after")
    def _low_is_lower(self) -> RsiReversionParams:
        if self.high <= self.low:
            raise ValueError(f"high must be greater than low, got low {self.low} and high {self.high}")
        return self


class RsiReversion(Rule):
    """Between the levels, both included, whatever is held stays."""

    def __init__(self, params: RsiReversionParams) -> None:
        self.params = params

    @property
    def memory_bars(self) -> int:
        """So many that what came before moves the index by less than a ten-millionth."""
        return self.warm_up_bars + _PERIODS_REMEMBERED * self.params.period

    @cached_property
    def indicators(self) -> tuple[Feature, ...]:
        """The index."""
        from ibkr_assets.features.indicators import rsi_of

        return (rsi_of(self.params.period),)

    @property
    def words(self) -> str:
        """Both levels, and what is between them."""
        period, low, high = self.params.period, self.params.low, self.params.high
        above = "short" if self.params.short else "flat"
        return f"long once RSI({period}) is below {low:g}, {above} once it is above {high:g}, in between as it was"

    def bounds(self, values: Mapping[str, Floats]) -> Bounds:
        """Long below `low`; flat or short above `high`; otherwise anything stands."""
        import numpy as np

        from ibkr_assets.features.indicators import is_greater

        rsi = values[self.indicators[0].name]
        is_low = is_greater(np.full_like(rsi, self.params.low), rsi)
        is_high = is_greater(rsi, float(self.params.high))
        above = -1 if self.params.short else 0
        lowest = np.where(is_low, 1, np.where(is_high, above, -1)).astype(np.int8)
        highest = np.where(is_high, above, 1).astype(np.int8)
        return Bounds(lowest, highest)

    def explain(self, last: Mapping[str, float]) -> str:
        """The index and both levels."""
        rsi = last[self.indicators[0].name]
        return f"RSI({self.params.period}) is {rsi:.2f}; low is {self.params.low:g}, high {self.params.high:g}"
