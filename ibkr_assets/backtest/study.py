"""One strategy over one set of bars: from parameters to a result.

What goes here: which directions a strategy gives a tape, and one run of them. What does not: where the bars come from
(the caller) and what becomes of the result (`backtest.files`, `backtest.tear_sheet`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeGuard

from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.strategies.rule import Rule
from ibkr_assets.strategies.strategy import Compares, Scores

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.definition import Feature
    from ibkr_assets.features.frame import Floats
    from ibkr_assets.strategies.strategy import Bracket, Directions, Strategy


def backtest(strategy: Strategy, tapes: Sequence[Tape], terms: Terms) -> Result:
    """Trade `tapes` as the strategy decides after each bar of each."""
    return trade(tapes, directions_of(strategy, tapes), terms, bracket=strategy.bracket)


def trade(
    tapes: Sequence[Tape], wanted: Sequence[Directions], terms: Terms, *, bracket: Bracket | None = None
) -> Result:
    """Trade each tape in the directions wanted after its bars: compiled, unless an opening must ask Python."""
    from ibkr_assets.backtest import compiled

    result = compiled.trade_one(tapes, wanted, terms, bracket)
    return run(tapes, wanted, terms, bracket=bracket) if result is None else result


class Shared:
    """What strategies over the same tapes need not compute twice: indicators, stored features, and scores of models.

    `columns` are the bars' own and `known` the indicators, by tape; `frames` are the bars with all stored features by
    contract id, and `scores` those of each tape's bars, by the model that gave them.
    """

    def __init__(self, tapes: Sequence[Tape]) -> None:
        self.known: list[dict[Feature, Floats]] = [{} for _ in tapes]
        self.columns = [tape.columns for tape in tapes]
        self.scores: dict[Hashable, list[Floats]] = {}
        self._tapes = tapes

    @cached_property
    def frames(self) -> dict[int, pd.DataFrame]:
        """Computed when they are first asked for."""
        from ibkr_assets.features.compute import compute_features
        from ibkr_assets.features.definition import FEATURES

        return {tape.conid: tape.frame.join(compute_features(tape.frame)[list(FEATURES)]) for tape in self._tapes}


def directions_of(strategy: Strategy, tapes: Sequence[Tape], shared: Shared | None = None) -> list[Directions]:
    """Where the strategy wants to stand after each bar of each tape, with the stored features it asks for.

    One that compares its universe takes the tapes for it. Raises what it raises for a universe it cannot compare.
    """
    shared = shared or Shared(tapes)
    if reads_columns(strategy):
        return list(map(strategy.directions_over, shared.columns, shared.known))
    frames = shared.frames if strategy.features else {tape.conid: tape.frame for tape in tapes}
    if isinstance(strategy, Compares):
        compared = strategy.compare(frames)
        frames = {conid: frame.join(compared[conid]) for conid, frame in frames.items()}
    if isinstance(strategy, Scores):
        name = strategy.scored_by
        if name not in shared.scores:
            shared.scores[name] = [strategy.scores(frames[tape.conid]) for tape in tapes]
        return [strategy.directions_by(scores) for scores in shared.scores[name]]
    return [strategy.directions(frames[tape.conid]) for tape in tapes]


def reads_columns(strategy: Strategy) -> TypeGuard[Rule]:
    """Whether the directions follow from the bars' own columns, as `Rule` has it, and from nothing else."""
    return _is_plain_rule(type(strategy)) and not strategy.features


@cache
def _is_plain_rule(kind: type) -> bool:
    """A rule that neither compares its universe nor finds its directions in a way of its own."""
    return issubclass(kind, Rule) and not hasattr(kind, "compare") and kind.directions is Rule.directions
