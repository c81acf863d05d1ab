"""Reads minute bars from CSV or Parquet files: one symbol a file, or several with a column `symbol`.

Columns are opened_at (the start of the minute, ISO 8601), open, high, low, close and volume. A time with an offset or
`Z` is taken as it is; a time without one needs the zone that the tape declares, and is refused where that zone's
clock shows it twice or never. Prices are kept to a millionth of a dollar. What is refused is refused with file, row,
column and value. Minutes outside regular hours may be there, from 04:00 New York to four hours after the close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.bars import PRICE_UNITS, MinuteBars, TapeBar, price_of
from ibkr_assets.simulator.hours import NEW_YORK, extended_close, extended_open, minute_of, time_of

COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
_PRICES = COLUMNS[1:5]
_OFFSET = r"(?:[zZ]|[+-]\d{2}:?\d{2})$"
_MINUTE_NS = 60_000_000_000


@dataclass(slots=True)
class MinuteTable:
    """One symbol's minutes as numpy arrays, in the order of the files, with the place of every row.

    `values` has a row for each of `starts` (minutes since the epoch): open, high, low and close in millionths of a
    dollar, and shares.
    """

    starts: Any
    values: Any
    files: Any
    rows: Any
    names: list[str] = field(default_factory=list)

    def place(self, i: int) -> str:
        """Where a row came from, for an error."""
        return f"{self.names[self.files[i]]} row {self.rows[i]}"


def read_minutes(files: Sequence[Path], zone: str | None) -> dict[str, MinuteTable]:
    """Tables by symbol, each in time order. Raises InputError for the first row that cannot be."""
    import numpy as np

    parts: dict[str, list[tuple[Any, Any, int, Any]]] = {}
    for number, path in enumerate(files):
        frame = _read_file(path)
        starts, values = _starts(frame["opened_at"], zone, path), _values(frame, path)
        if "symbol" in frame.columns:
            symbols = frame["symbol"].astype(str).str.strip().str.upper().to_numpy()
        else:
            symbols = np.full(len(frame), path.stem.strip().upper())
        for symbol in np.unique(symbols):
            chosen = np.flatnonzero(symbols == symbol)
            parts.setdefault(str(symbol), []).append((starts[chosen], values[chosen], number, chosen + 1))
    names = [path.name for path in files]
    return {symbol: _in_order(symbol, pieces, names) for symbol, pieces in sorted(parts.items())}


def days_of(table: MinuteTable) -> tuple[date, date]:
    """The first and the last New York day of a table's minutes."""
    first, last = (time_of(int(table.starts[i])).astimezone(NEW_YORK).date() for i in (0, -1))
    return first, last


def arrange_minutes(table: MinuteTable, sessions: Sequence[TradingSession]) -> tuple[MinuteBars, dict[date, TapeBar]]:
    """The bars, and the daily bars of regular hours that they make. Raises InputError for a minute outside any day."""
    import numpy as np

    opened = np.array([minute_of(extended_open(session)) for session in sessions])
    closed = np.array([minute_of(extended_close(session)) for session in sessions])
    index = np.searchsorted(opened, table.starts, side="right") - 1
    outside = np.flatnonzero((index < 0) | (table.starts >= closed[index]))
    if outside.size:
        i = int(outside[0])
        raise InputError(
            f"{table.place(i)}: opened_at {time_of(int(table.starts[i])).isoformat()} is in no session of "
            f"{sessions[0].exchange}, nor in the hours around one"
        )
    columns = [table.values[:, i] for i in range(5)]
    bars = MinuteBars(table.starts.tolist(), *(column.tolist() for column in columns))
    regular_open = np.array([minute_of(session.opens_at) for session in sessions])
    regular_close = np.array([minute_of(session.closes_at) for session in sessions])
    regular = np.flatnonzero((table.starts >= regular_open[index]) & (table.starts < regular_close[index]))
    if not regular.size:
        return bars, {}
    opens, highs, lows, closes, volumes = (column[regular] for column in columns)
    day_index, first = np.unique(index[regular], return_index=True)
    last = np.append(first[1:], len(regular)) - 1
    daily = zip(
        day_index.tolist(), opens[first].tolist(), np.maximum.reduceat(highs, first).tolist(),
        np.minimum.reduceat(lows, first).tolist(), closes[last].tolist(), np.add.reduceat(volumes, first).tolist(),
        strict=True,
    )  # fmt: skip
    return bars, {
        sessions[i].day: TapeBar(price_of(o), price_of(h), price_of(low), price_of(c), volume)
        for i, o, h, low, c, volume in daily
    }


