"""Averages with any window, for strategies whose parameters are free, and the comparison they are compared with.

The named features, with fixed windows, are in `features.definition`.
"""

import numpy as np
import talib

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.frame import Floats

#: Two averages this close, relative to the second, are a tie: rounding alone can part them that far.
TIE = 1e-9


def sma(values: Floats, window: int) -> Floats:
    """Simple moving average of the last `window` values; NaN for the first `window - 1`. Raises DataError for NaN."""
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    if not np.isfinite(values).all():
        raise DataError("values: not finite; an average over a hole is no average")
    averages: Floats = talib.SMA(np.ascontiguousarray(values, dtype=np.float64), timeperiod=window)
    return averages


def is_greater(a: float, b: float) -> bool:
    """True when `a` exceeds `b` by more than a billionth of it; a tie is not greater."""
    return a - b > TIE * abs(b)
