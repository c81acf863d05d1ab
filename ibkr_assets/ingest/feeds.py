"""Which source feeds `raw_bars`, and where the bars of an import lie: picked by the settings and the user's word.

What goes here: the pick. What does not: the places, which are given as what opens them, and how rows become bars
(`ingest.sources`, `ingest.bar_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ibkr_assets.adapters.source_settings import SourceKind, SourceSettings
from ibkr_assets.ingest.bar_files import FileRows, bar_files, read_rows
from ibkr_assets.ingest.downloads import ObjectStore, downloaded
from ibkr_assets.ingest.imports import SOURCE
from ibkr_assets.ingest.instruments import resolver
from ibkr_assets.ingest.sources import FileSource, OwnSource, Table, TableSource, table_rows

if TYPE_CHECKING:
    from datetime import datetime

    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarSource

S3_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class Feeds:
    """The places of these settings. `objects` opens a URL, `table` the foreign table, `broker` is None without one."""

    settings: SourceSettings
    calendar: ExchangeCalendar
    objects: Callable[[str], ObjectStore]
    table: Callable[[], Table]
    broker: Callable[[], BarSource] | None

    def own(self) -> OwnSource | None:
        """What feeds raw_bars in the broker's place; None where the broker does."""
        kind = self.settings.bars
        if kind is SourceKind.BROKER:
            return None
        resolve = resolver(self.settings.instruments, self.broker)
        if kind is SourceKind.POSTGRES:
            return TableSource(kind.value, resolve, self.table(), self.calendar, self._zone())
        place = str(self.settings.s3.url if kind is SourceKind.S3 else self.settings.directory)

        @contextmanager
        def files() -> Iterator[Iterable[Path]]:
            with self.files(place) as (_, found):
                yield found

        return FileSource(kind.value, resolve, files, self.calendar)

    @contextmanager
    def files(self, place: str, progress: Callable[[str], None] | None = None) -> Iterator[tuple[int, Iterable[Path]]]:
        """The bar files of a file, a directory or s3://bucket/prefix, and how many they are. Raises as the place."""
        if place.startswith(S3_SCHEME):
            with downloaded(self.objects(place), progress) as found:
                yield found
        else:
            local = bar_files(Path(place))
            yield len(local), local

    @contextmanager
    def file_rows(
        self, place: str, size: BarSize, progress: Callable[[str], None]
    ) -> Iterator[tuple[str, str, Iterable[FileRows]]]:
        """Provenance, how many files, and the rows of each."""
        source = SourceKind.S3.value if place.startswith(S3_SCHEME) else SOURCE
        with self.files(place, progress) as (count, found):
            yield source, f"{count} files", (read_rows(file, size, self.calendar) for file in found)

    def extract(
        self, symbols: list[str] | None, start: datetime | None, end: datetime | None
    ) -> tuple[str, Iterable[FileRows]]:
        """Provenance and rows of the foreign table, in its own bar size."""
        rows = table_rows(
            self.table(), self.settings.postgres.bar_size, self.calendar, self._zone(),
            symbols=symbols, start=start, end=end,
        )  # fmt: skip
        return SourceKind.POSTGRES.value, rows

    def _zone(self) -> ZoneInfo | None:
        zone = self.settings.postgres.time_zone
        return None if zone is None else ZoneInfo(zone)
