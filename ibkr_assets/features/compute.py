"""The feature set over a bar frame, instrument by instrument, from the first bar or from a known state.

Every value at a bar depends on that bar and earlier ones only, and is the same bit for bit whatever follows. Windows
depend on their own bars (`features.windows`). Averages that never forget (EMA, RSI, MACD, ATR) depend on the first
bar given, or on what they are carried on from (`features.averages`): both give the same bits. Names and parameters are
in `features.definition`; values equal TA-Lib's to 1e-9.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
    """The same, going on from what is known of some instruments; their rows up to `at` are NaN.

    Raises as `compute_features` does, and DataError where there are too few bars before `at`.
    """
    values = np.empty((len(FEATURES), len(bars)))
    averages: dict[int, tuple[float, ...]] = {}
    carried: dict[int, list[InstrumentBars]] = defaultdict(list)
    with np.errstate(divide="ignore", invalid="ignore"):
        for instrument in split_by_instrument(bars, _INPUTS):
            known = since.get(instrument.conid)
            if known is not None:
                if known.at < WARM_UP_BARS:
                    raise DataError(
                        f"conid {instrument.conid}: {known.at} bars before a known state, {WARM_UP_BARS} are needed"
                    )
                carried[instrument.rows.stop - instrument.rows.start - known.at].append(instrument)
                continue
            own = _Bars(instrument.columns, Averages(), [instrument.conid])
            for row, feature in enumerate(DEFINITIONS):
                values[row, instrument.rows] = own.values(feature, feature.warm_up)
            last = own.averages.last
            if all(math.isfinite(value) for value in last.values()):
                averages[instrument.conid] = tuple(float(last[name]) for name in AVERAGES)
        for count, instruments in carried.items():
            averages |= _carry_on(instruments, count + WARM_UP_BARS, since, values)
    # One block of floats that nothing copies: making the frame costs as much as the indicators otherwise.
    frame = pd.DataFrame(values.T, columns=list(FEATURES), copy=False)
    frame.insert(0, "conid", bars["conid"].array)
    frame.insert(1, "opened_at", bars["opened_at"].array)
    return Computed(frame, averages)


def _carry_on(
    instruments: Sequence[InstrumentBars], length: int, since: Mapping[int, Since], values: Floats
) -> dict[int, tuple[float, ...]]:
    """Go on with instruments of the same number of new bars, side by side: a row a bar, a column an instrument."""
    columns = {name: np.stack([i.columns[name][-length:] for i in instruments], axis=1) for name in _INPUTS}
    conids = [instrument.conid for instrument in instruments]
    known = np.array([since[conid].averages for conid in conids])
    own = _Bars(columns, Averages(dict(zip(AVERAGES, known.T, strict=True)), WARM_UP_BARS), conids)
    for row, feature in enumerate(DEFINITIONS):
        output = own.values(feature, WARM_UP_BARS + 1)
        for place, instrument in enumerate(instruments):
            new = instrument.rows.stop - length + WARM_UP_BARS + 1
            values[row, instrument.rows.start : new] = np.nan
            values[row, new : instrument.rows.stop] = output[WARM_UP_BARS + 1 :, place]
    last = np.stack([own.averages.last[name] for name in AVERAGES], axis=1).tolist()
    return {conid: tuple(averages) for conid, averages in zip(conids, last, strict=True)}


class _Bars:
    """The bars of one instrument, or of several side by side, and what several features share."""

    def __init__(self, columns: Mapping[str, Floats], averages: Averages, conids: Sequence[int]) -> None:
        self._columns, self._conids = columns, conids
        self.averages = averages
        self._windows = {"close": Windows(columns["close"])}
        self._done: dict[tuple[object, ...], tuple[Floats, ...]] = {}

    def values(self, feature: Feature, begin: int) -> Floats:
        """One value a bar; raises DataError for one that is not finite, from bar `begin` on."""
        key = (feature.indicator, feature.inputs, feature.parameters)
        if key not in self._done:
            found = _INDICATORS[feature.indicator](self, **{name: int(value) for name, value in feature.parameters})
            self._done[key] = found if isinstance(found, tuple) else (found,)
        output = self._done[key][feature.output]
        output[: feature.warm_up] = np.nan
        if not math.isfinite(output[begin:].sum()):  # a sum is finite only when all its parts are
            self._refuse(feature, output, begin)
        return output

    def _refuse(self, feature: Feature, output: Floats, begin: int) -> None:
        wrong = np.argwhere(~np.isfinite(output[begin:]))
        if wrong.size:
            at, conid = begin + int(wrong[0][0]), self._conids[int(wrong[0][1]) if output.ndim > 1 else 0]
            value = output[begin:][tuple(wrong[0])]
            raise DataError(f"feature {feature.name!r}: {value} at bar {at} of conid {conid}; are its prices positive?")

    def _padded(self, values: Floats) -> Floats:
        """As long as the bars, NaN before the first value."""
        missing = len(self._columns["close"]) - len(values)
        if not missing:
            return values
        padded = np.empty((missing + len(values), *values.shape[1:]))
        padded[:missing] = np.nan
        padded[missing:] = values
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
        return self.averages.exponential(f"ema_{timeperiod}", self._columns["close"], timeperiod, timeperiod - 1).copy()

    def macd(self, fastperiod: int, slowperiod: int, signalperiod: int) -> tuple[Floats, ...]:
        """The line, its signal, and the line above it. Both averages of the line start where the slow one does."""
        close, begin = self._columns["close"], slowperiod - 1
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
        high, low, close = (self._columns[name] for name in _INPUTS)
        ranges = high - low
        np.maximum(ranges[1:], np.abs(high[1:] - close[:-1]), out=ranges[1:])
        np.maximum(ranges[1:], np.abs(low[1:] - close[:-1]), out=ranges[1:])
        return self.averages.wilder("range", ranges, timeperiod).copy()

    def simple_return(self, timeperiod: int) -> Floats:
        """Close / close some bars before, minus one."""
        close = self._columns["close"]
        return self._padded(close[timeperiod:] / close[:-timeperiod] - 1.0)

    def log_return(self, timeperiod: int) -> Floats:
        """Its logarithm. TA-Lib's LN goes value by value, so that length changes no bit."""
        close = self._columns["close"]
        ratios = close[timeperiod:] / close[:-timeperiod]
        return self._padded(talib.LN(ratios.ravel()).reshape(ratios.shape) if ratios.size else ratios)

    def volatility(self, timeperiod: int) -> Floats:
        """Sample standard deviation (n - 1) of the last log returns of one bar; not annualised."""
        returns = Windows(self.log_return(1)[1:])
        return self._padded(returns.deviations(timeperiod, timeperiod - 1))

    def _changes(self) -> Floats:
        close = self._columns["close"]
        changes = np.empty_like(close)
        changes[:1] = 0.0
        np.subtract(close[1:], close[:-1], out=changes[1:])
        return changes


_INDICATORS: dict[str, Callable[..., Floats | tuple[Floats, ...]]] = {
    "SMA": _Bars.mean,
    "EMA": _Bars.exponential,
    "RSI": _Bars.strength,
    "MACD": _Bars.macd,
    "BBANDS": _Bars.bands,
    "ATR": _Bars.true_range,
    "return": _Bars.simple_return,
    "log_return": _Bars.log_return,
    "volatility": _Bars.volatility,
}
