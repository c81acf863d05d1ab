"""The feature set over a bar frame, with TA-Lib, instrument by instrument.

Every value at a bar depends on that bar and earlier ones only, and is the same bit for bit whatever follows.
Averages that never forget (EMA, RSI, MACD, ATR) depend on the first bar given: give the same first bar to get the
same values. Names and parameters are in `features.definition`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import talib

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.definition import DEFINITIONS, FEATURES, Feature
from ibkr_assets.features.frame import Floats, InstrumentBars, split_by_instrument

_INPUTS = ("high", "low", "close")


def compute_features(bars: pd.DataFrame) -> pd.DataFrame:
    """All features of all bars: columns `conid`, `opened_at`, then FEATURES as float64, rows as in `bars`.

    `bars` has BAR_COLUMNS, ordered by conid and time; instruments do not touch each other. NaN stands in the
    warm-up of an instrument and nowhere else. Raises DataError for a frame that is not so, naming the column, and
    for a feature that is not finite after its warm-up.
    """
    values = np.empty((len(FEATURES), len(bars)))
    for instrument in split_by_instrument(bars, _INPUTS):
        done: dict[tuple[object, ...], tuple[Floats, ...]] = {}
        for row, feature in enumerate(DEFINITIONS):
            key = (feature.indicator, feature.inputs, feature.parameters)
            if key not in done:
                done[key] = indicator_outputs(feature, instrument.columns)
            output = done[key][feature.output]
            _check_finite(feature, output, instrument)
            values[row, instrument.rows] = output
    # One block of floats that nothing copies: making the frame costs as much as the indicators otherwise.
    frame = pd.DataFrame(values.T, columns=list(FEATURES), copy=False)
    frame.insert(0, "conid", bars["conid"].array)
    frame.insert(1, "opened_at", bars["opened_at"].array)
    return frame


def indicator_outputs(feature: Feature, columns: Mapping[str, Floats]) -> tuple[Floats, ...]:
    """All results of a feature's indicator over one instrument's columns, oldest first; NaN in the warm-up."""
    inputs = [columns[name] for name in feature.inputs]
    if inputs[0].size <= feature.warm_up:
        return tuple(np.full(inputs[0].size, np.nan) for _ in range(3))
    if feature.indicator in _OWN:
        return (_OWN[feature.indicator](inputs[0], int(dict(feature.parameters)["timeperiod"])),)
    result = getattr(talib, feature.indicator)(*inputs, **dict(feature.parameters))
    return result if isinstance(result, tuple) else (result,)


def _check_finite(feature: Feature, output: Floats, instrument: InstrumentBars) -> None:
    if math.isfinite(output[feature.warm_up :].sum()):  # a sum is finite only when all its parts are
        return
    wrong = np.flatnonzero(~np.isfinite(output[feature.warm_up :]))
    if wrong.size:
        raise DataError(
            f"feature {feature.name!r}: {output[feature.warm_up + wrong[0]]} at bar {feature.warm_up + wrong[0]} "
            f"of conid {instrument.conid}; are its prices positive?"
        )


def _log_return(close: Floats, period: int) -> Floats:
    """ln(close / close `period` bars before). TA-Lib's LN goes value by value, so that length changes no bit."""
    result = np.full(close.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = close[period:] / close[:-period]
    result[period:] = talib.LN(ratios)
    return result


def _simple_return(close: Floats, period: int) -> Floats:
    """Close / close `period` bars before, minus one."""
    result = np.full(close.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        result[period:] = close[period:] / close[:-period] - 1.0
    return result


def _volatility(close: Floats, period: int) -> Floats:
    """Sample standard deviation (n - 1) of the last `period` log returns of one bar; not annualised.

    In two passes and in a fixed order of addition: one pass over squares loses small deviations to rounding.
    """
    returns = _log_return(close, 1)[1:]
    count = returns.size - period + 1
    windows = [returns[shift : shift + count] for shift in range(period)]
    mean = np.zeros(count)
    for window in windows:
        mean += window
    mean /= period
    squares, part = np.zeros(count), np.empty(count)
    for window in windows:
        np.subtract(window, mean, out=part)
        np.multiply(part, part, out=part)
        squares += part
    result = np.full(close.size, np.nan)
    result[period:] = np.sqrt(squares / (period - 1))
    return result


_OWN: dict[str, Callable[[Floats, int], Floats]] = {
    "return": _simple_return,
    "log_return": _log_return,
    "volatility": _volatility,
}
