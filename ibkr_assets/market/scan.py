"""Passes over bars as machine code: faults that a bar shows by itself, instruments worth a closer look, bars counted.

What goes here: loops over plain arrays and what they ask of one bar. What does not: the frames and sessions that the
arrays are made of (`market.batch`, `market.grid`, `market.validation`), and the closer look (`market.jumps`). Kept
code is found by this file alone, so numbers that other files have are handed over (`Faults`, `Limits`). Importing this
imports the compiler: import it where it is needed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ibkr_assets.features.machine_code import compiled, inlined
from ibkr_assets.market.grid import NOWHEN

if TYPE_CHECKING:
    import numpy.typing as npt

    from ibkr_assets.features.frame import Ints
    from ibkr_assets.market.batch import Columns, Walk
    from ibkr_assets.market.grid import Flags, Hours
    from ibkr_assets.market.reasons import Codes

    Counts = npt.NDArray[np.int32]

MAX = float(np.finfo(np.float64).max)
#: Where a bar starts, as a session sees it.
OUTSIDE, OFF_GRID, ON_GRID = 0, 1, 2


class Faults(NamedTuple):
    """The codes of the reasons that are found here."""

    missing_field: int
    not_finite: int
    future: int
    partial_bar: int
    outside_session: int
    off_grid: int
    not_positive: int
    negative_volume: int
    ohlc_order: int
    zero_volume_move: int


class Limits(NamedTuple):
    """When the judge looks (nanoseconds), and from what on an instrument is worth a closer look."""

    now: int
    smallest_change: float
    stuck_bars: int


@compiled
def scan(
    columns: Columns, walk: Walk, copies: Codes, hours: Hours, faults: Faults, limits: Limits,
    codes: Codes, is_odd: Flags,
) -> None:  # fmt: skip
    """Fill `codes` where they are 0, row by row, and `is_odd`, instrument by instrument.

    `copies` are the faults that rows have beside others, empty where there are none. An instrument is odd when a bar of
    it without fault moved far, or without trades, or when many in a row are equal: it is worth a closer look.
    """
    opened_at, open_, high, low, close, volume = columns
    opens, closes, breaks, resumes, length, is_daily = hours
    starts, order = walk
    near, is_sorted = 0, order.size > 0
    for n in range(starts.size - 1):
        before, equal, odd = -1, 1, False
        for place in range(starts[n], starts[n + 1]):
            row = order[place] if is_sorted else place
            at = opened_at[row]
            near = session_of(opens, at, near)
            if codes[row] == 0:
                room = room_of(at, opens[near], closes[near], breaks[near], resumes[near], length)
                over_at = closes[near] if is_daily and room != OUTSIDE else at + length
                codes[row] = (
                    hole_in(at, open_[row], high[row], low[row], close[row], volume[row], faults)
                    or wrong_time(at, over_at, room, limits.now, faults)
                    or (copies[row] if is_sorted else 0)
                    or wrong_value(open_[row], high[row], low[row], close[row], volume[row], faults)
                )
            if codes[row] == 0:
                if before >= 0:
                    odd |= has_moved(close[before], open_[row], close[row], volume[row], limits.smallest_change)
                    is_equal = close[row] == close[before] and volume[row] == volume[before]
                    is_equal = is_equal and open_[row] == open_[before]
                    is_equal = is_equal and high[row] == high[before] and low[row] == low[before]
                    equal = equal + 1 if is_equal else 1
                    odd |= equal >= limits.stuck_bars
                before = row
        is_odd[n] = odd


@inlined
def hole_in(at: int, open_: float, high: float, low: float, close: float, volume: float, faults: Faults) -> int:
    """The fault of a bar that lacks an instant or a number, or has an infinite one, or 0."""
    if at == NOWHEN:
        return faults.missing_field
    if abs(open_ + high + low + close + volume) <= MAX:
        return 0
    if math.isnan(open_) or math.isnan(high) or math.isnan(low) or math.isnan(close) or math.isnan(volume):
        return faults.missing_field
    is_infinite = max(abs(open_), abs(high), abs(low), abs(close), abs(volume)) > MAX
    return faults.not_finite if is_infinite else 0


@inlined
def wrong_time(at: int, over_at: int, room: int, now: int, faults: Faults) -> int:
    """The fault of a bar that is not over, or starts where none does, or 0."""
    if over_at > now and at >= now:
        return faults.future
    if over_at > now and room != OUTSIDE:
        return faults.partial_bar
    if room == OUTSIDE:
        return faults.outside_session
    return faults.off_grid if room == OFF_GRID else 0


@inlined
def wrong_value(open_: float, high: float, low: float, close: float, volume: float, faults: Faults) -> int:
    """The fault of finite numbers that no market gives, or 0."""
    if min(open_, high, low, close) <= 0:
        return faults.not_positive
    if volume < 0:
        return faults.negative_volume
    if high < max(open_, low, close) or low > min(open_, close):
        return faults.ohlc_order
    return faults.zero_volume_move if volume == 0 and high != low else 0


@inlined
def has_moved(before: float, open_: float, close: float, volume: float, smallest: float) -> bool:
    """Whether a bar is worth a look after a close: it is far from it, or another one without trades."""
    is_far = abs(close / before - 1) > smallest or abs(open_ / before - 1) > smallest
    return is_far or (volume == 0 and close != before)


@inlined
def session_of(opens: Ints, at: int, near: int) -> int:
    """The place of the newest session that opened by then, or 0 before all; quickest where that is `near` or next."""
    if near + 1 < opens.size and opens[near + 1] <= at:
        near += 1
    if opens[near] <= at and (near + 1 == opens.size or at < opens[near + 1]):
        return near
    return max(0, int(np.searchsorted(opens, at, side="right")) - 1)


@inlined
def room_of(at: int, opens: int, closes: int, breaks: int, resumes: int, length: int) -> int:
    """Whether a session has room for a bar that starts then, a whole number of lengths after it opened or resumed."""
    if at == opens:
        return ON_GRID
    if at < opens or at >= closes or breaks <= at < resumes:
        return OUTSIDE
    return ON_GRID if (at - (opens if at < resumes else resumes)) % length == 0 else OFF_GRID


@compiled
def mark_wanted(opened_at: Ints, hours: Hours, is_chosen: Flags, start: int, end: int, is_wanted: Flags) -> None:
    """Mark bars of the chosen sessions, bars of no session that start in [start, end), and undated ones."""
    opens, closes, breaks, resumes, length, _ = hours
    near = 0
    for row in range(opened_at.size):
        at = opened_at[row]
        near = session_of(opens, at, near)
        if room_of(at, opens[near], closes[near], breaks[near], resumes[near], length) != OUTSIDE:
            is_wanted[row] = is_chosen[near]
        else:
            is_wanted[row] = at == NOWHEN or start <= at < end


@compiled
def count_bars(opened_at: Ints, walk: Walk, hours: Hours, counts: Counts) -> None:
    """Add up the bars of each instrument and session that are on the grid, copies once; `counts` has a row each."""
    opens, closes, breaks, resumes, length, _ = hours
    starts, order = walk
    near, is_sorted = 0, order.size > 0
    for n in range(starts.size - 1):
        last = NOWHEN
        for place in range(starts[n], starts[n + 1]):
            at = opened_at[order[place] if is_sorted else place]
            if at > last:  # neither a copy nor undated
                last = at
                near = session_of(opens, at, near)
                if room_of(at, opens[near], closes[near], breaks[near], resumes[near], length) == ON_GRID:
                    counts[n, near] += 1


@compiled
def fill_places(opened_at: Ints, hours: Hours, is_inside: Flags, ends: Ints) -> None:
    """For each bar whether a session has room for it, and when it is over.

    A daily bar is over with its session, any other and one of no session after its length.
    """
    opens, closes, breaks, resumes, length, is_daily = hours
    near = 0
    for row in range(opened_at.size):
        at = opened_at[row]
        near = session_of(opens, at, near)
        is_inside[row] = room_of(at, opens[near], closes[near], breaks[near], resumes[near], length) != OUTSIDE
        ends[row] = closes[near] if is_daily and is_inside[row] else at + length
