"""Sources of bars beside the broker, as `raw_bars` asks for them: an instrument, from an instant to another.

What goes here: files and tables made to answer as the broker does. What does not: the broker (`adapters.ibkr`),
reading a file (`ingest.bar_files`), and the places themselves (`adapters.objects`, `adapters.postgres.foreign_bars`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.ingest.bar_files import VALUES, FileRows, parse_rows, read_rows

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.market.calendar import ExchangeCalendar

Resolve = Callable[[str], "Instrument"]
#: Local files, for as long as the block lasts.
Files = Callable[[], AbstractContextManager[Iterable[Path]]]


class HistorySource(Protocol):
    """The part of `ports.BarSource` that history comes through. Safe for threads."""

    def resolve(self, symbol: str) -> Instrument:
        """The one instrument of this symbol."""

    def describe(self, instruments: Sequence[Instrument]) -> dict[int, tuple[str, str]]:
        """Symbol and currency by conid, as they are now, of those of which it is known."""

    def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """Bars opened in [start, end), BAR_COLUMNS, ascending; rows that are none follow with a `reason`."""


class Table(Protocol):
    """Rows by symbol and time: see `adapters.postgres.foreign_bars`."""

    def read(
        self, symbols: list[str] | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> Iterable[pd.DataFrame]:
        """Frames of symbol, opened_at and the five values, as they stand there."""


class OwnSource:
    """A `HistorySource` that is not the broker's. `name` is the provenance that its bars carry."""

    def __init__(self, name: str, resolve: Resolve) -> None:
        self.name = name
        self.resolve = resolve

    def describe(self, instruments: Sequence[Instrument]) -> dict[int, tuple[str, str]]:  # noqa: ARG002
        """Nothing: what a contract is now, only the broker knows."""
        return {}

    def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """Bars opened in [start, end), BAR_COLUMNS, ascending, as they lie there. Raises what the place raises.

        Rows of the instrument that are no bars follow with a `reason`, each as it lies there in `raw`.
        """
        rows = self._rows(instrument.symbol, size, start, end)
        bars = rows.bars.assign(conid=instrument.conid, symbol=instrument.symbol)[list(BAR_COLUMNS)]
        bars = bars.sort_values("opened_at", kind="stable", ignore_index=True)
        if rows.unreadable.empty:
            return bars
        raw = [
            {str(name): None if pd.isna(value) else str(value) for name, value in row.items() if name != "reason"}
            for row in rows.unreadable.to_dict("records")
        ]
        bad = (
            bars.head(0)
            .reindex(range(len(raw)))
            .assign(
                conid=instrument.conid, symbol=instrument.symbol, reason=rows.unreadable["reason"].to_list(), raw=raw
            )
        )
        return pd.concat([bars.assign(reason="", raw=None), bad], ignore_index=True)

    def _rows(self, symbol: str, size: BarSize, start: datetime, end: datetime) -> FileRows:
        raise NotImplementedError


class FileSource(OwnSource):
    """Bar files, read once and whole when they are first asked for: a file's name does not say what days are in it."""

    def __init__(self, name: str, resolve: Resolve, files: Files, calendar: ExchangeCalendar) -> None:
        super().__init__(name, resolve)
        self._files, self._calendar = files, calendar
        self._read: dict[BarSize, dict[str, FileRows]] = {}
        self._reading = threading.Lock()

    def _rows(self, symbol: str, size: BarSize, start: datetime, end: datetime) -> FileRows:
        with self._reading:
            if size not in self._read:
                self._read[size] = self._by_symbol(size)
        rows = self._read[size].get(symbol) or self._read[size][""]
        return FileRows(_between(rows.bars, start, end), rows.unreadable)

    def _by_symbol(self, size: BarSize) -> dict[str, FileRows]:
        """The rows of each symbol; under "" none."""
        with self._files() as files:
            found = [read_rows(file, size, self._calendar) for file in files]
        bars = pd.concat([rows.bars for rows in found], ignore_index=True)
        unreadable = pd.concat([rows.unreadable for rows in found], ignore_index=True)
        none = FileRows(bars.head(0), unreadable.head(0))
        good, bad = (dict(iter(frame.groupby("symbol", sort=False))) for frame in (bars, unreadable))
        return {"": none} | {
            symbol: FileRows(good.get(symbol, none.bars), bad.get(symbol, none.unreadable))
            for symbol in good.keys() | bad.keys()
        }


class TableSource(OwnSource):
    """A table in a database that is not ours, asked for each instrument and range by itself."""

    def __init__(
        self, name: str, resolve: Resolve, table: Table, calendar: ExchangeCalendar, zone: ZoneInfo | None
    ) -> None:
        super().__init__(name, resolve)
        self._table, self._calendar, self._zone = table, calendar, zone

    def _rows(self, symbol: str, size: BarSize, start: datetime, end: datetime) -> FileRows:
        parts = list(table_rows(self._table, size, self._calendar, self._zone, symbols=[symbol], start=start, end=end))
        bars = pd.concat([part.bars for part in parts], ignore_index=True)
        return FileRows(_between(bars, start, end), pd.concat([part.unreadable for part in parts], ignore_index=True))


def _between(bars: pd.DataFrame, start: datetime, end: datetime) -> pd.DataFrame:
    return bars[(bars["opened_at"] >= start) & (bars["opened_at"] < end)]


def table_rows(
    table: Table,
    size: BarSize,
    calendar: ExchangeCalendar,
    zone: ZoneInfo | None,
    *,
    symbols: list[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Iterable[FileRows]:
    """A table's rows in pieces, at least one, each told apart as those of a file are; `zone` is of naive times."""
    frame = None
    for frame in table.read(symbols, start, end):
        yield parse_rows(frame, size, calendar, zone)
    if frame is None:
        yield parse_rows(pd.DataFrame(columns=("symbol", "opened_at", *VALUES), dtype=object), size, calendar, zone)
