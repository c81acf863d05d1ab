"""The crossing from bar frames down to plain float arrays, one instrument after the other.

This is one of the two places where prices become floats for computing; nothing behind it goes back to money. A
frame that is not what it must be stops here, so that no indicator ever sees a hole or a wrong order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InstrumentBars:
    """Where the bars of one instrument stand in the frame, oldest first: from row `start` up to `stop`."""

    conid: int
    start: int
    stop: int


def split_by_instrument(bars: pd.DataFrame, names: Sequence[str]) -> tuple[list[InstrumentBars], list[Floats]]:
    """The instruments in the order of the frame, and the named columns as float64 arrays over all of them.

    Raises DataError for a missing or non-numeric column, a value that is not finite, a missing or naive
    `opened_at`, and bars of an instrument that are not together in ascending order without repetition.
    """
    blocks = _checked_blocks(bars)
    floats = [float_column(bars, name) for name in names]
    for name, values in zip(names, floats, strict=True):
        is_finite = np.isfinite(values)
        if not is_finite.all():
            wrong = np.flatnonzero(~is_finite)
            where = bars.iloc[wrong[0]]
            raise DataError(
                f"column {name!r}: {values[wrong[0]]} at conid {where['conid']}, {where['opened_at']} "
                f"({wrong.size} such values)"
            )
    return blocks, floats


def float_column(frame: pd.DataFrame, name: str) -> Floats:
    """One column as a contiguous float64 array. Raises DataError when it is missing or not numeric."""
    return np.ascontiguousarray(_numbers(frame, name).to_numpy(dtype=np.float64, na_value=np.nan))


def frozen(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A view that may not be written: columns of frames may not, and code is compiled for one or the other."""
    if values.flags.c_contiguous and not values.flags.writeable:
        return values
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def check_order(bars: pd.DataFrame) -> None:
    """Raise DataError unless each instrument's bars stand together, ascending in an aware `opened_at`."""
    _checked_blocks(bars)


def _checked_blocks(bars: pd.DataFrame) -> list[InstrumentBars]:
    column = _numbers(bars, "conid")
    conids = column.to_numpy() if column.dtype == np.int64 else float_column(bars, "conid")
    if "opened_at" not in bars.columns:
        raise DataError(f"column 'opened_at': missing; the frame has {list(bars.columns)}")
    if not isinstance(bars["opened_at"].dtype, pd.DatetimeTZDtype):
        raise DataError(f"column 'opened_at': must be aware UTC, got {bars['opened_at'].dtype}")
    opened_at: Ints = bars["opened_at"].array.asi8
    if (opened_at == pd.NaT.value).any():
        raise DataError("column 'opened_at': has missing values")
    is_next = conids[1:] != conids[:-1]
    wrong = np.flatnonzero(~is_next & (opened_at[1:] <= opened_at[:-1]))
    if wrong.size:
        row = bars.iloc[wrong[0] + 1]
        raise DataError(f"opened_at {row['opened_at']} of conid {row['conid']}: not after the bar before it")
    if not conids.size:
        return []
    edges = [0, *(np.flatnonzero(is_next) + 1).tolist(), int(conids.size)]
    blocks = [InstrumentBars(int(conids[start]), start, stop) for start, stop in pairwise(edges)]
    if len({block.conid for block in blocks}) != len(blocks):
        raise DataError("column 'conid': the bars of an instrument do not stand together; order by conid and time")
    return blocks


def _numbers(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame.columns:
        raise DataError(f"column {name!r}: missing; the frame has {list(frame.columns)}")
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        raise DataError(f"column {name!r}: must be numeric, got {column.dtype}")
    return column
