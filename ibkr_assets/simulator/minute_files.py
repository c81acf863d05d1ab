"""Reads minute bars from CSV or Parquet files: one symbol a file, or several with a column `symbol`.

Columns are opened_at (the start of the minute, ISO 8601), open, high, low, close and volume. A time with an offset or
`Z` is taken as it is; a time without one needs the zone that the tape declares, and is refused where that zone's
clock shows it twice or never. Prices are kept to a millionth of a dollar. What is refused is refused with file, row,
column and value. Minutes outside regular hours may be there, from 04:00 New York to four hours after the close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.bar_columns import PRICES, read_symbols, read_table, read_values, refuse
from ibkr_assets.simulator.bars import PRICE_UNITS, MinuteBars, TapeBar, price_of
from ibkr_assets.simulator.hours import NEW_YORK, extended_close, extended_open, minute_of, time_of

_OFFSET = r":.*(?:[zZ]|[+-]\d{2}:?\d{2})$"
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
    parts: dict[str, list[tuple[Any, Any, int, Any]]] = {}
    for number, path in enumerate(files):
        table = read_table(path)
        starts, values = _starts(table, zone, path), _units(read_values(table, path))
        for symbol, chosen in read_symbols(table, path).items():
            parts.setdefault(symbol, []).append((starts[chosen], values[chosen], number, chosen + 1))
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
        for name in PRICES:
            of_day, of_minutes = getattr(whole, name), getattr(minutes, name)
            if round(of_day * PRICE_UNITS) != round(of_minutes * PRICE_UNITS):
                raise InputError(f"tape: {symbol} {day}: {name} is {of_day} by the day and {of_minutes} by its minutes")
        if whole.volume < minutes.volume:
            raise InputError(
                f"tape: {symbol} {day}: volume is {whole.volume} by the day and {minutes.volume} by its minutes"
            )


def _starts(table: Any, zone: str | None, path: Path) -> Any:
    """Minutes since the epoch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table["opened_at"]
    if pa.types.is_timestamp(column.type):
        moments = column if column.type.tz is not None else _localized(column, table, zone, path)
    else:
        texts = pc.cast(column, pa.string())
        is_aware = pc.match_substring_regex(texts, _OFFSET).fill_null(False).to_numpy()  # noqa: FBT003 - Arrow's own
        if is_aware.any():
            refuse(~is_aware, table, "opened_at", path, "has no offset although other rows have one")
            moments = _moments(texts, "UTC", table, path)
        else:
            moments = _localized(_moments(texts, None, table, path), table, zone, path)
    nanoseconds = _nanoseconds(moments)
    refuse(nanoseconds % _MINUTE_NS != 0, table, "opened_at", path, "is not the start of a minute")
    return nanoseconds // _MINUTE_NS


def _moments(texts: Any, zone: str | None, table: Any, path: Path) -> Any:
    """Texts as Arrow's timestamps; those of another form than it reads at once are read one by one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.timestamp("ns", zone)
    try:
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        moments = [_moment(text) for text in texts.to_pylist()]
    refuse(np.array([moment is None for moment in moments]), table, "opened_at", path, "is not ISO 8601")
    return pa.chunked_array([pa.array(moments, kind)])


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None


def _localized(moments: Any, table: Any, zone: str | None, path: Path) -> Any:
    import pyarrow.compute as pc

    if zone is None:
        first = table["opened_at"][0].as_py()
        raise InputError(
            f"{path.name} row 1: opened_at {first} has no time zone; declare one as time_zone in tape.toml"
        )
    local = pc.assume_timezone(moments, zone, ambiguous="earliest", nonexistent="earliest")
    other = pc.assume_timezone(moments, zone, ambiguous="latest", nonexistent="latest")
    is_unclear = _nanoseconds(local) != _nanoseconds(other)
    refuse(is_unclear, table, "opened_at", path, f"is there twice or never on the clock of {zone}")
    return local


def _nanoseconds(moments: Any) -> Any:
    """Since the epoch, as 64-bit integers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(pc.cast(moments, pa.timestamp("ns", moments.type.tz)), pa.int64()).to_numpy()


def _units(values: dict[str, Any]) -> Any:
    """Open, high, low, close in millionths of a dollar, and volume in shares, a row each."""
    import numpy as np

    prices = [(values[name] * PRICE_UNITS).round().astype("int64") for name in PRICES]
    return np.column_stack([*prices, values["volume"].astype("int64")])


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
