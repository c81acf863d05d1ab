"""One strategy over one set of bars: from parameters to a result.

What goes here: which directions a strategy gives a tape, and one run of them. What does not: where the bars come from
(the caller) and what becomes of the result (`backtest.files`, `backtest.tear_sheet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.strategies.strategy import Compares

if TYPE_CHECKING:
    from ibkr_assets.strategies.strategy import Directions, Strategy


def backtest(strategy: Strategy, tapes: Sequence[Tape], terms: Terms) -> Result:
    """Trade `tapes` as the strategy decides after each bar of each."""
    return run(tapes, directions_of(strategy, tapes), terms, bracket=strategy.bracket)


def directions_of(strategy: Strategy, tapes: Sequence[Tape]) -> list[Directions]:
    """Where the strategy wants to stand after each bar of each tape, with the stored features it asks for.

    One that compares its universe takes the tapes for it. Raises what it raises for a universe it cannot compare.
    """
    frames = {tape.conid: tape.frame for tape in tapes}
    if strategy.features:
        from ibkr_assets.features.compute import compute_features

        names = list(strategy.features)
        frames = {conid: frame.join(compute_features(frame)[names]) for conid, frame in frames.items()}
    if isinstance(strategy, Compares):
        compared = strategy.compare(frames)
        frames = {conid: frame.join(compared[conid]) for conid, frame in frames.items()}
    return [strategy.directions(frames[tape.conid]) for tape in tapes]
