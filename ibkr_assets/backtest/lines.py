"""The lines of a run over all its moments: which moments there are, and equity and exposure after the fills of each.

What goes here: arithmetic over whole columns once the fills are known. What does not: which fills there are
(`backtest.engine`, `backtest.straight`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ibkr_assets.features.frame import Floats

if TYPE_CHECKING:
    from ibkr_assets.backtest.tape import Tape

Ints = npt.NDArray[np.int64]


class Clock(NamedTuple):
    """All moments at which any tape has a bar, and where the bars of each tape stand among them."""

    times: npt.NDArray[np.datetime64]
    ranks: list[Ints]


class Fills(NamedTuple):
    """Fills in the order of their effects: place of the moment and of the tape, bar, signed shares, cash change."""

    rank: Ints
    place: Ints
    bar: Ints
    change: Floats
    paid: Floats


def shared_moments(tapes: Sequence[Tape]) -> npt.NDArray[np.datetime64] | None:
    """The moments of the tapes where all have the same."""
    first = tapes[0].times.view(np.int64)  # numbers compare faster than times, which may be none
    is_shared = all(len(tape) == first.size and (tape.times.view(np.int64) == first).all() for tape in tapes[1:])
    return tapes[0].times if is_shared else None


def clock_of(tapes: Sequence[Tape]) -> Clock:
    """The moments of all tapes together."""
    shared = shared_moments(tapes)
    if shared is not None:
        return Clock(shared, [np.arange(shared.size)] * len(tapes))
    times = np.unique(np.concatenate([tape.times for tape in tapes]))
    return Clock(times, [np.searchsorted(times, tape.times) for tape in tapes])


def sum_by(places: Ints, values: Floats, count: int) -> Floats:
    """The sum of the values of each place from 0 to `count` - 1, added in their order."""
    return np.bincount(places, weights=values, minlength=count).astype(np.float64, copy=False)


def draw_lines(tapes: Sequence[Tape], clock: Clock, cash: float, fills: Fills) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Equity and exposure after the fills of each moment; before its first bar a tape has no value."""
    moments = clock.times.size
    equity = np.full(moments, cash, dtype=np.float64)
    equity += np.cumsum(sum_by(fills.rank, fills.paid, moments))
    exposed = np.zeros(moments, dtype=np.bool_)
    order = np.argsort(fills.place, kind="stable")
    edges = np.searchsorted(fills.place[order], np.arange(len(tapes) + 1))
    for place, tape in enumerate(tapes):
        own = order[edges[place] : edges[place + 1]]
        if not own.size:
            continue
        held = np.cumsum(sum_by(fills.bar[own], fills.change[own], len(tape)))
        if len(tape) == moments:
            exposed |= held != 0
            equity += held * tape.close
            continue
        newest = np.searchsorted(clock.ranks[place], np.arange(moments), side="right") - 1
        exposed |= (newest >= 0) & (held[newest] != 0)
        equity += np.where(newest >= 0, (held * tape.close)[newest], 0.0)
    return equity, exposed
