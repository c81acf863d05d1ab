"""Files of bars that were imported, as they were then, in Postgres.

What goes here: the SQL. What does not: what follows from a file being as it was (`ingest.read_files`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.bar_file import ReadFile

_LOAD = """
select place, name, encode(content_sha256, 'hex'), size_bytes, checksum, etag, calendar, bars, unreadable
from md.read_file where place = %s and bar_size = %s and name = any(%s)
"""
_SAVE = """
insert into md.read_file
  (place, bar_size, name, content_sha256, size_bytes, checksum, etag, calendar, bars, unreadable, read_at)
values (%s, %s, %s, decode(%s, 'hex'), %s, %s, %s, %s, %s, %s, %s)
on conflict (place, bar_size, name) do update set
  (content_sha256, size_bytes, checksum, etag, calendar, bars, unreadable, read_at) = (
    excluded.content_sha256, excluded.size_bytes, excluded.checksum, excluded.etag, excluded.calendar, excluded.bars,
    excluded.unreadable, excluded.read_at)
"""


class PostgresReadFiles:
    """The memory of imports. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, place: str, size: BarSize, names: Sequence[str]) -> dict[str, ReadFile]:
        """Those of these names whose rows were stored and judged as bars of this size, by name."""
        with self._database.connect() as connection:
            rows = connection.execute(_LOAD, (place, size.value, list(names))).fetchall()
        return {row[1]: ReadFile(*row) for row in rows}

    def save(self, files: Sequence[ReadFile], size: BarSize, *, now: datetime) -> None:
        """Note what these were when they were read; what was known of a name before is replaced."""
        rows = [
            (one.place, size.value, one.name, one.content, one.size_bytes, one.checksum, one.etag, one.calendar,
             one.bars, one.unreadable, now)
            for one in sorted(files, key=lambda one: (one.place, one.name))
        ]  # fmt: skip
        if rows:
            with self._database.connect() as connection:
                connection.cursor().executemany(_SAVE, rows)
