"""Fixtures that several folders share: one Postgres server a test run, one fresh database a test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from ibkr_assets_tests.databases import fresh_database

TEMPLATE = "platform_template"


@pytest.fixture(scope="module", autouse=True)
def _own_fork_server() -> Iterator[None]:
    """A process has one fork server, with what its first user asked it to load; each module begins without one."""
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # the standard library's own tests do the same


@pytest.fixture(scope="session")
def postgres_server() -> Iterator:
    """An EmbeddedPostgres with its databases. Not under tmp_path: that is closed to the account it runs as."""
    from ibkr_assets.stack.postgres import EmbeddedPostgres

    data_dir = Path(tempfile.mkdtemp(prefix="ibkr-assets-test-"))
    data_dir.chmod(0o755)
    # Durability is tested where it matters; everywhere else the disk need not be waited for.
    server = EmbeddedPostgres(data_dir, settings={"fsync": "off", "synchronous_commit": "off"})
    try:
        server.start()
        server.ensure_databases()
        yield server
    finally:
        server.stop()
        shutil.rmtree(data_dir)


@pytest.fixture(scope="session")
def _template(postgres_server) -> str:
    """The name of a database at the newest schema, with nobody connected to it."""
    from ibkr_assets.adapters.postgres.migrate import migrate

    with postgres_server.connect() as connection:
        connection.execute(f"create database {TEMPLATE} owner ibkr_platform")
    migrate(postgres_server.url(TEMPLATE, "ibkr_platform"))
    return TEMPLATE


@pytest.fixture
def database_url_of(postgres_server, _template) -> Iterator[Callable[[str], str]]:
    """The fresh database's URL as the given role: `ibkr_platform` (its owner), `ibkr_app` or `ibkr_submitter`."""
    with fresh_database(postgres_server, _template) as name:
        yield lambda role: postgres_server.url(name, role)


@pytest.fixture
def database_url(database_url_of) -> str:
    """The URL of a fresh database at the newest schema, as its owner; dropped after the test."""
    return database_url_of("ibkr_platform")


@pytest.fixture
def database(database_url) -> Iterator:
    """A `Database` on the fresh database, closed after the test."""
    from ibkr_assets.adapters.postgres.connection import Database

    opened = Database(database_url)
    yield opened
    opened.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts whole stacks goes first, so that no worker begins the longest module when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
