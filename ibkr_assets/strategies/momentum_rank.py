"""Momentum over a universe: long the `hold` symbols that rose most over `lookback` bars, flat (or short) the others.

The last `skip` bars are left out of the return, because the newest month tends to revert. Source of the rule:
Jegadeesh and Titman, Returns to Buying Winners and Selling Losers (1993); skipping: Asness (1994). The one kind that
looks at other instruments: a bar's rank is given only where every symbol of the universe has its return.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.strategies.rule import Bounds, Rule

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.definition import Feature
    from ibkr_assets.features.frame import Floats


class MomentumRankParams(BaseModel):
    """Windows in bars. With `short` the `hold` symbols that rose least are sold short."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lookback: StrictInt = Field(60, ge=1, le=1000)
    skip: StrictInt = Field(0, ge=0, le=250)
    hold: StrictInt = Field(1, ge=1, le=1000)
    short: StrictBool = False


class MomentumRank(Rule):
    """Equal returns rank in the order of their contract ids."""

    #: The best has rank 1; the worst has nobody below.
    compared = ("momentum_rank", "momentum_below")
    columns = ("close", *compared)

    def __init__(self, params: MomentumRankParams) -> None:
        self.params = params

    @property
    def indicators(self) -> tuple[Feature, ...]:
        """None of one instrument alone."""
        return ()

    @property
    def warm_up_bars(self) -> int:
        """The return's two ends, and the bars left out."""
        return self.params.lookback + self.params.skip + 1

    @property
    def words(self) -> str:
        """Which of how many are held, by what."""
        hold, lookback, skip = self.params.hold, self.params.lookback, self.params.skip
        left_out = f" up to {skip} bars ago" if skip else ""
        others = f"short the {hold} that rose least, flat the others" if self.params.short else "flat the others"
        return f"long the {hold} of the universe that rose most over {lookback} bars{left_out}, {others}"

    def compare(self, universe: Mapping[int, pd.DataFrame]) -> dict[int, pd.DataFrame]:
        """By conid: the columns `compared`, one row for each row of the instrument's bars; NaN where not all are known.

        Raises ConfigurationError for a universe that is too small to choose from.
        """
        import numpy as np
        import pandas as pd

        sides = 2 if self.params.short else 1
        if len(universe) <= self.params.hold or len(universe) < sides * self.params.hold:
            raise ConfigurationError(
                f"hold {self.params.hold}: the universe has {len(universe)} symbols to choose from"
            )
        order = sorted(universe)
        returns = pd.concat([self._returns(universe[conid]).rename(conid) for conid in order], axis=1).sort_index()
        values = returns.to_numpy(dtype=np.float64)
        places = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1, kind="stable").astype(np.float64)
        places[np.isnan(values).any(axis=1)] = np.nan
        ranks = pd.DataFrame(places, index=returns.index, columns=order)
        return {
            conid: pd.DataFrame(
                {
                    "momentum_rank": ranks.loc[frame["opened_at"], conid].to_numpy() + 1,
                    "momentum_below": len(order) - 1 - ranks.loc[frame["opened_at"], conid].to_numpy(),
                },
                index=frame.index,
            )
            for conid, frame in universe.items()
        }

    def bounds(self, values: Mapping[str, Floats]) -> Bounds:
        """One position where there is a rank; without one whatever is held stays."""
        import numpy as np

        rank, below = (values[name] for name in self.compared)
        is_long, is_short = rank <= self.params.hold, below < self.params.hold if self.params.short else rank < 0
        stand = np.where(is_long, 1, np.where(is_short, -1, 0))
        is_known = np.isfinite(rank)
        return Bounds(np.where(is_known, stand, -1).astype(np.int8), np.where(is_known, stand, 1).astype(np.int8))

    def explain(self, last: Mapping[str, float]) -> str:
        """The rank and how many are ranked."""
        rank, below = (int(last[name]) for name in self.compared)
        return (
            f"rank {rank} of {rank + below} by the return over {self.params.lookback} bars; {self.params.hold} are held"
        )

    def _returns(self, frame: pd.DataFrame) -> pd.Series[float]:
        """The return at each bar, by its opening."""
        close = frame["close"].astype("float64").set_axis(frame["opened_at"])
        newest = close.shift(self.params.skip)
        return newest / newest.shift(self.params.lookback) - 1
