"""The arithmetic of the feature set over many instruments, from the first bar or from known averages.

What goes here: the order of the work. What does not: the arithmetic of windows and of averages (`features.windows`,
`features.averages`), and names, parameters and frames (`features.compute`). Instruments are gone through in pieces that
fit in the processor's cache, each going on from the piece before it exactly as a new session goes on from the one
before: a value has the same bits whatever follows and wherever it was gone on from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.features import averages as of_averages
from ibkr_assets.features import windows as of_windows
from ibkr_assets.features.averages import fill_averages
from ibkr_assets.features.machine_code import compiled, digest_of
from ibkr_assets.features.windows import PIECE, fill_bands, fill_mean, fill_returns

if TYPE_CHECKING:
    from ibkr_assets.features.frame import Floats, Ints

#: The first piece of an instrument: it has the bars that averages start from, where each is gone through alone.
FIRST = 64
MAX = float(np.finfo(np.float64).max)


def _fill_features_of(digest: str) -> Callable[..., int]:
    """The loop over instruments. What it closes over is part of the name that its code is kept by."""

    @compiled
    def fill_features(
        high: Floats, low: Floats, close: Floats, spans: Ints, states: Floats,
        means: Ints, averages: Ints, spreads: Ints,
        warm_ups: Ints, out: Floats, space: Floats,
    ) -> int:  # fmt: skip
        """Fill `out`, a row a feature, from columns of instruments that stand one after the other.

        A row of `spans` has an instrument's first row, the first one to compute and the end: the rows between the first
        two are NaN, and averages go on from the instrument's row of `states`, which is that at the bar before. Where
        both are the same row everything starts there. `states` becomes that at the last bar; NaN where an average has
        not begun.

        `means` are the lengths of the simple means; `averages` those of two exponential ones, of MACD (fast, slow,
        signal), RSI and ATR; `spreads` that of the bands, their deviations up and down, and that of the volatility. The
        rows of `out`: the means, the two averages, RSI, MACD's three, the upper, middle and lower band, ATR, the
        return, its logarithm, the volatility. `space`, five rows of PIECE and the longest window, is to work in.

        Returns -1, or the place of the first instrument with a value that is not finite although the feature's warm-up
        is over; it is computed up to there, and those after it are not.
        """
        assert digest
        first = means.size
        for n in range(len(spans)):
            start, row, stop = spans[n]
            for k in range(len(out)):
                out[k, start:row] = math.nan
            while row < stop:
                end = min(stop, row + (PIECE if row > start else FIRST))
                for k in range(means.size):
                    fill_mean(close, start, row, end, means[k], out[k], space)
                fill_averages(high, low, close, start, row, end, averages, states[n], out, first, space)
                fill_bands(close, start, row, end, spreads, out, first + 6, space)
                fill_returns(close, start, row, end, spreads[3], out, first + 10, space)
                for k in range(len(out)):
                    if not _is_finite(out[k, min(end, max(row, start + warm_ups[k])) : end]):
                        return n
                row = end
        return -1

    return fill_features


@compiled
def _is_finite(values: Floats) -> bool:
    is_wrong = False
    for i in range(values.size):
        is_wrong |= not abs(values[i]) <= MAX
    return not is_wrong


fill_features = _fill_features_of(digest_of(of_windows, of_averages))
