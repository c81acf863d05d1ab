"""What rests on a window of bars alone, as loops over plain arrays: means, bands, returns and their deviation.

What goes here: what a window gives. What does not: averages that never forget (`features.averages`), and the pieces
that instruments are gone through in (`features.kernel`). A value depends on the bars of its window alone, to the bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.features.machine_code import compiled

if TYPE_CHECKING:
    from ibkr_assets.features.frame import Floats, Ints

#: Bars of a piece: what is worked on stays in the processor's cache.
PIECE = 512


@compiled
def fill_means(values: Floats, length: int, out: Floats) -> None:
    """The means of the last `length` values, as those of the features; NaN before there are so many."""
    piece = max(PIECE, length)
    space = np.empty((3, piece + length))
    for row in range(0, values.size, piece):
        fill_mean(values, 0, row, min(values.size, row + piece), length, out, space)


@compiled
def fill_mean(close: Floats, start: int, row: int, end: int, length: int, out: Floats, space: Floats) -> None:
    """The means at the rows from `row` to before `end`, of an instrument that begins at `start`."""
    begin = min(end, max(row, start + length - 1))
    out[row:begin] = math.nan
    if begin < end:
        mean, values = out[begin:end], _sum_windows(close[begin - length + 1 : end], length, space)
        for i in range(mean.size):
            mean[i] = values[i] / length


@compiled
def fill_bands(
    close: Floats, start: int, row: int, end: int, spreads: Ints, out: Floats, at: int, space: Floats
) -> None:
    """The mean of a window, and so many deviations above and below it, in three rows of `out` from `at` on."""
    length = spreads[0]
    begin = min(end, max(row, start + length - 1))
    for k in range(3):
        out[at + k, row:begin] = math.nan
    if begin < end:
        upper, middle, lower = out[at, begin:end], out[at + 1, begin:end], out[at + 2, begin:end]
        mean, squares = _sum_squares(close[begin - length + 1 : end], length, space)
        for i in range(middle.size):
            deviation = math.sqrt(squares[i] / length)
            upper[i] = mean[i] + deviation * spreads[1]
            middle[i] = mean[i]
            lower[i] = mean[i] - deviation * spreads[2]


@compiled
def fill_returns(
    close: Floats, start: int, row: int, end: int, length: int, out: Floats, at: int, space: Floats
) -> None:
    """Simple and logarithmic returns of one bar, and the sample deviation of the last `length` logarithmic ones."""
    begin = min(end, max(row, start + 1))
    out[at, row:begin] = math.nan
    out[at + 1, row:begin] = math.nan
    simple, logarithmic, before, after = out[at, begin:end], out[at + 1, begin:end], close[begin - 1 :], close[begin:]
    for i in range(simple.size):
        ratio = after[i] / before[i]
        simple[i] = ratio - 1.0
        logarithmic[i] = math.log(ratio)
    first = min(end, max(row, start + length))
    out[at + 2, row:first] = math.nan
    if first < end:
        deviation, early = out[at + 2, first:end], first - length + 1
        values = space[4, : end - early]
        for i in range(early, begin):  # bars before these rows, whose returns may not have been asked for
            values[i - early] = math.log(close[i] / close[i - 1])
        _copy(logarithmic, values[begin - early :])
        _, squares = _sum_squares(values, length, space)
        for i in range(deviation.size):
            deviation[i] = math.sqrt(squares[i] / (length - 1))


@compiled
def _sum_windows(values: Floats, length: int, space: Floats) -> Floats:
    """The sums of all windows of that length, put together from blocks of 1, 2, 4, 8, ... values that windows share.

    A sum depends on the values of its window alone, not, as a running total does, on the rounding of all before it.
    """
    total, one, two = space[0, : values.size - length + 1], space[1], space[2]
    covered, size, here = length & 1, 2, values.size - 1
    if covered:
        _copy(values[: total.size], total)
        if length == 1:
            return total
    _add(values, values[1:], one[:here])
    while True:
        if length & size:
            if covered:
                _add(total, one[covered:], total)
            else:
                _copy(one[: total.size], total)
            covered += size
        if covered == length:
            return total
        here -= size
        _add(one, one[size:], two[:here])
        one, two = two, one
        size *= 2


@compiled
def _sum_squares(values: Floats, length: int, space: Floats) -> tuple[Floats, Floats]:
    """The mean of each window, and the sum of the squared distances from it, oldest first."""
    mean = _sum_windows(values, length, space)
    squares = space[3, : mean.size]
    for i in range(mean.size):
        mean[i] /= length
        squares[i] = 0.0
    many = length - length % 4
    for k in range(0, many, 4):  # four at a time, because going through memory takes longer than adding
        one, two, three, four = values[k:], values[k + 1 :], values[k + 2 :], values[k + 3 :]
        for i in range(mean.size):
            total, middle = squares[i], mean[i]
            total += (one[i] - middle) * (one[i] - middle)
            total += (two[i] - middle) * (two[i] - middle)
            total += (three[i] - middle) * (three[i] - middle)
            squares[i] = total + (four[i] - middle) * (four[i] - middle)
    for k in range(many, length):
        one = values[k:]
        for i in range(mean.size):
            squares[i] += (one[i] - mean[i]) * (one[i] - mean[i])
    return mean, squares


@compiled
def _add(one: Floats, other: Floats, total: Floats) -> None:
    for i in range(total.size):
        total[i] = one[i] + other[i]


@compiled
def _copy(values: Floats, out: Floats) -> None:
    for i in range(values.size):
        out[i] = values[i]
