"""Dagster's and MLflow's databases beside one that the user named."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.stack.postgres import ensure_sibling_databases


@pytest.fixture
def outside(postgres_server) -> Iterator:
    """A function that makes an outside role, with or without the right to create databases, and gives its URL."""
    with postgres_server.connect() as connection:

        def make(right: str) -> str:
            connection.execute(f"create role outsider login password 'pass' {right}")
            connection.execute("create database outside owner outsider")
            return f"postgresql://outsider:pass@127.0.0.1:{postgres_server.port}/outside?connect_timeout=3"

        yield make
        for name in ("outside", "outside_dagster", "outside_mlflow"):
            connection.execute(f"drop database if exists {name} with (force)")
        connection.execute("drop role outsider")


def test_the_siblings_are_created_once_and_can_be_used(outside) -> None:
    url = outside("createdb")
    urls = ensure_sibling_databases(url)

    assert urls["platform"] == url
    assert urls["mlflow"].endswith("/outside_mlflow?connect_timeout=3")
    for name, sibling in urls.items():
        with psycopg.connect(sibling) as connection:
            expected = "outside" if name == "platform" else f"outside_{name}"
            assert connection.execute("select current_database()").fetchone() == (expected,)
    assert ensure_sibling_databases(url) == urls


def test_two_at_once_both_get_them(outside) -> None:
    url = outside("createdb")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ensure_sibling_databases, [url, url])
    assert first == second


def test_a_role_that_may_not_is_told_the_words_to_use(outside) -> None:
    with pytest.raises(
        ConfigurationError, match="create database outside_dagster owner outsider; create database outside_mlflow"
    ):
        ensure_sibling_databases(outside("nocreatedb"))


def test_a_role_that_may_not_is_no_obstacle_where_they_exist(outside, postgres_server) -> None:
    url = outside("nocreatedb")
    with postgres_server.connect() as connection:
        for name in ("outside_dagster", "outside_mlflow"):
            connection.execute(f"create database {name} owner outsider")
    assert sorted(ensure_sibling_databases(url)) == ["dagster", "mlflow", "platform"]


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql://host", "nonsense"])
def test_what_is_no_postgres_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"database\.url: expected postgresql://"):
        ensure_sibling_databases(url)


def test_an_outside_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be used"):
        ensure_sibling_databases("postgresql://a:secret@127.0.0.1:1/platform")
