"""The feature set over a bar frame, instrument by instrument, from the first bar or from a known state.

Every value at a bar depends on that bar and earlier ones only, and is the same bit for bit whatever follows. Windows
depend on their own bars (`features.windows`). Averages that never forget (EMA, RSI, MACD, ATR) depend on the first
bar given, or on what they are carried on from (`features.averages`): both give the same bits. Names and parameters are
in `features.definition`; values equal TA-Lib's to 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.averages import Averages
from ibkr_assets.features.definition import DEFINITIONS, FEATURES, WARM_UP_BARS, Feature
from ibkr_assets.features.frame import Floats, InstrumentBars, split_by_instrument
from ibkr_assets.features.windows import Windows

_INPUTS = ("high", "low", "close")

#: The averages of a state, in order.
AVERAGES = ("ema_12", "ema_26", "fast", "signal", "gain", "loss", "range")


@dataclass(frozen=True, slots=True)
class Since:
    """The averages of an instrument, in the order of AVERAGES, at bar `at` of those given, counted from 0.

    At least WARM_UP_BARS bars before `at` are given, too.
    """

    at: int
    averages: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """Features, and the averages of each instrument (by conid) at its last bar, where all of them have begun."""

    features: pd.DataFrame
    averages: dict[int, tuple[float, ...]]


def compute_features(bars: pd.DataFrame) -> pd.DataFrame:
    """All features of all bars: columns `conid`, `opened_at`, then FEATURES as float64, rows as in `bars`.

    `bars` has BAR_COLUMNS, ordered by conid and time; instruments do not touch each other. NaN stands in the
    warm-up of an instrument and nowhere else. Raises DataError for a frame that is not so, naming the column, and
    for a feature that is not finite after its warm-up.
    """
    return compute_from(bars, {}).features


def compute_from(bars: pd.DataFrame, since: Mapping[int, Since]) -> Computed:
    """The same, going on from what is known of some instruments; their rows up to `at` mean nothing.

    Raises as `compute_features` does, and DataError where there are too few bars before `at`.
    """
    values = np.empty((len(FEATURES), len(bars)))
    averages: dict[int, tuple[float, ...]] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for instrument in split_by_instrument(bars, _INPUTS):
            known = since.get(instrument.conid)
            own = _Instrument(instrument, known)
            for row, feature in enumerate(DEFINITIONS):
                values[row, instrument.rows] = own.values(feature)
            if all(math.isfinite(value) for value in own.averages.last.values()):
                averages[instrument.conid] = tuple(own.averages.last[name] for name in AVERAGES)
    # One block of floats that nothing copies: making the frame costs as much as the indicators otherwise.
    frame = pd.DataFrame(values.T, columns=list(FEATURES), copy=False)
    frame.insert(0, "conid", bars["conid"].array)
    frame.insert(1, "opened_at", bars["opened_at"].array)
    return Computed(frame, averages)


class _Instrument:
    """The bars of one instrument, and what several features share."""

    def __init__(self, bars: InstrumentBars, known: Since | None) -> None:
        if known is not None and known.at < WARM_UP_BARS:
            raise DataError(f"conid {bars.conid}: {known.at} bars before a known state, {WARM_UP_BARS} are needed")
        self._bars = bars
        self._begin = None if known is None else known.at + 1
        self.averages = (
            Averages() if known is None else Averages(dict(zip(AVERAGES, known.averages, strict=True)), known.at)
        )
        self._windows = {"close": Windows(bars.columns["close"])}
        self._done: dict[tuple[object, ...], tuple[Floats, ...]] = {}

    def values(self, feature: Feature) -> Floats:
        """One value a bar. Raises DataError for one after the warm-up that is not finite."""
        key = (feature.indicator, feature.inputs, feature.parameters)
        if key not in self._done:
            found = _INDICATORS[feature.indicator](self, **{name: int(value) for name, value in feature.parameters})
            self._done[key] = found if isinstance(found, tuple) else (found,)
        output = self._done[key][feature.output]
        output[: feature.warm_up] = np.nan
        begin = feature.warm_up if self._begin is None else self._begin
        if not math.isfinite(output[begin:].sum()):  # a sum is finite only when all its parts are
            self._refuse(feature, output, begin)
        return output

    def _refuse(self, feature: Feature, output: Floats, begin: int) -> None:
        wrong = np.flatnonzero(~np.isfinite(output[begin:]))
        if wrong.size:
            raise DataError(
                f"feature {feature.name!r}: {output[begin + wrong[0]]} at bar {begin + wrong[0]} "
                f"of conid {self._bars.conid}; are its prices positive?"
            )

    def _padded(self, values: Floats) -> Floats:
        """As long as the bars, NaN before the first value."""
        size = self._bars.columns["close"].size
        if values.size == size:
            return values
        padded = np.empty(size)
        padded[: size - values.size] = np.nan
        padded[size - values.size :] = values
        return padded

    def mean(self, timeperiod: int) -> Floats:
        """Of the last closes."""
        return self._padded(self._windows["close"].sums(timeperiod) / timeperiod)

    def bands(self, timeperiod: int, nbdevup: int, nbdevdn: int) -> tuple[Floats, ...]:
        """The mean, and so many deviations (of the population) above and below it."""
        middle = self._windows["close"].sums(timeperiod) / timeperiod
        deviation = self._windows["close"].deviations(timeperiod, timeperiod)
        return tuple(map(self._padded, (middle + deviation * nbdevup, middle, middle - deviation * nbdevdn)))

    def exponential(self, timeperiod: int) -> Floats:
        """Of all closes."""
        return self.averages.exponential(
            f"ema_{timeperiod}", self._bars.columns["close"], timeperiod, timeperiod - 1
        ).copy()

    def macd(self, fastperiod: int, slowperiod: int, signalperiod: int) -> tuple[Floats, ...]:
        """The line, its signal, and the line above it. Both averages of the line start where the slow one does."""
        close, begin = self._bars.columns["close"], slowperiod - 1
        slow = self.averages.exponential(f"ema_{slowperiod}", close, slowperiod, begin)
        line = self.averages.exponential("fast", close, fastperiod, begin) - slow
        signal = self.averages.exponential("signal", line, signalperiod, begin + signalperiod - 1)
        return line, signal.copy(), line - signal

    def strength(self, timeperiod: int) -> Floats:
        """Wilder's RSI: 0 where no close has ever changed."""
        change = self._changes()
        gain = self.averages.wilder("gain", np.maximum(change, 0.0), timeperiod)
        loss = self.averages.wilder("loss", np.maximum(-change, 0.0), timeperiod)
        both = gain + loss
        return np.where(both == 0.0, 0.0, 100.0 * (gain / both))

    def true_range(self, timeperiod: int) -> Floats:
        """Wilder's average of the true range."""
        high, low, close = (self._bars.columns[name] for name in _INPUTS)
        ranges = high - low
        np.maximum(ranges[1:], np.abs(high[1:] - close[:-1]), out=ranges[1:])
        np.maximum(ranges[1:], np.abs(low[1:] - close[:-1]), out=ranges[1:])
        return self.averages.wilder("range", ranges, timeperiod).copy()

    def simple_return(self, timeperiod: int) -> Floats:
        """Close / close some bars before, minus one."""
        close = self._bars.columns["close"]
        return self._padded(close[timeperiod:] / close[:-timeperiod] - 1.0)

    def log_return(self, timeperiod: int) -> Floats:
        """Its logarithm. TA-Lib's LN goes value by value, so that length changes no bit."""
        close = self._bars.columns["close"]
        ratios = close[timeperiod:] / close[:-timeperiod]
        return self._padded(talib.LN(ratios) if ratios.size else ratios)

    def volatility(self, timeperiod: int) -> Floats:
        """Sample standard deviation (n - 1) of the last log returns of one bar; not annualised."""
        returns = Windows(self.log_return(1)[1:])
        return self._padded(returns.deviations(timeperiod, timeperiod - 1))

    def _changes(self) -> Floats:
        close = self._bars.columns["close"]
        changes = np.empty(close.size)
        changes[:1] = 0.0
        np.subtract(close[1:], close[:-1], out=changes[1:])
        return changes


_INDICATORS: dict[str, Callable[..., Floats | tuple[Floats, ...]]] = {
    "SMA": _Instrument.mean,
    "EMA": _Instrument.exponential,
    "RSI": _Instrument.strength,
    "MACD": _Instrument.macd,
    "BBANDS": _Instrument.bands,
    "ATR": _Instrument.true_range,
    "return": _Instrument.simple_return,
    "log_return": _Instrument.log_return,
    "volatility": _Instrument.volatility,
}
