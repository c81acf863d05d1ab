"""Bar files for the store: each row a bar or, as it stands in the file, a row that cannot be read, with the reason.

What goes here: reading and writing files of bars. What does not: bars for a backtest, where one row that cannot be read
refuses the file (`ingest.files`), and the store (`ingest.imports`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.claims import is_intact, note_claims
from ibkr_assets.market.calendar import ExchangeCalendar
from ibkr_assets.market.reasons import Reason

if TYPE_CHECKING:
    from ibkr_assets.domain.bar_file import ReadFile

VALUES = ("open", "high", "low", "close", "volume")
SUFFIXES = (".csv", ".parquet")
_DATE = r"\d{4}-\d{2}-\d{2}"
_ZONE = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of a file. `bars`: symbol, opened_at (aware UTC), the five values as floats; a hole is NaN.

    `unreadable`: rows as the file has them, with columns `symbol` and `reason`. `read` is what to remember of the file
    once its rows are stored and judged. One that `is_unchanged` since then has no rows here.
    """

    bars: pd.DataFrame
    unreadable: pd.DataFrame
    read: ReadFile | None = None
    is_unchanged: bool = False


def bar_files(path: Path) -> list[Path]:
    """The file, or the .csv and .parquet files of the directory by name. Raises InputError when there is none."""
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        if not found:
            raise InputError(f"path: {path} has no .csv or .parquet file")
        return found
    if path.suffix not in SUFFIXES:
        raise InputError(f"path: expected a .csv or .parquet file or a directory, got {path}")
    if not path.exists():
        raise InputError(f"path: no such file: {path}")
    return [path]


def read_rows(path: Path, size: BarSize, calendar: ExchangeCalendar) -> FileRows:
    """Read a file: opened_at, open, high, low, close, volume, optionally symbol, otherwise the file's name is it.

    A file that is not what the checksum beside it was made of has no bars. Raises InputError for a missing column and
    a file that is none; see `parse_rows`.
    """
    is_whole = is_intact(path)
    raw = _read(path)
    raw.columns = [str(column).strip().lower() for column in raw.columns]
    for column in ("opened_at", *VALUES):
        if column not in raw.columns:
            raise InputError(f"bars: {path} has no column {column}; it has {', '.join(raw.columns)}")
    if "symbol" not in raw.columns:
        raw["symbol"] = path.stem.upper()
    if not is_whole:
        return FileRows(parse_rows(raw.head(0), size, calendar).bars, raw.assign(reason=Reason.CHECKSUM.value))
    return parse_rows(raw, size, calendar)


def parse_rows(raw: pd.DataFrame, size: BarSize, calendar: ExchangeCalendar, zone: ZoneInfo | None = None) -> FileRows:
    """Tell bars from rows that are none. `raw` has `symbol`, `opened_at` and the five values, and any other columns;
    `conid` and `currency` are held against the instrument (`ingest.claims`).

    `opened_at` is an instant with its zone; for daily bars a date does too, and means the session's opening. Without
    a zone a time is one of `zone`, and with no such zone, or where it is none or two instants there, it is no bar's.
    Neither is a row without a symbol, or where a field is no number.
    """
    raw = raw.assign(symbol=raw["symbol"].astype(str).where(raw["symbol"].notna(), None))
    opened_at, reasons = _instants(raw["opened_at"], size, calendar, zone)
    reasons[raw["symbol"].fillna("").eq("").to_numpy(dtype=bool)] = Reason.MISSING_FIELD.value
    bars = pd.DataFrame({"symbol": raw["symbol"], "opened_at": opened_at})
    for column in VALUES:
        values = raw[column]
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
            bars[column] = values.to_numpy(dtype=np.float64, na_value=np.nan)
            continue
        bars[column], is_wrong = _numbers(values)
        reasons[is_wrong & (reasons == "")] = Reason.UNREADABLE.value
    bars = note_claims(raw, bars)
    is_bar = reasons == ""
    if is_bar.all():
        return FileRows(bars, raw.head(0).assign(reason=""))
    return FileRows(bars[is_bar].reset_index(drop=True), raw[~is_bar].assign(reason=reasons[~is_bar]))


