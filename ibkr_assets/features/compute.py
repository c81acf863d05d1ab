"""The feature set over a bar frame, instrument by instrument, from the first bar or from a known state.

Every value at a bar depends on that bar and earlier ones only, and is the same bit for bit whatever follows. Windows
depend on their own bars; averages that never forget (EMA, RSI, MACD, ATR) on the first bar given, or on what they are
carried on from: both give the same bits. What goes here: frames, states and refusals. What does not: names and
parameters (`features.definition`), and the arithmetic (`features.kernel`). Values equal TA-Lib's to 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ibkr_assets.domain.errors import DataError
from ibkr_assets.features.definition import DEFINITIONS, FEATURES, WARM_UP_BARS
from ibkr_assets.features.frame import Floats, InstrumentBars, Ints, frozen, split_by_instrument

_INPUTS = ("high", "low", "close")

#: The averages of a state, in the order of `features.kernel`.
AVERAGES = ("ema_12", "ema_26", "fast", "slow", "signal", "gain", "loss", "range")
_PARAMETERS = {feature.name: [int(value) for _, value in feature.parameters] for feature in DEFINITIONS}
#: What the arithmetic takes: lengths of means, of averages, and of the bands with their width and of the volatility.
_MEANS, _LENGTHS, _SPREADS = (
    np.array([value for name in names for value in _PARAMETERS[name]])
    for names in (
        ("sma_10", "sma_20", "sma_50"), ("ema_12", "ema_26", "macd", "rsi_14", "atr_14"), ("bb_upper", "volatility_20"),
    )
)  # fmt: skip
_WARM_UPS = np.array([feature.warm_up for feature in DEFINITIONS])


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
    instruments, (high, low, close) = split_by_instrument(bars, _INPUTS)
    spans = np.array([[i.start, i.start, i.stop] for i in instruments], dtype=np.int64).reshape(-1, 3)
    states = np.full((len(instruments), len(AVERAGES)), np.nan)
    for place, instrument in enumerate(instruments):
        known = since.get(instrument.conid)
        if known is None:
            continue
        if known.at < WARM_UP_BARS:
            raise DataError(
                f"conid {instrument.conid}: {known.at} bars before a known state, {WARM_UP_BARS} are needed"
            )
        spans[place, 1], states[place] = instrument.start + known.at + 1, known.averages
    values = np.empty((len(FEATURES), len(bars)))
    wrong = _fill(high, low, close, spans, states, values)
    if wrong >= 0:
        _refuse(values, spans[wrong].tolist(), instruments[wrong])
    # Columns that nothing copies: making the frame costs as much as the indicators otherwise.
    keys = {name: bars[name].array.copy() for name in ("conid", "opened_at")}
    frame = pd.DataFrame({**keys, **dict(zip(FEATURES, values, strict=True))}, copy=False)
    has_begun = np.isfinite(states).all(axis=1).tolist()
    averages = {
        instrument.conid: tuple(state)
        for instrument, state, is_whole in zip(instruments, states.tolist(), has_begun, strict=True)
        if is_whole
    }
    return Computed(frame, averages)


def load_machine_code() -> None:
    """Load the loops, which takes a third of a second in each process, or compile them: seconds, once a machine."""
    nothing = np.empty(0)
    spans = np.empty((0, 3), dtype=np.int64)
    _fill(nothing, nothing, nothing, spans, np.empty((0, len(AVERAGES))), np.empty((len(FEATURES), 0)))
    from ibkr_assets.features.comparison import follow, greater
    from ibkr_assets.features.windows import fill_means

    fill_means(frozen(nothing), 1, nothing)
    follow(greater(nothing, nothing).view(np.int8), np.empty(0, dtype=np.int8), 0)


def _fill(high: Floats, low: Floats, close: Floats, spans: Ints, states: Floats, values: Floats) -> int:
    from ibkr_assets.features.kernel import fill_features  # brings the compiler
    from ibkr_assets.features.windows import PIECE

    space = np.empty((5, PIECE + WARM_UP_BARS + 1))
    return fill_features(high, low, close, spans, states, _MEANS, _LENGTHS, _SPREADS, _WARM_UPS, values, space)


def _refuse(values: Floats, span: list[int], instrument: InstrumentBars) -> None:
    start, begin, stop = span
    for row, feature in enumerate(DEFINITIONS):
        first = max(begin, start + feature.warm_up)
        for at in first + np.flatnonzero(~np.isfinite(values[row, first:stop])):
            raise DataError(
                f"feature {feature.name!r}: {values[row, at]} at bar {at - start} of conid {instrument.conid}; "
                "are its prices positive?"
            )
