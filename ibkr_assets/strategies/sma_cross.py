"""Crossing of two simple moving averages of the close: long while the fast one is above the slow one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.strategy import Opinion

if TYPE_CHECKING:
    import pandas as pd


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


class SmaCross:
    """Implements `Strategy`. A tie is not greater, so equal averages are flat (or short)."""

    features: tuple[str, ...] = ()

    def __init__(self, params: SmaCrossParams) -> None:
        self.params = params

    @property
    def warm_up_bars(self) -> int:
        """One full slow window."""
        return self.params.slow

    def decide(self, history: pd.DataFrame) -> Opinion | None:
        """Compare both averages at the last bar; None while the slow window is not full."""
        from ibkr_assets.features.averages import is_greater, sma
        from ibkr_assets.features.frame import float_column

        if len(history) < self.params.slow:
            return None
        closes = float_column(history, "close")[-self.params.slow :]
        fast = float(sma(closes, self.params.fast)[-1])
        slow = float(sma(closes, self.params.slow)[-1])
        is_above = is_greater(fast, slow)
        otherwise = Direction.SHORT if self.params.short else Direction.FLAT
        word = "above" if is_above else "not above"
        reason = f"SMA({self.params.fast}) {fast:.4f} is {word} SMA({self.params.slow}) {slow:.4f}"
        return Opinion(Direction.LONG if is_above else otherwise, 1.0, reason)
