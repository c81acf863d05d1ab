"""The bars of one instrument as a backtest reads them: plain columns, checked once.

What goes here: the crossing from a bar frame and what it refuses. What does not: reading files (`ingest.files`) and
judging prices that are merely strange (`market.validation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.frame import Floats, float_column

if TYPE_CHECKING:
    import pandas as pd

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Tape:
    """One instrument, oldest bar first. `frame` has BAR_COLUMNS; `times` are its `opened_at` in UTC nanoseconds."""

    conid: int
    symbol: str
    frame: pd.DataFrame
    times: npt.NDArray[np.datetime64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return self.times.size

    def cut(self, first: int, past: int) -> Tape:
        """The bars from `first` to before `past`."""
        part = slice(first, past)
        columns = {name: values[part] for name, values in self.columns.items()}
        frame = self.frame.iloc[part].reset_index(drop=True)
        return Tape(conid=self.conid, symbol=self.symbol, frame=frame, times=self.times[part], **columns)

    @property
    def columns(self) -> dict[str, Floats]:
        """Prices and volume by name, as a rule reads them."""
        return {name: getattr(self, name) for name in (*_PRICES, "volume")}


def tapes_of(bars: pd.DataFrame) -> list[Tape]:
    """One tape an instrument, in the order of the frame (BAR_COLUMNS, by conid and time).

    Raises InputError naming symbol, bar and column for a price that is not a positive number, a volume that is not a
    number, a high or low that does not hold the others, and a time that is not after the one before it.
    """
    return [_tape(own.reset_index(drop=True)) for _, own in bars.groupby("conid", sort=False)]


def _tape(frame: pd.DataFrame) -> Tape:
    symbol = str(frame["symbol"].iloc[0])
    times = frame["opened_at"].to_numpy(dtype="datetime64[ns]")
    columns = {name: float_column(frame, name) for name in (*_PRICES, "volume")}
    _refuse(symbol, "opened_at is not after the bar before", np.concatenate(([False], times[1:] <= times[:-1])))
    for name in _PRICES:
        values = columns[name]
        _refuse(symbol, f"{name} must be a positive number", ~(np.isfinite(values) & (values > 0)), values)
    _refuse(symbol, "volume must be a number", ~(columns["volume"] >= 0), columns["volume"])
    highest = np.maximum(columns["open"], columns["close"])
    lowest = np.minimum(columns["open"], columns["close"])
    _refuse(symbol, "high is below open, close or low", columns["high"] < highest, columns["high"])
    _refuse(symbol, "low is above open, close or high", columns["low"] > lowest, columns["low"])
    return Tape(conid=int(frame["conid"].iloc[0]), symbol=symbol, frame=frame, times=times, **columns)


def _refuse(symbol: str, what: str, is_wrong: npt.NDArray[np.bool_], values: Floats | None = None) -> None:
    if is_wrong.any():
        bar = int(is_wrong.argmax())
        got = "" if values is None else f", got {values[bar]}"
        raise InputError(f"bars: {symbol} bar {bar}: {what}{got}")
