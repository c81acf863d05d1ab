"""Backtests and sweeps that Dagster ran, in Postgres: figures, files, and the chunks of sweeps that are under way.

What goes here: the SQL. What does not: the work (`backtest`), and who asks for it (`defs.backtests`, `defs.sweeps`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_RUN = "select run_id, what, title, params, about, metrics, mlflow_page, finished_at from research.past_run"
_FILES = "select run_id, name, length(content) from research.past_run_file where run_id = any(%s) order by name"
_SAVE = """
insert into research.past_run (run_id, what, title, params, about, metrics, mlflow_page)
values (%s, %s, %s, %s, %s, %s, %s)
on conflict (run_id) do update set title = excluded.title, params = excluded.params, about = excluded.about,
  metrics = excluded.metrics, mlflow_page = excluded.mlflow_page, finished_at = clock_timestamp()
"""
_SAVE_FILE = """
insert into research.past_run_file (run_id, name, content) values (%s, %s, %s)
on conflict (run_id, name) do update set content = excluded.content
"""
_ASK = """
insert into research.sweep_chunk (sweep_id, chunk, chunks, config)
select %(sweep)s, chunk, %(chunks)s, %(config)s from generate_series(1, %(chunks)s) chunk on conflict do nothing
"""
_TAKE = "update research.sweep_chunk set dagster_run_id = %s where sweep_id = %s and chunk = %s"
_KEEP = """
update research.sweep_chunk set rows = %s, finished_at = clock_timestamp() where sweep_id = %s and chunk = %s
"""
#: What nobody has finished within a week is left alone.
_WAITING = """
select sweep_id, chunk, chunks, config, dagster_run_id from research.sweep_chunk
where finished_at is null and asked_at > clock_timestamp() - interval '7 days' order by asked_at, sweep_id, chunk
"""


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a run came to. `metrics` and `params` of a sweep are those of its best set; `files` are sizes by name."""

    run_id: str
    what: str
    title: str
    params: dict[str, Any]
    about: dict[str, Any]
    metrics: dict[str, float | None]
    mlflow_page: str | None
    finished_at: datetime
    files: dict[str, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a sweep, counted from 1, with the configuration of the run that asked for it.

    `taken_by` is the run that began to work on it last.
    """

    sweep_id: str
    chunk: int
    chunks: int
    config: dict[str, Any]
    taken_by: str | None


class PostgresPastRuns:
    """What Dagster ran over the past. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        run_id: str,
        what: str,
        *,
        title: str,
        params: Mapping[str, Any],
        about: Mapping[str, Any],
        metrics: Mapping[str, float | None],
        mlflow_page: str | None,
        files: Mapping[str, bytes],
    ) -> None:
        """Keep what a run came to; a run that is done again replaces what it left."""
        row = (run_id, what, title, Jsonb(dict(params)), Jsonb(dict(about)), Jsonb(dict(metrics)), mlflow_page)
        with self._database.connect() as connection, connection.cursor() as cursor:
            cursor.execute(_SAVE, row)
            cursor.executemany(_SAVE_FILE, [(run_id, name, content) for name, content in files.items()])

    def newest(self, limit: int = 50) -> list[PastRun]:
        """The last ones that finished, newest first."""
        return self._runs(f"{_RUN} order by finished_at desc, run_id limit %s", limit)

    def load(self, run_id: str) -> PastRun | None:
        """One of them; None where there is none."""
        return next(iter(self._runs(f"{_RUN} where run_id = %s", run_id)), None)

    def file(self, run_id: str, name: str) -> bytes | None:
        """A file of a run; None where there is none."""
        query = "select content from research.past_run_file where run_id = %s and name = %s"
        with self._database.connect() as connection:
            found = connection.execute(query, (run_id, name)).fetchone()
        return None if found is None else bytes(found[0])

    def ask(self, sweep_id: str, chunks: int, config: Mapping[str, Any]) -> None:
        """Register the chunks of a sweep, once."""
        with self._database.connect() as connection:
            connection.execute(_ASK, {"sweep": sweep_id, "chunks": chunks, "config": Jsonb(dict(config))})

    def take(self, sweep_id: str, chunk: int, dagster_run_id: str) -> None:
        """Say which run works on a chunk."""
        with self._database.connect() as connection:
            connection.execute(_TAKE, (dagster_run_id, sweep_id, chunk))

    def waiting(self) -> list[Chunk]:
        """Chunks that no run has finished, whether one has taken them or not; those asked for first come first."""
        with self._database.connect() as connection:
            return [Chunk(*row) for row in connection.execute(_WAITING).fetchall()]

    def keep(self, sweep_id: str, chunk: int, rows: list[Any]) -> None:
        """Keep the rows of a chunk."""
        packed = zlib.compress(json.dumps(rows, allow_nan=False).encode())
        with self._database.connect() as connection:
            connection.execute(_KEEP, (packed, sweep_id, chunk))

    def kept(self, sweep_id: str) -> list[list[Any]] | None:
        """The rows of all chunks in their order; None while one is missing."""
        query = "select rows from research.sweep_chunk where sweep_id = %s order by chunk"
        with self._database.connect() as connection:
            found = [row for (row,) in connection.execute(query, (sweep_id,)).fetchall()]
        if not found or None in found:
            return None
        return [json.loads(zlib.decompress(row)) for row in found]

    def chunks(self, sweep_id: str) -> tuple[int, int]:
        """How many chunks of a sweep are done, and how many there are."""
        query = "select count(finished_at), count(*) from research.sweep_chunk where sweep_id = %s"
        with self._database.connect() as connection:
            done, total = connection.execute(query, (sweep_id,)).fetchone() or (0, 0)
        return int(done), int(total)

    def _runs(self, query: str, value: object) -> list[PastRun]:
        with self._database.connect() as connection:
            rows = connection.execute(query, (value,)).fetchall()
            files: dict[str, dict[str, int]] = {row[0]: {} for row in rows}
            for run_id, name, size in connection.execute(_FILES, (list(files),)).fetchall():
                files[run_id][name] = size
        return [PastRun(*(*row, files[row[0]])) for row in rows]
