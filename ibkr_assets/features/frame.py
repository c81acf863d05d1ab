"""The crossing from bar frames down to plain float arrays, one instrument after the other.

This is one of the two places where prices become floats for computing; nothing behind it goes back to money. A
frame that is not what it must be stops here, so that no indicator ever sees a hole or a wrong order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.errors import DataError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class InstrumentBars:
    """The bars of one instrument, oldest first: `rows` is where they stand in the frame, `columns` their values."""

    conid: int
    rows: slice
    columns: dict[str, Floats]


def split_by_instrument(bars: pd.DataFrame, names: Sequence[str]) -> Iterator[InstrumentBars]:
    """The named columns as float64 arrays, per instrument, in the order of the frame.

    Raises DataError for a missing or non-numeric column, a value that is not finite, a missing or naive
    `opened_at`, and bars of an instrument that are not together in ascending order without repetition.
    """
    check_order(bars)
    floats = {name: float_column(bars, name) for name in names}
    for name, values in floats.items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            where = bars.iloc[wrong[0]]
            raise DataError(
                f"column {name!r}: {values[wrong[0]]} at conid {where['conid']}, {where['opened_at']} "
                f"({wrong.size} such values)"
            )
    conids = bars["conid"].to_numpy()
    for start, stop in _blocks(conids):
        rows = slice(start, stop)
        yield InstrumentBars(int(conids[start]), rows, {name: values[rows] for name, values in floats.items()})


def float_column(frame: pd.DataFrame, name: str) -> Floats:
    """One column as a contiguous float64 array. Raises DataError when it is missing or not numeric."""
    if name not in frame.columns:
        raise DataError(f"column {name!r}: missing; the frame has {list(frame.columns)}")
    dtype = frame[name].dtype
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        raise DataError(f"column {name!r}: must be numeric, got {dtype}")
    return np.ascontiguousarray(frame[name].to_numpy(dtype=np.float64, na_value=np.nan))


def check_order(bars: pd.DataFrame) -> None:
    """Raise DataError unless each instrument's bars stand together, ascending in an aware `opened_at`."""
    conids = float_column(bars, "conid")
    if "opened_at" not in bars.columns:
        raise DataError(f"column 'opened_at': missing; the frame has {list(bars.columns)}")
    if not isinstance(bars["opened_at"].dtype, pd.DatetimeTZDtype):
        raise DataError(f"column 'opened_at': must be aware UTC, got {bars['opened_at'].dtype}")
    if bars["opened_at"].isna().any():
        raise DataError("column 'opened_at': has missing values")
    moments = bars["opened_at"].to_numpy(dtype="datetime64[ns]")
    is_same = conids[1:] == conids[:-1]
    wrong = np.flatnonzero(is_same & (moments[1:] <= moments[:-1]))
    if wrong.size:
        row = bars.iloc[wrong[0] + 1]
        raise DataError(f"opened_at {row['opened_at']} of conid {row['conid']}: not after the bar before it")
    starts = [int(conids[start]) for start, _ in _blocks(conids)]
    if len(starts) != len(set(starts)):
        raise DataError("column 'conid': the bars of an instrument do not stand together; order by conid and time")


def _blocks(conids: npt.NDArray[np.generic]) -> list[tuple[int, int]]:
    if conids.size == 0:
        return []
    edges = np.flatnonzero(conids[1:] != conids[:-1]) + 1
    bounds = [0, *edges.tolist(), int(conids.size)]
    return list(pairwise(bounds))
