"""A Postgres server of its own for a benchmark, durable as in production, and fresh ledgers on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ibkr_assets.adapters.postgres.migrate import migrate
from ibkr_assets.stack.postgres import EmbeddedPostgres


@contextmanager
def start_server() -> Iterator[EmbeddedPostgres]:
    """A server that waits for the disk at each commit; gone afterwards."""
    data_dir = Path(tempfile.mkdtemp(prefix="ibkr-assets-bench-"))
    data_dir.chmod(0o755)
    server = EmbeddedPostgres(data_dir)
    try:
        server.start()
        server.ensure_databases()
        yield server
    finally:
        server.stop()
        shutil.rmtree(data_dir)


def new_database(server: EmbeddedPostgres, name: str) -> str:
    """The URL of a database at the newest schema, as its owner."""
    with server.connect() as connection:
        connection.execute(f"create database {name} owner ibkr_platform")
    url = server.url(name, "ibkr_platform")
    migrate(url)
    return url
