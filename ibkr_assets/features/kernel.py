"""The arithmetic of the feature set as loops over plain arrays, from the first bar or from known averages.

What goes here: what is computed at a bar. What does not: names, parameters and frames (`features.compute`). Instruments
are gone through in pieces that fit in the processor's cache, each going on from the piece before it exactly as a new
session goes on from the one before: a value has the same bits whatever follows and wherever it was gone on from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.features.machine_code import compiled

if TYPE_CHECKING:
    from ibkr_assets.features.frame import Floats, Ints

#: Bars of a piece. The first piece of an instrument has all bars that averages start from.
PIECE = 512
MAX = float(np.finfo(np.float64).max)
#: Places of the averages in a state.
EMA_SHORT, EMA_LONG, FAST, SLOW, SIGNAL, GAIN, LOSS, RANGE = range(8)


@compiled
def fill_features(
    high: Floats, low: Floats, close: Floats, spans: Ints, states: Floats,
    means: Ints, averages: Ints, spreads: Ints,
    warm_ups: Ints, out: Floats, space: Floats,
) -> int:  # fmt: skip
    """Fill `out`, a row a feature, from columns of instruments that stand one after the other.

    A row of `spans` has an instrument's first row, the first one to compute and the end: the rows between the first two
    are NaN, and averages go on from the instrument's row of `states`, which is that at the bar before. Where both are
    the same row everything starts there. `states` becomes that at the last bar; NaN where an average has not begun.

    `means` are the lengths of the simple means; `averages` those of two exponential ones, of MACD (fast, slow, signal),
    RSI and ATR; `spreads` that of the bands, their deviations up and down, and that of the volatility. The rows of
    `out`: the means, the two averages, RSI, MACD's three, the upper, middle and lower band, ATR, the return, its
    logarithm, the volatility. `space`, five rows of PIECE and the longest window, is to work in.

    Returns -1, or the place of the first instrument with a value that is not finite although the feature's warm-up is
    over; it is computed up to there, and those after it are not.
    """
    first = means.size
    for n in range(len(spans)):
        start, row, stop = spans[n]
        for k in range(len(out)):
            _leave_out(out[k, start:row])
        while row < stop:
            end = min(stop, row + PIECE)
            for k in range(means.size):
                _fill_mean(close, start, row, end, means[k], out[k], space)
            _fill_averages(high, low, close, start, row, end, averages, states[n], out, first, space)
            _fill_bands(close, start, row, end, spreads, out, first + 6, space)
            _fill_returns(close, start, row, end, spreads[3], out, first + 10, space)
            for k in range(len(out)):
                if not _is_finite(out[k, min(end, max(row, start + warm_ups[k])) : end]):
                    return n
            row = end
    return -1


@compiled
def _fill_mean(close: Floats, start: int, row: int, end: int, length: int, out: Floats, space: Floats) -> None:
    begin = min(end, max(row, start + length - 1))
    _leave_out(out[row:begin])
    if begin < end:
        mean, values = out[begin:end], _sum_windows(close[begin - length + 1 : end], length, space)
        for i in range(mean.size):
            mean[i] = values[i] / length


@compiled
def _fill_bands(
    close: Floats, start: int, row: int, end: int, spreads: Ints, out: Floats, at: int, space: Floats
) -> None:
    length = spreads[0]
    begin = min(end, max(row, start + length - 1))
    for k in range(3):
        _leave_out(out[at + k, row:begin])
    if begin < end:
        upper, middle, lower = out[at, begin:end], out[at + 1, begin:end], out[at + 2, begin:end]
        mean, squares = _sum_squares(close[begin - length + 1 : end], length, space)
        for i in range(middle.size):
            deviation = math.sqrt(squares[i] / length)
            upper[i] = mean[i] + deviation * spreads[1]
            middle[i] = mean[i]
            lower[i] = mean[i] - deviation * spreads[2]


@compiled
def _fill_returns(
    close: Floats, start: int, row: int, end: int, length: int, out: Floats, at: int, space: Floats
) -> None:
    """Simple and logarithmic returns of one bar, and the sample deviation of the last `length` logarithmic ones."""
    begin = min(end, max(row, start + 1))
    _leave_out(out[at, row:begin])
    _leave_out(out[at + 1, row:begin])
    simple, logarithmic, before, after = out[at, begin:end], out[at + 1, begin:end], close[begin - 1 :], close[begin:]
    for i in range(simple.size):
        ratio = after[i] / before[i]
        simple[i] = ratio - 1.0
        logarithmic[i] = math.log(ratio)
    first = min(end, max(row, start + length))
    _leave_out(out[at + 2, row:first])
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
    _copy(values, one)
    size, covered, here = 1, 0, values.size
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
    for k in range(length):
        here = values[k : k + mean.size]
        for i in range(mean.size):
            apart = here[i] - mean[i]
            squares[i] += apart * apart
    return mean, squares


@compiled
def _add(one: Floats, other: Floats, total: Floats) -> None:
    for i in range(total.size):
        total[i] = one[i] + other[i]


@compiled
def _leave_out(values: Floats) -> None:
    for i in range(values.size):
        values[i] = math.nan


@compiled
def _is_finite(values: Floats) -> bool:
    is_wrong = False
    for i in range(values.size):
        is_wrong |= not abs(values[i]) <= MAX
    return not is_wrong


@compiled
def _copy(values: Floats, out: Floats) -> None:
    for i in range(values.size):
        out[i] = values[i]


@compiled
def _fill_averages(
    high: Floats, low: Floats, close: Floats, start: int, row: int, end: int, lengths: Ints,
    state: Floats, out: Floats, at: int, space: Floats,
) -> None:  # fmt: skip
    """What never forgets: both averages, RSI, MACD's three, and after three rows that are others' ATR."""
    short, long, strength = out[at, row:end], out[at + 1, row:end], out[at + 2, row:end]
    line, signal, above = out[at + 3, row:end], out[at + 4, row:end], out[at + 5, row:end]
    true_range, highs, lows = out[at + 9, row:end], high[row:end], low[row:end]
    if row > start:
        _go_on(highs, lows, close[row - 1 :], lengths, state, short, long, strength, line, signal, above, true_range)
        return
    closes = close[row:end]
    state[EMA_SHORT] = _start(closes, lengths[0] - 1, lengths[0], 2.0 / (lengths[0] + 1), short)
    state[EMA_LONG] = _start(closes, lengths[1] - 1, lengths[1], 2.0 / (lengths[1] + 1), long)
    _start_lines(closes, lengths[2], lengths[3], lengths[4], state, line, signal, above)
    _start_ranges(highs, lows, closes, lengths[5], lengths[6], state, strength, true_range, space)


@compiled
def _start_lines(
    close: Floats, of_fast: int, of_slow: int, of_signal: int, state: Floats, line: Floats, signal: Floats,
    above: Floats,
) -> None:  # fmt: skip
    """Both averages of MACD start where the slow one can, and its lines where the signal can."""
    state[FAST] = _start(close, of_slow - 1, of_fast, 2.0 / (of_fast + 1), line)
    state[SLOW] = _start(close, of_slow - 1, of_slow, 2.0 / (of_slow + 1), signal)
    for i in range(line.size):
        line[i] -= signal[i]
    begin = of_slow + of_signal - 2
    state[SIGNAL] = _start(line, begin, of_signal, 2.0 / (of_signal + 1), signal)
    _leave_out(line[:begin])
    for i in range(line.size):
        above[i] = line[i] - signal[i]


@compiled
def _start_ranges(
    high: Floats, low: Floats, close: Floats, of_strength: int, of_range: int, state: Floats, strength: Floats,
    true_range: Floats, space: Floats,
) -> None:  # fmt: skip
    """Changes and ranges begin at the second bar."""
    gains, losses, ranges = space[0, : close.size], space[1, : close.size], space[2, : close.size]
    gain, loss = space[3, : close.size], space[4, : close.size]
    for i in range(1, close.size):
        change = close[i] - close[i - 1]
        gains[i], losses[i] = max(change, 0.0), max(-change, 0.0)
        ranges[i] = max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
    state[GAIN] = _start(gains, of_strength, of_strength, 1.0 / of_strength, gain)
    state[LOSS] = _start(losses, of_strength, of_strength, 1.0 / of_strength, loss)
    for i in range(close.size):
        strength[i] = _strength(gain[i], loss[i])
    state[RANGE] = _start(ranges, of_range, of_range, 1.0 / of_range, true_range)


@compiled
def _start(values: Floats, first: int, length: int, factor: float, out: Floats) -> float:
    """An average from its start: at bar `first` it is the mean of the `length` values up to there. Returns the last."""
    _leave_out(out[:first])
    if first >= values.size:
        return math.nan
    average = 0.0
    for i in range(first - length + 1, first + 1):
        average += values[i]
    average /= length
    out[first] = average
    for i in range(first + 1, values.size):
        average += (values[i] - average) * factor
        out[i] = average
    return average


@compiled
def _go_on(
    high: Floats, low: Floats, closes: Floats, lengths: Ints, state: Floats, out_short: Floats,
    out_long: Floats, out_strength: Floats, out_line: Floats, out_signal: Floats, out_above: Floats,
    out_range: Floats,
) -> None:  # fmt: skip
    """From the averages at the bar before; `closes` begin with that bar's.

    Side by side, because a step waits for the one before it: all averages together take about the time of one.
    """
    of_short, of_long, of_fast = 2.0 / (lengths[0] + 1), 2.0 / (lengths[1] + 1), 2.0 / (lengths[2] + 1)
    of_slow, of_signal = 2.0 / (lengths[3] + 1), 2.0 / (lengths[4] + 1)
    of_strength, of_range = 1.0 / lengths[5], 1.0 / lengths[6]
    short, long, fast, slow = state[EMA_SHORT], state[EMA_LONG], state[FAST], state[SLOW]
    signal, gain, loss, true_range = state[SIGNAL], state[GAIN], state[LOSS], state[RANGE]
    before = closes[0]
    for i in range(high.size):
        close = closes[i + 1]
        short += (close - short) * of_short
        long += (close - long) * of_long
        out_short[i], out_long[i] = short, long
        change = close - before
        gain += (max(change, 0.0) - gain) * of_strength
        loss += (max(-change, 0.0) - loss) * of_strength
        out_strength[i] = _strength(gain, loss)
        fast += (close - fast) * of_fast
        slow += (close - slow) * of_slow
        line = fast - slow
        signal += (line - signal) * of_signal
        out_line[i], out_signal[i], out_above[i] = line, signal, line - signal
        widest = max(high[i] - low[i], abs(high[i] - before), abs(low[i] - before))
        true_range += (widest - true_range) * of_range
        out_range[i] = true_range
        before = close
    state[EMA_SHORT], state[EMA_LONG], state[FAST], state[SLOW] = short, long, fast, slow
    state[SIGNAL], state[GAIN], state[LOSS], state[RANGE] = signal, gain, loss, true_range


@compiled
def _strength(gain: float, loss: float) -> float:
    """RSI: 0 where no close has ever changed."""
    both = gain + loss
    return 0.0 if both == 0.0 else 100.0 * (gain / both)
