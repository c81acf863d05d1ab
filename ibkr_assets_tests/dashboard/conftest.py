"""The dashboard over a real, empty database, with nothing else there: Dagster and MLflow are away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ibkr_assets.adapters.postgres.alert_outbox import PostgresOutbox
from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.server import build
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.domain.order import account_ref
from ibkr_assets.settings import load
from ibkr_assets_tests.browser import chromium  # noqa: F401 - a fixture
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.decided import decide

HOST = "http://127.0.0.1:8000"
ACCOUNT = "DU1000001"


@contextmanager
def application(
    server, template: str, data_dir: Path, furnish: Callable[[Database], object] | None = None
) -> Iterator[FastAPI]:
    """Mode sim, with the database role that pages read by. `furnish` fills the database as its owner."""
    with fresh_database(server, template) as name:
        if furnish is not None:
            owner = Database(server.url(name, "ibkr_platform"))
            furnish(owner)
            owner.close()
        url = server.url(name, "ibkr_dashboard")
        settings = load(
            {
                "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": ACCOUNT, "IBKR_ASSETS_DATA_DIR": str(data_dir),
                "IBKR_ASSETS_DATABASE_URL": url,
            }
        )  # fmt: skip
        database = Database(url)
        yield build(Sources(settings, database, account_ref(ACCOUNT)))
        database.close()


def _browser(app: FastAPI) -> Callable[..., TestClient]:
    """A client of a role: with its session's cookie, and with the headers that a browser sends with a form."""

    def open_as(role: Role = Role.NOBODY) -> TestClient:
        client = TestClient(app, base_url=HOST, follow_redirects=False)
        client.headers["origin"] = HOST
        if role is not Role.NOBODY:
            sessions = app.state.sessions
            session = sessions.begin(role.name.lower(), role)
            client.cookies.set("ibkr-assets-8000", sessions.write(session))
            client.headers["x-csrf-token"] = session.token
        return client

    return open_as


@pytest.fixture
def app(postgres_server, _template, tmp_path: Path) -> Iterator[FastAPI]:
    """An application of its own, for tests that change something."""
    with application(postgres_server, _template, tmp_path) as made:
        yield made


@pytest.fixture
def browser(app: FastAPI) -> Callable[..., TestClient]:
    return _browser(app)


@pytest.fixture(scope="module")
def shared_app(postgres_server, _template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """One application for the tests of a module that only look, or are refused."""
    with application(postgres_server, _template, tmp_path_factory.mktemp("dashboard")) as made:
        yield made


@pytest.fixture
def shared_browser(shared_app: FastAPI) -> Callable[..., TestClient]:
    return _browser(shared_app)


@pytest.fixture
def held_app(postgres_server, _template, tmp_path: Path) -> Iterator[FastAPI]:
    """An application over one real decision, followed to its fill: ten shares or so of FB are held."""
    with application(postgres_server, _template, tmp_path, lambda owner: decide(owner, tmp_path)) as made:
        yield made


@pytest.fixture
def held_browser(held_app: FastAPI) -> Callable[..., TestClient]:
    return _browser(held_app)


@pytest.fixture
def approved_app(postgres_server, _template, tmp_path: Path) -> Iterator[FastAPI]:
    """An application over one real decision whose order was approved and has not left."""
    with application(
        postgres_server, _template, tmp_path, lambda owner: decide(owner, tmp_path, is_filled=False)
    ) as made:
        yield made


@pytest.fixture
def approved_browser(approved_app: FastAPI) -> Callable[..., TestClient]:
    return _browser(approved_app)


@pytest.fixture
def alert_rows(app: FastAPI, postgres_server) -> Iterator[tuple[PostgresOutbox, PostgresAlerts]]:
    """The outbox and the alerts behind the pages, as the processes write them that raise and send."""
    sources = app.state.sources
    database = Database(postgres_server.url(sources.database.url.rpartition("/")[2], "ibkr_app"))
    yield PostgresOutbox(database, sources.account_ref), PostgresAlerts(database, sources.account_ref, "test")
    database.close()
