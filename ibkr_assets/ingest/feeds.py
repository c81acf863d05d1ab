"""Which source feeds `raw_bars`, and where the bars of an import lie: picked by the settings and the user's word.

What goes here: the pick. What does not: the places, which are given as what opens them, and how rows become bars
(`ingest.sources`, `ingest.bar_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ibkr_assets.adapters.source_settings import SourceKind, SourceSettings
from ibkr_assets.ingest.bar_files import FileRows, bar_files
from ibkr_assets.ingest.downloads import ObjectStore, bar_objects, downloaded
from ibkr_assets.ingest.imports import SOURCE
from ibkr_assets.ingest.instruments import resolver
from ibkr_assets.ingest.read_files import UNCHANGED, Reader
from ibkr_assets.ingest.sources import FileSource, OwnSource, Table, TableSource, table_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.domain.bar_file import ReadFile
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarSource

S3_SCHEME = "s3://"

#: Of files at a place, as bars of a size: which of these names were imported, and as what (`postgres.read_files`).
Known = Callable[[str, "BarSize", "Sequence[str]"], "Mapping[str, ReadFile]"]


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

        return FileSource(kind.value, resolve, partial(self.files, place), self.calendar)

    @contextmanager
    def files(self, place: str) -> Iterator[Iterable[Path]]:
        """The bar files of a file, a directory or s3://bucket/prefix. Raises as the place."""
        if place.startswith(S3_SCHEME):
            store = self.objects(place)
            with downloaded(store, bar_objects(store), None) as found:
                yield (one.file for one in found if one.file is not None)
        else:
            yield bar_files(Path(place))

    @contextmanager
    def file_rows(
        self, place: str, size: BarSize, progress: Callable[[str], None], known: Known | None = None
    ) -> Iterator[tuple[str, str, Iterable[FileRows]]]:
        """Provenance, how many files, and the rows of each; what is as `known` says is not read again.

        Raises as the place, and while the rows are taken as `bar_files.read_rows`.
        """
        known = known or (lambda *_: {})
        if place.startswith(S3_SCHEME):
            store = self.objects(place)
            wanted = bar_objects(store)
            reader = Reader(store.place, size, self.calendar, known(store.place, size, [one.key for one in wanted]))
            with downloaded(store, wanted, progress, reader.objects()) as found:
                rows = (UNCHANGED if one.file is None else reader.read(one.file, one.key, one.etag) for one in found)
                yield SourceKind.S3.value, f"{len(wanted)} files", rows
        else:
            files = bar_files(Path(place))
            directory = str(files[0].parent.resolve())
            reader = Reader(directory, size, self.calendar, known(directory, size, [file.name for file in files]))
            yield SOURCE, f"{len(files)} files", (reader.read(file, file.name) for file in files)

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
