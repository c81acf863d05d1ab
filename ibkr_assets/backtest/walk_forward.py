"""Parameters chosen on one part of the past and traded on the next: what a sweep would have been worth to its user.

What goes here: the parts, the choice on each, and what it came to. What does not: the sweep (`backtest.sweep`). The
days are cut into equal parts; on each but the first, the set that ranked best over all days before it is traded, from
flat and with the equity that the parts before have left. What is open at the end of a part counts at its last close. A
direction in a part may look back over its edge, never ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.grid import Params
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.study import directions_of, trade
from ibkr_assets.backtest.sweep import sweep
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.domain.errors import InputError
from ibkr_assets.strategies.registry import build_strategy

if TYPE_CHECKING:
    from ibkr_assets.strategies.model_score import Models
    from ibkr_assets.strategies.strategy import Strategy

Days = npt.NDArray[np.datetime64]


class Fold(NamedTuple):
    """One part: its days, the set chosen before it, the figure that chose it, and the figures of the part itself."""

    first_day: np.datetime64
    last_day: np.datetime64
    params: Params
    chosen_by: float | None
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class WalkForward:
    """The parts in order of time, and all of them as one result."""

    folds: list[Fold]
    result: Result


def walk_forward(
    kind: str,
    tried: Sequence[Params],
    tapes: Sequence[Tape],
    terms: Terms,
    folds: int,
    *,
    rank_by: str = "sharpe",
    processes: int = 1,
    directory: Path | None = None,
    models: Models | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> WalkForward:
    """Choose and trade `folds` times. Raises InputError where there are fewer than two days for each part."""
    days = np.unique(np.concatenate([tape.times.astype("datetime64[D]") for tape in tapes]))
    if folds < 1 or days.size < 2 * (folds + 1):
        raise InputError(f"walk_forward {folds}: {days.size} days cannot be cut into {folds} parts and one before them")
    edges = np.linspace(0, days.size, folds + 2).astype(int).tolist()
    found: list[Fold] = []
    results: list[Result] = []
    for place, (begin, end) in enumerate(pairwise(edges[1:])):
        past = _between(tapes, days[0], days[begin])
        best = sweep(
            kind, tried, past, terms, rank_by=rank_by, processes=processes, directory=directory, models=models
        ).rows[0]
        cash = results[-1].equity[-1] if results else terms.cash
        part = replace(terms, cash=float(cash))
        last = days[end - 1] + np.timedelta64(1, "D")
        strategy = build_strategy(kind, best.params, directory=directory, models=models)
        results.append(_trade_part(strategy, tapes, part, (days[begin], last)))
        chosen_by, metrics = best.metrics[rank_by], compute_metrics(results[-1])
        found.append(Fold(days[begin], days[end - 1], best.params, chosen_by, metrics))
        progress(place + 1, folds)
        if results[-1].equity[-1] <= 0:
            break  # there is nothing left to trade with
    return WalkForward(found, _joined(results))


def _between(tapes: Sequence[Tape], begin: np.datetime64, end: np.datetime64) -> list[Tape]:
    """The bars of each tape from `begin` to before `end`; a tape without any is left out."""
    cut = ((tape, np.searchsorted(tape.times, [begin, end]).tolist()) for tape in tapes)
    return [tape.cut(first, past) for tape, (first, past) in cut if past > first]


def _trade_part(
    strategy: Strategy, tapes: Sequence[Tape], terms: Terms, part: tuple[np.datetime64, np.datetime64]
) -> Result:
    """Directions from all bars up to the part's end, traded over the part alone."""
    until = _between(tapes, min(tape.times[0] for tape in tapes), part[1])
    wanted, traded = [], []
    for tape, directions in zip(until, directions_of(strategy, until), strict=True):
        first = int(np.searchsorted(tape.times, part[0]))
        if first < len(tape):
            traded.append(tape.cut(first, len(tape)))
            wanted.append(directions[first:])
    return trade(traded, wanted, terms, bracket=strategy.bracket)


def _joined(results: Sequence[Result]) -> Result:
    """One after the other; bars of trades stay those of their part."""
    return Result(
        starting_cash=results[0].starting_cash,
        trades=[trade for result in results for trade in result.trades],
        open_positions=[one for result in results for one in result.open_positions],
        not_opened=[one for result in results for one in result.not_opened],
        times=np.concatenate([result.times for result in results]),
        equity=np.concatenate([result.equity for result in results]),
        exposed=np.concatenate([result.exposed for result in results]),
        traded_usd=sum(result.traded_usd for result in results),
    )