def write_rows(bars: pd.DataFrame, path: Path) -> None:
    """Write a frame of bars; what reads it gets the same bars bit for bit. Raises InputError for another suffix."""
    frame = bars[["opened_at", "symbol", *VALUES]]
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%S+00:00")
    else:
        raise InputError(f"out: expected a .csv or .parquet file, got {path}")


def read_instruments(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file with symbol and conid, and optionally exchange, currency, tick and lot, as text."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"instruments: no such file: {path}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"instruments: {path} cannot be read: {error}") from None
    for column in ("symbol", "conid"):
        if column not in frame.columns:
            raise InputError(f"instruments: {path} has no column {column}; it has {', '.join(frame.columns)}")
    yield from frame.to_dict("records")


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, float_precision="round_trip", na_values=[""], keep_default_na=False, low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, ValueError) as error:
        raise InputError(f"bars: {path} cannot be read: {error}") from None


def _numbers(values: pd.Series) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Each as the nearest float, which `pd.to_numeric` does not promise for text; a hole is NaN. And which are none."""
    numbers, is_wrong = np.full(len(values), np.nan), np.zeros(len(values), dtype=bool)
    for place, value in enumerate(values.tolist()):
        if value is None or value is pd.NA or value != value:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = np.nan
        numbers[place] = number
        is_wrong[place] = number != number or isinstance(value, bool) or (isinstance(value, str) and "_" in value)
    return numbers, is_wrong


def _instants(
    column: pd.Series, size: BarSize, calendar: ExchangeCalendar, zone: ZoneInfo | None
) -> tuple[pd.Series, npt.NDArray[np.object_]]:
    """Aware instants, and for each row "" or why it has none. Each distinct value is read once."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        moments = column.dt.tz_convert("UTC").astype("datetime64[us, UTC]").reset_index(drop=True)
        reasons = np.full(len(moments), "", dtype=object)
        reasons[moments.isna().to_numpy()] = Reason.MISSING_FIELD.value
        return moments, reasons
    codes, uniques = pd.factorize(column)
    text = pd.Series([_text(value) for value in uniques], dtype=object)
    dates = text.str.fullmatch(_DATE).to_numpy(dtype=bool)
    values = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601").astype("datetime64[us, UTC]")
    wrong = np.full(len(text), "", dtype=object)
    is_naive = ~dates & ~text.str.contains(_ZONE).to_numpy(dtype=bool)
    is_readable = values.notna().to_numpy()
    if zone is not None:
        values = values.where(~is_naive, values.dt.tz_localize(None).dt.tz_localize(
            zone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC"))  # fmt: skip
        is_naive &= values.isna().to_numpy()
    wrong[is_naive] = Reason.TZ_AMBIGUOUS.value
    wrong[~is_readable] = Reason.UNREADABLE.value
    if size is not BarSize.DAY:
        wrong[dates & (wrong == "")] = Reason.TZ_AMBIGUOUS.value
    elif dates.any():
        values = _at_openings(values, dates, calendar)
    reasons = np.append(wrong, Reason.MISSING_FIELD.value)[codes]  # a hole has code -1
    moments = pd.concat([values, pd.Series([pd.NaT], dtype=values.dtype)]).iloc[codes]
    return moments.reset_index(drop=True), reasons


def _text(value: object) -> str:
    """A date without its midnight, as pandas and pyarrow give it for a column of dates."""
    text = str(value).strip()
    return text.removesuffix(" 00:00:00") if isinstance(value, pd.Timestamp) and value.tzinfo is None else text


def _at_openings(values: pd.Series, is_date: npt.NDArray[np.bool_], calendar: ExchangeCalendar) -> pd.Series:
    """Dates of sessions as these sessions' openings; other dates stay midnights, which are in no session."""
    known = {s.day: s.opens_at for s in calendar.sessions(calendar.first_day, calendar.last_day)}
    moved = [
        known.get(value.date(), value) if date and not pd.isna(value) else value
        for value, date in zip(values, is_date, strict=True)
    ]
    return pd.Series(pd.to_datetime(pd.Series(moved, dtype=object), utc=True)).astype("datetime64[us, UTC]")
