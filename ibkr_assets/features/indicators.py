"""Indicators with any parameters, for strategies whose own are free, and the comparison they are compared with.

What goes here: declarations of indicators and their values over one instrument. What does not: the named features with
their fixed parameters, which are stored (`features.definition`), and how they are computed (`features.compute`). Both
have TA-Lib's conventions: averages start from a simple mean. A mean of a window is that of the features, which rests on
the bars of its window alone; the others are TA-Lib's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import overload

import numpy as np
import numpy.typing as npt
import talib

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.definition import Feature
from ibkr_assets.features.frame import Floats, frozen

Flags = npt.NDArray[np.bool_]


@cache
def sma_of(window: int) -> Feature:
    """Simple moving average of the last `window` closes."""
    return Feature(f"sma_{window}", "SMA", ("close",), (("timeperiod", window),), window - 1)


@cache
def rsi_of(period: int) -> Feature:
    """Wilder's relative strength index of the close; 0 where no close has ever changed."""
    return Feature(f"rsi_{period}", "RSI", ("close",), (("timeperiod", period),), period)


@cache
def highest_of(window: int) -> Feature:
    """The highest high of the last `window` bars, at least 2."""
    return Feature(f"highest_{window}", "MAX", ("high",), (("timeperiod", window),), window - 1)


@cache
def lowest_of(window: int) -> Feature:
    """The lowest low of the last `window` bars, at least 2."""
    return Feature(f"lowest_{window}", "MIN", ("low",), (("timeperiod", window),), window - 1)


def compute_indicators(wanted: Sequence[Feature], columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Values by name over one instrument's bars, oldest first; NaN in the warm-up and nowhere else.

    A value depends on its own and earlier bars only. Raises DataError naming a column that is not finite.
    """
    for name in {name for feature in wanted for name in feature.inputs}:
        if not np.isfinite(columns[name]).all():
            raise DataError(f"column {name!r}: not finite; an average over a hole is no average")
    return {feature.name: _outputs(feature, columns)[feature.output] for feature in wanted}


def _outputs(feature: Feature, columns: Mapping[str, Floats]) -> tuple[Floats, ...]:
    """All results of a TA-Lib function over one instrument's columns."""
    inputs = [columns[name] for name in feature.inputs]
    if inputs[0].size <= feature.warm_up:
        return tuple(np.full(inputs[0].size, np.nan) for _ in range(3))
    if feature.indicator == "SMA":
        from ibkr_assets.features.windows import fill_means  # brings the compiler

        mean = np.empty(inputs[0].size)
        fill_means(frozen(inputs[0]), feature.warm_up + 1, mean)
        return (frozen(mean),)
    result = getattr(talib, feature.indicator)(*inputs, **dict(feature.parameters))
    return result if isinstance(result, tuple) else (result,)


@overload
def is_greater(a: float, b: float) -> bool: ...
@overload
def is_greater(a: Floats, b: Floats | float) -> Flags: ...
def is_greater(a: Floats | float, b: Floats | float) -> Flags | bool:
    """True where `a` exceeds `b` by more than a billionth of it; a tie is not greater, and nothing is above NaN."""
    from ibkr_assets.features.comparison import TIE, greater  # brings the compiler

    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return greater(a, b)
    assert not isinstance(b, np.ndarray)
    return a - b > TIE * abs(b)
