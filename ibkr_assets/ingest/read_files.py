"""Files of bars that were imported before and are as they were then: these are not read again.

What goes here: finding out what a file is, and reading it only when it is another than before. What does not: where
that is noted (`adapters.postgres.read_files`), how rows become bars (`ingest.bar_files`), and when a file counts as
imported (`ingest.imports`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar_file import ReadFile
from ibkr_assets.ingest.bar_files import FileRows, read_rows
from ibkr_assets.ingest.claims import checksum_beside

if TYPE_CHECKING:
    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.market.calendar import ExchangeCalendar

#: What stands for a file that is as it was.
UNCHANGED = FileRows(pd.DataFrame(), pd.DataFrame(), is_unchanged=True)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files of one place as bars of one size, each only where it is not what is `known` of its name."""

    place: str
    size: BarSize
    calendar: ExchangeCalendar
    known: Mapping[str, ReadFile]

    def read(self, path: Path, name: str, etag: str = "") -> FileRows:
        """The rows of a file with what it is recognised by, or UNCHANGED. Raises as `read_rows` does.

        A file that somebody wrote to while it was read gives its rows, and nothing to recognise it by.
        """
        before = path.stat()
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        checksum = checksum_beside(path) or ""
        found = ReadFile(self.place, name, content, before.st_size, checksum, etag, self.calendar.mic)
        if found.is_as(self.known.get(name)):
            return UNCHANGED
        rows = read_rows(path, self.size, self.calendar)
        after = path.stat()
        if (after.st_ino, after.st_size, after.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
            return rows
        return replace(rows, read=replace(found, bars=len(rows.bars), unreadable=len(rows.unreadable)))

    def objects(self) -> dict[str, tuple[str, int]]:
        """ETag and size in bytes of the objects that are recognised by them, by name."""
        return {
            name: (read.etag, read.size_bytes)
            for name, read in self.known.items()
            if read.etag and read.calendar == self.calendar.mic
        }
