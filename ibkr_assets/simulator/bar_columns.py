"""The columns that every bar file has, read whole from CSV or Parquet and refused with file, row, column and value.

What the times of a file mean is the work of `day_files` and `minute_files`. Nothing here goes row by row but the
search for the one that is wrong: a tape may have millions of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import InputError

PRICES = ("open", "high", "low", "close")
COLUMNS = ("opened_at", *PRICES, "volume")


def read_table(path: Path) -> Any:
    """A file as an Arrow table; what a CSV file says stays text. Raises InputError for one without bars or a column."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    as_text = csv.ConvertOptions(column_types=dict.fromkeys((*COLUMNS, "symbol", "adj_close"), pa.string()))
    try:
        is_csv = path.suffix.lower() == ".csv"
        table = csv.read_csv(path, convert_options=as_text) if is_csv else parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path.name}: cannot be read: {error}") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path.name}: column {missing[0]} is missing; it has {', '.join(table.column_names)}")
    if not table.num_rows:
        raise InputError(f"{path.name}: has no bars")
    return table.combine_chunks()


def read_symbols(table: Any, path: Path) -> dict[str, Any]:
    """The positions of each symbol's rows: by the column `symbol`, or all of them the file's own."""
    import numpy as np

    own = path.stem.strip().upper()
    if "symbol" not in table.column_names:
        return {own: np.arange(table.num_rows)}
    symbols = np.array([str(symbol or own).strip().upper() for symbol in table["symbol"].to_pylist()])
    return {str(symbol): np.flatnonzero(symbols == symbol) for symbol in np.unique(symbols)}


def read_values(table: Any, path: Path) -> dict[str, Any]:
    """Prices and volume as floats by name. Raises InputError for the first row whose bar cannot be."""
    values = {name: read_numbers(table, name, path, is_zero_fine=name == "volume") for name in COLUMNS[1:]}
    opened, high, low, close = (values[name] for name in PRICES)
    is_too_low = (high < low) | (high < opened) | (high < close)
    refuse(is_too_low, table, "high", path, "is below another price of its bar")
    refuse((low > opened) | (low > close), table, "low", path, "is above another price of its bar")
    return values


def read_numbers(table: Any, name: str, path: Path, *, is_zero_fine: bool) -> Any:
    """One column as floats, all finite and above zero, or at least zero."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[name]
    try:
        numbers = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        numbers = np.array([_number(value) for value in column.to_pylist()])
    refuse(~np.isfinite(numbers), table, name, path, "is not a number")
    is_wrong = numbers < 0 if is_zero_fine else numbers <= 0
    refuse(is_wrong, table, name, path, "must not be negative" if is_zero_fine else "must be positive")
    return numbers


def refuse(is_wrong: Any, table: Any, name: str, path: Path, reason: str) -> None:
    """Raise InputError for the first row that is wrong."""
    if is_wrong.any():
        i = int(is_wrong.argmax())
        raise InputError(f"{path.name} row {i + 1}: {name} {reason}: {table[name][i].as_py()}")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
