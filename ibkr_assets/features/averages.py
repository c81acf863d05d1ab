"""Averages that never forget, and going on with them from what they were at an earlier bar.

What goes here: exponential averages and Wilder's, which is an exponential one of another length and another start.
What does not: which of them a feature is (`features.compute`). TA-Lib computes them over a whole column; a single new
bar needs one step of the same arithmetic, and gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import talib

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.frame import Floats
from ibkr_assets.features.windows import Windows


class Averages:
    """The averages of one instrument by name from their beginning, or of several side by side from `before`.

    `before` are the values of all of them at bar `at` of the columns given; what is returned up to that bar is NaN.
    `last` holds the values at the last bar, once they have been asked for.
    """

    def __init__(self, before: Mapping[str, Floats] | None = None, at: int = -1) -> None:
        self._before = before
        self._at = at
        self._known: dict[str, Floats] = {}
        self.last: dict[str, Floats] = {}

    def exponential(self, name: str, values: Floats, period: int, first: int) -> Floats:
        """The exponential average with the factor 2 / (period + 1), one value a bar, NaN before bar `first`.

        Its first value is the mean of the `period` values up to there.
        """
        if name not in self._known:
            self._keep(name, first, self._from_start(values[first - period + 1 :], period), values, period)
        return self._known[name]

    def wilder(self, name: str, values: Floats, period: int) -> Floats:
        """Wilder's average: each value enters with 1 / period. `values` has nothing at bar 0.

        Its first value, at bar `period`, is the mean of the values at bars 1 to `period`.
        """
        long = 2 * period - 1
        if name not in self._known:
            begun = np.empty(0)
            if self._before is None and values.size > period:
                padded = np.zeros(long + values.size - period - 1)
                # The mean of these zeros and this value is the first one.
                padded[long - 1] = Windows(values[1 : period + 1]).sums(period)[0] / period * long
                padded[long:] = values[period + 1 :]
                begun = self._from_start(padded, long)
            self._keep(name, period, begun, values, long)
        return self._known[name]

    def _from_start(self, values: Floats, period: int) -> Floats:
        if self._before is not None or values.size < period:
            return np.empty(0)
        averages: Floats = talib.EMA(values, period)[period - 1 :]
        return averages

    def _keep(self, name: str, first: int, begun: Floats, values: Floats, period: int) -> None:
        found = np.full(values.shape, np.nan)
        if self._before is not None:
            found[self._at + 1 :] = carry_on(self._before[name], values[self._at + 1 :], period)
        elif begun.size:
            found[first:] = begun
        self._known[name] = found
        self.last[name] = found[-1] if len(found) else np.array(np.nan)


def carry_on(values: Floats, following: Floats, period: int) -> Floats:
    """The exponential averages of what follows: a row a bar, a column for each of the `values` they had before.

    Raises DataError where the bits could not be those of TA-Lib: see `is_carried_on_exactly`.
    """
    factor, step = 2.0 / (period + 1), _step()
    if step is None:
        raise DataError("averages: this machine's TA-Lib rounds in neither of the known ways; start from the first bar")
    averages = np.empty(following.shape)
    for column, before in enumerate(values.tolist()):
        value = before
        for row, new in enumerate(following[:, column].tolist()):
            value = step(new - value, factor, value)
            averages[row, column] = value
    return averages


def is_carried_on_exactly() -> bool:
    """Whether a step of `carry_on` gives the bits that this machine's TA-Lib gives."""
    return _step() is not None


@cache
def _step() -> Callable[[float, float, float], float] | None:
    """How TA-Lib's build for this machine adds the weighted change: rounding twice, or once as processors do in one go.

    Found by asking it; None where it does neither.
    """
    return next((step for step in (_rounded_once, _rounded_twice) if _agrees(step)), None)


def _agrees(step: Callable[[float, float, float], float]) -> bool:
    values = 100.0 + np.cumsum(np.sin(np.arange(2000.0) ** 1.5))
    for period in (9, 12, 26, 27):
        averages = talib.EMA(values, period)[period - 1 :].tolist()
        factor = 2.0 / (period + 1)
        for before, new, after in zip(averages, values[period:].tolist(), averages[1:], strict=False):
            if step(new - before, factor, before) != after:
                return False
    return True


def _rounded_twice(change: float, factor: float, value: float) -> float:
    return change * factor + value


def _rounded_once(change: float, factor: float, value: float) -> float:
    """A fused multiplication and addition, in whole numbers: Python has it as a function from 3.13 on."""
    (a, b), (c, d), (e, f) = change.as_integer_ratio(), factor.as_integer_ratio(), value.as_integer_ratio()
    return (a * c * f + e * b * d) / (b * d * f)
