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

if TYPE_CHECKING:
    from ibkr_assets.strategies.strategy import Directions, Strategy


def backtest(strategy: Strategy, tapes: Sequence[Tape], terms: Terms) -> Result:
    """Trade `tapes` as the strategy decides after each bar of each."""
    return run(tapes, [directions_of(strategy, tape) for tape in tapes], terms, bracket=strategy.bracket)


def directions_of(strategy: Strategy, tape: Tape) -> Directions:
    """Where the strategy wants to stand after each bar, with the stored features it asks for."""
    if not strategy.features:
        return strategy.directions(tape.frame)
    from ibkr_assets.features.compute import compute_features

    return strategy.directions(tape.frame.join(compute_features(tape.frame)[list(strategy.features)]))
