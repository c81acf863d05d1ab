"""Moves without trades, moves too big for the instrument, moves that look like a split, and bars that do not move.

Candidates are found over whole columns; only they, a handful in a decade, are looked at one by one against the
bars before them. A verdict never looks ahead: a real crash is held for one session and confirmed by the next one
that stays there, and a bad tick does not take the good bar after it along.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.market.reasons import Reason

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

JUMP_FRACTION = 0.25
JUMP_SIGMAS = 12.0

#: So many equal bars in a row are a feed that repeats itself.
STUCK_BARS = 20

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


def find_jumps(
    bars: pd.DataFrame, opened_at: npt.NDArray[np.int64], *, is_usable: Flags, is_judged: Flags, is_sorted: bool
) -> Iterator[tuple[int, Reason]]:
    """Rows of `bars` that jump, or do not move at all, with the reason.

    `is_usable` marks bars without another fault; the others neither jump nor say what is usual. `is_judged` marks
    the rows of interest; earlier rows are looked at too, because a bar is compared with the last good one.
    `opened_at` is theirs in nanoseconds, and `is_sorted` what `is_ordered` says of them.
    """
    if not (is_usable & is_judged).any():
        return
    conids = bars["conid"].to_numpy()
    open_, close, volume = (bars[name].to_numpy(dtype=np.float64) for name in ("open", "close", "volume"))
    positions = np.flatnonzero(is_usable)
    if not is_sorted:
        positions = positions[np.lexsort((opened_at[positions], conids[positions]))]
    if not is_sorted or positions.size < len(bars):
        conids, open_, close, volume = (values[positions] for values in (conids, open_, close, volume))
    for row in _stuck(bars, positions, conids, close, volume):
        if is_judged[positions[row]]:
            yield int(positions[row]), Reason.STUCK
    starts = np.append(np.flatnonzero(np.diff(conids, prepend=conids[0] - 1)), conids.size)
    moved = np.flatnonzero(_moved_untraded(close, volume) | _is_candidate(open_, close)) + 1
    for place in np.unique(np.searchsorted(starts, moved, side="right") - 1).tolist():
        first, end = starts[place], starts[place + 1]
        for row, reason in _of_instrument(open_[first:end], close[first:end], volume[first:end]):
            position = int(positions[first + row])
            if is_judged[position]:
                yield position, reason


def _stuck(
    bars: pd.DataFrame, positions: npt.NDArray[np.int64], conids: npt.NDArray[np.int64], close: Floats, volume: Floats
) -> Iterator[int]:
    """From the twentieth equal bar of an instrument on: equal in price and volume, or in price without any trade.

    Without trades only where most of the bars before the first of them had some: an instrument that nobody trades
    stands still, and so does a suspended one from day to day.
    """
    same = np.flatnonzero(close[1:] == close[:-1])
    same = same[volume[same + 1] == volume[same]]
    if not (same[STUCK_BARS - 2 :] - same[: max(0, same.size - STUCK_BARS + 2)] == STUCK_BARS - 2).any():
        return
    for run in np.split(same, np.flatnonzero(np.diff(same) != 1) + 1):
        if run.size < STUCK_BARS - 1:
            continue
        rows = np.arange(run[0], run[-1] + 2)
        own = bars.iloc[positions[rows]]
        equal = (own[["open", "high", "low"]].diff().iloc[1:] == 0).all(axis=1).to_numpy() & (
            np.diff(conids[rows]) == 0
        )
        length = 1
        for row, is_equal in zip(rows[1:].tolist(), equal.tolist(), strict=True):
            length = length + 1 if is_equal else 1
            if length >= STUCK_BARS and (volume[row] > 0 or _is_active(own, conids, volume, row - length + 1)):
                yield row


def _is_active(own: pd.DataFrame, conids: npt.NDArray[np.int64], volume: Floats, first: int) -> bool:
    """Whether most of the bars before the row `first`, of its instrument, traded; never so for daily bars."""
    before = np.arange(max(0, first - USUAL_BARS), first)
    before = before[conids[before] == conids[first]]
    is_intraday = bool((own["opened_at"].diff().iloc[1:] < pd.Timedelta(hours=1, minutes=1)).any())
    return is_intraday and before.size >= FEWEST_BARS and bool((volume[before] > 0).mean() > 0.5)


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
