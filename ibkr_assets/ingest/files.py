"""Bar files of the user's own: CSV or Parquet to a bar frame.

What goes here: reading a file and naming what is wrong with it. What does not: judging the bars
(`market.validation`) and storing them (`ingest.bars`).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS
from ibkr_assets.domain.errors import InputError

_PRICES = ("open", "high", "low", "close", "volume")


def read_bars(path: Path) -> pd.DataFrame:
    """Bars of a CSV or Parquet file as a frame of BAR_COLUMNS, ordered by symbol and time.

    Columns wanted: `opened_at` (ISO 8601 with a zone, or a date, which is read as midnight UTC), open, high, low,
    close, volume; optionally `symbol`, otherwise the file's name is the symbol. `conid` is 1 for the first symbol,
    2 for the next: a file knows no contract ids. Raises InputError naming the file, the column and the row.
    """
    frame = _read(path)
    frame.columns = [str(column).strip().lower() for column in frame.columns]
    for column in ("opened_at", *_PRICES):
        if column not in frame.columns:
            raise InputError(f"bars: {path} has no column {column}; it has {', '.join(frame.columns)}")
    if "symbol" not in frame.columns:
        frame["symbol"] = path.stem.upper()
    opened_at = pd.to_datetime(frame["opened_at"], utc=True, errors="coerce")
    _refuse(path, "opened_at", frame["opened_at"], opened_at.isna())
    frame["opened_at"] = opened_at
    for column in _PRICES:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        _refuse(path, column, frame[column], numbers.isna() & frame[column].notna())
        frame[column] = numbers.astype(float)
    frame["conid"] = frame["symbol"].rank(method="dense").astype("int64")
    return frame[list(BAR_COLUMNS)].sort_values(["symbol", "opened_at"], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"bars: no such file: {path}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"bars: {path} cannot be read: {error}") from None
    raise InputError(f"bars: expected a .csv or .parquet file, got {path}")


def _refuse(path: Path, column: str, values: pd.Series, is_wrong: pd.Series) -> None:
    if is_wrong.any():
        row = int(is_wrong.to_numpy().argmax())
        raise InputError(f"bars: {path} row {row + 1}: {column} cannot be read: {values.iloc[row]!r}")
