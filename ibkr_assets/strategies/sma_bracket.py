"""The crossing of two averages, long only, each position with a stop and a target.

After a stop or a target the strategy stays out until the fast average has been at or below the slow one and rises
above it anew.
"""

from __future__ import annotations

from pydantic import Field, StrictFloat, StrictInt

from ibkr_assets.strategies.sma_cross import SmaCross, SmaCrossParams
from ibkr_assets.strategies.strategy import Bracket


class SmaBracketParams(SmaCrossParams):
    """Windows in bars; `stop_pct` and `target_pct` in percent (5 is five percent) of the close decided on."""

    stop_pct: StrictFloat | StrictInt = Field(5.0, gt=0, lt=100)
    target_pct: StrictFloat | StrictInt = Field(10.0, gt=0, le=10_000)


class SmaBracket(SmaCross):
    """The directions are the crossing's own; the bracket goes with each order that opens."""

    def __init__(self, params: SmaBracketParams) -> None:
        super().__init__(params)
        self._params = params
        self._bracket = Bracket(float(params.stop_pct) / 100, float(params.target_pct) / 100)

    @property
    def bracket(self) -> Bracket:
        """As the parameters say."""
        return self._bracket

    @property
    def words(self) -> str:
        """The crossing, and both prices."""
        stop, target = self._params.stop_pct, self._params.target_pct
        return f"{super().words}; a stop {stop:g} % below and a target {target:g} % above the close decided on"
