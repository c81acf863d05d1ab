"""One strategy over one set of bars: from parameters to a result.

What goes here: which directions a strategy gives a tape, and one run of them. What does not: where the bars come from
(the caller) and what becomes of the result (`backtest.files`, `backtest.tear_sheet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeGuard

from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.straight import trade_straight
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.strategies.rule import Rule
from ibkr_assets.strategies.strategy import Compares

if TYPE_CHECKING:
    from ibkr_assets.strategies.strategy import Bracket, Directions, Strategy


def backtest(strategy: Strategy, tapes: Sequence[Tape], terms: Terms) -> Result:
    """Trade `tapes` as the strategy decides after each bar of each."""
    return trade(tapes, directions_of(strategy, tapes), terms, bracket=strategy.bracket)


def trade(
    tapes: Sequence[Tape], wanted: Sequence[Directions], terms: Terms, *, bracket: Bracket | None = None
) -> Result:
    """Trade each tape in the directions wanted after its bars: as columns where that is possible."""
    straight = trade_straight(tapes, wanted, terms) if bracket is None else None
    return run(tapes, wanted, terms, bracket=bracket) if straight is None else straight


def directions_of(strategy: Strategy, tapes: Sequence[Tape]) -> list[Directions]:
    """Where the strategy wants to stand after each bar of each tape, with the stored features it asks for.

    One that compares its universe takes the tapes for it. Raises what it raises for a universe it cannot compare.
    """
    if reads_columns(strategy):
        return [strategy.directions_over(tape.columns, {}) for tape in tapes]
    frames = {tape.conid: tape.frame for tape in tapes}
    if strategy.features:
        from ibkr_assets.features.compute import compute_features

        names = list(strategy.features)
        frames = {conid: frame.join(compute_features(frame)[names]) for conid, frame in frames.items()}
    if isinstance(strategy, Compares):
        compared = strategy.compare(frames)
        frames = {conid: frame.join(compared[conid]) for conid, frame in frames.items()}
    return [strategy.directions(frames[tape.conid]) for tape in tapes]


def reads_columns(strategy: Strategy) -> TypeGuard[Rule]:
    """Whether the directions follow from the bars' own columns, as `Rule` has it, and from nothing else."""
    return _is_plain_rule(type(strategy)) and not strategy.features


@cache
def _is_plain_rule(kind: type) -> bool:
    """A rule that neither compares its universe nor finds its directions in a way of its own."""
    return issubclass(kind, Rule) and not hasattr(kind, "compare") and kind.directions is Rule.directions
