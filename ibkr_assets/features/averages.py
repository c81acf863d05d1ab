"""What never forgets, as loops over plain arrays: exponential averages, and RSI, MACD and ATR that rest on them.

What goes here: how an average starts, and how it goes on from its value at the bar before. What does not: what rests on
a window (`features.windows`), and the pieces that instruments are gone through in (`features.kernel`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ibkr_assets.features.machine_code import compiled

if TYPE_CHECKING:
    from ibkr_assets.features.frame import Floats, Ints

#: Places of the averages in a state.
EMA_SHORT, EMA_LONG, FAST, SLOW, SIGNAL, GAIN, LOSS, RANGE = range(8)


@compiled
def fill_averages(
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
    line[:begin] = math.nan
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
    out[:first] = math.nan
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
