"""How likely the best of many tries is more than luck.

What goes here: judging a Sharpe ratio by how many were looked at. What does not: the tries (`backtest.sweep`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

#: Euler's and Mascheroni's constant.
_EULER = 0.5772156649015329


class Shape(NamedTuple):
    """Of the daily returns of one try: mean over sample deviation, skewness, kurtosis (3 is normal), their number."""

    ratio: float
    skewness: float
    kurtosis: float
    returns: int


def deflated_sharpe(shapes: Sequence[Shape | None]) -> float | None:
    """How likely the best Sharpe ratio of `shapes` is above what the best of so many tries without skill would show.

    Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014), equations 1 and 2, per day and with every combination
    counted as an independent try, which errs towards doubt. None for fewer than two combinations with returns.
    """
    known = [shape for shape in shapes if shape is not None]
    if len(known) < 2:
        return None
    ratios = np.array([shape.ratio for shape in known])
    normal, tries = NormalDist(), len(known)
    spread = float(ratios.std(ddof=1))
    lucky = spread * ((1 - _EULER) * normal.inv_cdf(1 - 1 / tries) + _EULER * normal.inv_cdf(1 - 1 / (tries * math.e)))
    ratio, skew, kurtosis, count = known[int(ratios.argmax())]
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio
    if variance <= 0 or count < 2:
        return None
    return normal.cdf((ratio - lucky) * math.sqrt(count - 1) / math.sqrt(variance))