def check_agreement(symbol: str, given: dict[date, TapeBar], made: dict[date, TapeBar]) -> None:
    """Raise InputError for the first day whose own bar says other than its minutes.

    Prices must be the same. A day's volume may be larger than its minutes', which have no auctions, but not smaller.
    """
    for day, minutes in made.items():
        whole = given.get(day)
        if whole is None:
            continue
        for name in _PRICES:
            of_day, of_minutes = getattr(whole, name), getattr(minutes, name)
            if round(of_day * PRICE_UNITS) != round(of_minutes * PRICE_UNITS):
                raise InputError(f"tape: {symbol} {day}: {name} is {of_day} by the day and {of_minutes} by its minutes")
        if whole.volume < minutes.volume:
            raise InputError(
                f"tape: {symbol} {day}: volume is {whole.volume} by the day and {minutes.volume} by its minutes"
            )


def _read_file(path: Path) -> Any:
    import pandas as pd

    frame = pd.read_csv(path, dtype=str) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(f"{path.name}: column {missing[0]} is missing; it has {', '.join(map(str, frame.columns))}")
    return frame.reset_index(drop=True)


def _starts(column: Any, zone: str | None, path: Path) -> Any:
    """Minutes since the epoch."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        moments = column.dt.tz_convert("UTC")
    elif pd.api.types.is_datetime64_dtype(column):
        moments = _localized(column, column, zone, path)
    else:
        texts = column.astype(str)
        is_aware = texts.str.contains(_OFFSET, regex=True) & texts.str.contains(":", regex=False)
        naive = np.flatnonzero(~is_aware.to_numpy())
        if naive.size == len(texts):
            read = pd.to_datetime(texts, format="ISO8601", errors="coerce")
            _refuse(read.isna(), column, path, "is not ISO 8601")
            moments = _localized(read, column, zone, path)
        else:
            if naive.size:
                _refuse(~is_aware, column, path, "has no offset although other rows have one")
            moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
            _refuse(moments.isna(), column, path, "is not ISO 8601")
    nanoseconds = moments.dt.tz_localize(None).astype("datetime64[ns]").astype("int64").to_numpy()
    _refuse(pd.Series(nanoseconds % _MINUTE_NS != 0), column, path, "is not the start of a minute")
    return nanoseconds // _MINUTE_NS


def _localized(moments: Any, column: Any, zone: str | None, path: Path) -> Any:
    if zone is None:
        raise InputError(
            f"{path.name} row 1: opened_at {column.iloc[0]!s} has no time zone; declare one as time_zone in tape.toml"
        )
    local = moments.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    _refuse(local.isna(), column, path, f"is there twice or never on the clock of {zone}")
    return local.dt.tz_convert("UTC")


def _values(frame: Any, path: Path) -> Any:
    """Open, high, low, close in millionths of a dollar, and volume in shares."""
    import numpy as np
    import pandas as pd

    columns = {}
    for name in COLUMNS[1:]:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        _refuse(~np.isfinite(numbers.astype("float64")), frame[name], path, "is not a number")
        is_wrong = numbers < 0 if name == "volume" else numbers <= 0
        _refuse(is_wrong, frame[name], path, "must not be negative" if name == "volume" else "must be positive")
        columns[name] = numbers.astype("float64")
    opened, high, low, close = (columns[name] for name in _PRICES)
    _refuse((high < low) | (high < opened) | (high < close), frame["high"], path, "is below another price of its bar")
    _refuse((low > opened) | (low > close), frame["low"], path, "is above another price of its bar")
    prices = [(columns[name].to_numpy() * PRICE_UNITS).round().astype("int64") for name in _PRICES]
    return np.column_stack([*prices, columns["volume"].to_numpy().astype("int64")])


def _refuse(is_wrong: Any, column: Any, path: Path, reason: str) -> None:
    """Raise InputError for the first row that is wrong."""
    if is_wrong.any():
        i = int(is_wrong.to_numpy().argmax())
        raise InputError(f"{path.name} row {i + 1}: {column.name} {reason}: {column.iloc[i]!s}")


def _in_order(symbol: str, pieces: list[tuple[Any, Any, int, Any]], names: list[str]) -> MinuteTable:
    import numpy as np

    starts = np.concatenate([piece[0] for piece in pieces])
    order = np.argsort(starts, kind="stable")
    table = MinuteTable(
        starts[order], np.concatenate([piece[1] for piece in pieces])[order],
        np.concatenate([np.full(len(piece[0]), piece[2]) for piece in pieces])[order],
        np.concatenate([piece[3] for piece in pieces])[order], names,
    )  # fmt: skip
    again = np.flatnonzero(np.diff(table.starts) == 0)
    if again.size:
        i = int(again[0]) + 1
        moment = time_of(int(table.starts[i])).isoformat()
        raise InputError(f"{table.place(i)}: opened_at {moment} is a second bar of {symbol} for this minute")
    return table
