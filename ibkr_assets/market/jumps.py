"""Moves without trades, moves too big for the instrument, moves that look like a split, and bars that do not move.

Instruments that have such a bar are found by `market.scan`; only their candidates, a handful in a decade, are looked
at one by one against the bars before them. A verdict never looks ahead: a real crash is held for one session and
confirmed by the next one that stays there, and a bad tick does not take the good bar after it along.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ibkr_assets.features.frame import Floats, Ints
from ibkr_assets.market.batch import Columns
from ibkr_assets.market.reasons import Reason

Flags = npt.NDArray[np.bool_]

JUMP_FRACTION = 0.25
JUMP_SIGMAS = 12.0

#: So many equal bars in a row are a feed that repeats itself.
STUCK_BARS = 20

#: Bars that are further apart than an hour are no bars of a day.
LEAST_DAY_NS = 61 * 60_000_000_000

#: Bars that say what is usual, and how few of them say nothing.
USUAL_BARS = 60
FEWEST_BARS = 20

#: Old shares to new ones of splits and reverse splits that occur.
SPLIT_RATIOS = tuple(
    sorted(
        {r for n in (1.25, 4 / 3, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0) for r in (n, 1 / n)}
    )
)
#: A change smaller than this is smaller than any of the ratios can explain.
SMALLEST_CHANGE = 0.18
#: The opening price moves overnight as on any other day: the ratio is met within this, or 1.5 usual deviations.
SPLIT_TOLERANCE = 0.005
SPLIT_SIGMAS = 1.5
#: A split makes no news of its own: volume stays below this many times the usual, new shares counted as old ones.
SPLIT_VOLUME = 4.0


def find_jumps(columns: Columns, rows: Ints) -> Iterator[tuple[int, Reason]]:
    """Rows of one instrument that do not move at all, or jump, with the reason; of two for a row the later one holds.

    `rows` are its bars without another fault, oldest first: the others neither jump nor say what is usual.
    """
    open_, _, _, close, volume = fields = np.stack([column[rows] for column in columns[1:]])
    places = rows.tolist()
    for place in _stuck(columns.opened_at[rows], fields):
        yield places[place], Reason.STUCK
    for place, reason in _of_instrument(open_, close, volume):
        yield places[place], reason


def _stuck(opened_at: Ints, fields: Floats) -> Iterator[int]:
    """From the twentieth equal bar on: equal in prices and volume, or in prices without any trade.

    Without trades only where most of the bars before the first of them had some: an instrument that nobody trades
    stands still, and so does a suspended one from day to day.
    """
    length, volume = 1, fields[-1]
    for place, is_equal in enumerate((fields[:, 1:] == fields[:, :-1]).all(axis=0).tolist(), start=1):
        length = length + 1 if is_equal else 1
        if length >= STUCK_BARS and (volume[place] > 0 or _is_active(opened_at, volume, place - length + 1, place)):
            yield place


def _is_active(opened_at: Ints, volume: Floats, first: int, last: int) -> bool:
    """Whether most of the bars before these traded; never so for daily bars."""
    before = volume[max(0, first - USUAL_BARS) : first]
    is_intraday = bool((np.diff(opened_at[first : last + 1]) < LEAST_DAY_NS).any())
    return is_intraday and before.size >= FEWEST_BARS and bool((before > 0).mean() > 0.5)


def _moved_untraded(close: Floats, volume: Floats) -> Flags:
    """For each bar but the first."""
    flags: Flags = (volume[1:] == 0) & (close[1:] != close[:-1])
    return flags


def _is_candidate(open_: Floats, close: Floats) -> Flags:
    """For each bar but the first, whether it moved so far from the close before it that it is worth a look."""
    before = close[:-1]
    flags: Flags = np.abs(close[1:] / before - 1) > SMALLEST_CHANGE
    flags |= np.abs(open_[1:] / before - 1) > SMALLEST_CHANGE
    return flags


def _of_instrument(open_: Floats, close: Floats, volume: Floats) -> Iterator[tuple[int, Reason]]:
    """One instrument's bars, oldest first."""
    moved_untraded = _moved_untraded(close, volume)
    yield from ((row, Reason.ZERO_VOLUME_MOVE) for row in (np.flatnonzero(moved_untraded) + 1).tolist())
    is_candidate = _is_candidate(open_, close)
    flagged: set[int] = set()
    for row in (np.flatnonzero(is_candidate & ~moved_untraded) + 1).tolist():
        sigma = _usual_deviation(close[max(0, row - USUAL_BARS - 1) : row])
        reason = _reason(open_, close, volume, row, row - 1, sigma)
        if reason is None:
            continue
        good = row - 1
        while good in flagged:
            good -= 1
        is_back = good >= 0 and good != row - 1 and _reason(open_, close, volume, row, good, sigma) is None
        if not is_back:
            flagged.add(row)
            yield row, reason


def _reason(open_: Floats, close: Floats, volume: Floats, row: int, before: int, sigma: float | None) -> Reason | None:
    if _is_split(close[before], open_[row], volume[max(0, row - FEWEST_BARS) : row], volume[row], sigma):
        return Reason.SPLIT_SUSPECT
    change = close[row] / close[before] - 1
    is_unusual = sigma is None or abs(math.log(close[row] / close[before])) > JUMP_SIGMAS * sigma
    return Reason.TOO_BIG_JUMP if abs(change) > JUMP_FRACTION and is_unusual else None


def _is_split(close_before: float, opened: float, volumes: Floats, volume: float, sigma: float | None) -> bool:
    log_ratio = math.log(close_before / opened)
    if abs(opened / close_before - 1) < SMALLEST_CHANGE or sigma is None or abs(log_ratio) <= JUMP_SIGMAS * sigma:
        return False
    ratio = min(SPLIT_RATIOS, key=lambda r: abs(math.log(r) - log_ratio))
    if abs(math.log(ratio) - log_ratio) > max(SPLIT_TOLERANCE, SPLIT_SIGMAS * sigma):
        return False
    return volume <= SPLIT_VOLUME * max(ratio, 1.0) * float(np.median(volumes))


def _usual_deviation(close: Floats) -> float | None:
    """Standard deviation of daily log returns, or None when there are too few bars to say.

    Taken from the median absolute deviation (times 1.4826, as for a normal distribution), so that one jump in the
    past does not hide the next.
    """
    if close.size < FEWEST_BARS + 1:
        return None
    returns = np.diff(np.log(close))
    return float(1.4826 * np.median(np.abs(returns - np.median(returns))))
