"""Crossing of two simple moving averages of the close: long while the fast one is above the slow one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from ibkr_assets.strategies.rule import Bounds, Rule

if TYPE_CHECKING:
    from ibkr_assets.features.definition import Feature
    from ibkr_assets.features.frame import Floats


class SmaCrossParams(BaseModel):
    """Windows in bars. With `short` the strategy stands short where it would otherwise be flat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fast: StrictInt = Field(10, ge=1)
    slow: StrictInt = Field(30, ge=2, le=1000)
    short: StrictBool = False

    @model_validator(mode="after")
    def _fast_is_faster(self) -> SmaCrossParams:
        if self.slow <= self.fast:
            raise ValueError(f"slow must be greater than fast, got fast {self.fast} and slow {self.slow}")
        return self


class SmaCross(Rule):
    """A tie is not greater, so equal averages are flat (or short)."""

    def __init__(self, params: SmaCrossParams) -> None:
        self.params = params

    @cached_property
    def indicators(self) -> tuple[Feature, ...]:
        """Both averages."""
        from ibkr_assets.features.indicators import sma_of

        return sma_of(self.params.fast), sma_of(self.params.slow)

    @property
    def words(self) -> str:
        """Which average must be above which."""
        fast, slow, otherwise = self.params.fast, self.params.slow, "short" if self.params.short else "flat"
        return f"long while the {fast}-bar average of the close is above the {slow}-bar average, otherwise {otherwise}"

    def bounds(self, values: Mapping[str, Floats]) -> Bounds:
        """One position at every bar."""
        import numpy as np

        from ibkr_assets.features.indicators import is_greater

        fast, slow = (values[feature.name] for feature in self.indicators)
        stand = is_greater(fast, slow).view(np.int8)
        if self.params.short:
            stand += stand - np.int8(1)
        return Bounds(stand, stand)

    def explain(self, last: Mapping[str, float]) -> str:
        """Both averages and which is above."""
        from ibkr_assets.features.indicators import is_greater

        fast, slow = (last[feature.name] for feature in self.indicators)
        word = "above" if is_greater(fast, slow) else "not above"
        return f"SMA({self.params.fast}) {fast:.4f} is {word} SMA({self.params.slow}) {slow:.4f}"
