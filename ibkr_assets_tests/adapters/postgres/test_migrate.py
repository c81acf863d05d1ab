"""From an empty database to the newest schema, twice, at once, and never past what the code knows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ibkr_assets.adapters.postgres.migrate import check, migrate
from ibkr_assets.domain.errors import ConfigurationError, Unavailable


@pytest.fixture
def empty_url(postgres_server) -> Iterator[str]:
    name = f"empty_{uuid.uuid4().hex[:8]}"
    with postgres_server.connect() as connection:
        connection.execute(f"create database {name} owner ibkr_platform")
    yield postgres_server.url(name, "ibkr_platform")
    with postgres_server.connect() as connection:
        connection.execute(f"drop database {name} with (force)")


def test_an_empty_database_is_refused_until_it_is_migrated(empty_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"revision none.*ibkr-assets db migrate"):
        check(empty_url)
    head = migrate(empty_url)
    check(empty_url)
    assert migrate(empty_url) == head


def test_two_migrations_at_once_both_end_well(empty_url: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(migrate, [empty_url, empty_url])
    assert first == second
    check(empty_url)


def test_a_schema_from_the_future_is_refused_by_both(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update platform.schema_version set version_num = '9999'")
    for act in (check, migrate):
        with pytest.raises(ConfigurationError, match="revision 9999, which this version of ibkr-assets does not know"):
            act(database_url)


def test_an_older_schema_asks_for_a_migration(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update platform.schema_version set version_num = '0001'")
    with pytest.raises(ConfigurationError, match=r"at revision 0001, this version needs \d+"):
        check(database_url)


def test_the_schema_is_not_changed_under_somebody_who_may_trade(empty_url: str) -> None:
    migrate(empty_url, to="0025")
    arm = (
        "insert into oms.control (scope, action, actor, reason, expires_at) "
        "values ('account:a', %s, 'a', 'opening', clock_timestamp() + interval '1 hour')"
    )
    with psycopg.connect(empty_url) as connection:
        connection.execute(arm, ("arm",))
    with pytest.raises(Unavailable, match=r"armed account:a until .*; disarm first"):
        migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute(arm, ("disarm",))
    head = migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute(arm, ("arm",))
    assert migrate(empty_url) == head  # there is nothing to change


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        connection.execute("create schema research")  # in the way of a later statement of the first revision
    with pytest.raises(Exception, match="already exists"):
        migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("select to_regnamespace('md'), to_regnamespace('platform')").fetchone() == (
            None,
            None,
        )


def test_the_users_of_the_platform_can_check_but_not_migrate(database_url_of) -> None:
    for role in ("ibkr_app", "ibkr_submitter", "ibkr_dashboard"):
        check(database_url_of(role))
        with (
            psycopg.connect(database_url_of(role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("create table md.mine (n int)")


def test_the_schema_also_fits_a_server_without_our_roles(postgres_server, empty_url: str) -> None:
    """The grants are skipped where the roles are not there: looked at by what the migration asks."""
    roles = ("ibkr_app", "ibkr_submitter", "ibkr_dashboard")
    with postgres_server.connect() as connection:
        for role in roles:
            connection.execute(f"alter role {role} rename to {role}_away")
        try:
            migrate(empty_url)
        finally:
            for role in roles:
                connection.execute(f"alter role {role}_away rename to {role}")


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        migrate("postgresql://someone@127.0.0.1:1/platform")
