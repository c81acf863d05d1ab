"""Several statements in one round trip: each in its place, one transaction, an error as one alone would raise it."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from ibkr_assets.adapters.postgres.batch import fetch_together
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import LedgerConflict


@pytest.fixture
def table(database: Database) -> Database:
    with database.connect() as connection:
        connection.execute("create table public.t (n int primary key)")
    return database


def numbers(database: Database) -> list[int]:
    with transaction(database) as cursor:
        return [row["n"] for row in cursor.execute("select n from t order by n").fetchall()]


def is_somebody_waiting(database: Database) -> bool:
    waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with transaction(database) as cursor:  # a transaction sees its first look only
        return bool(cursor.execute(waiting).fetchall())


def test_rows_come_in_the_order_of_the_statements_and_each_sees_those_before_it(table: Database) -> None:
    with transaction(table) as cursor:
        found = fetch_together(
            cursor,
            [
                ("insert into t values (%(n)s)", {"n": 1}),
                ("insert into t values (%(n)s) returning n + 1 as next", {"n": 2}),
                ("select count(*) as count from t where n < %(below)s", {"below": 9}),
            ],
        )
        assert cursor.execute("select count(*) as count from t").fetchall() == [{"count": 2}]
    assert found == [[], [{"next": 3}], [{"count": 2}]]
    assert numbers(table) == [1, 2]


def test_one_that_fails_ends_the_transaction_and_the_connection_can_be_used_again(table: Database) -> None:
    statements = [("insert into t values (%(n)s)", {"n": n}) for n in (1, 1, 2)]

    def fail() -> None:
        with transaction(table) as cursor:
            fetch_together(cursor, statements)

    with pytest.raises(LedgerConflict, match="duplicate key") as caught:
        fail()
    assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
    assert numbers(table) == []


def test_what_is_read_behind_a_lock_is_read_when_it_is_held(table: Database) -> None:
    """The second of two sees what the first one did, though it sent everything before that was committed."""
    with transaction(table) as cursor:
        cursor.execute("insert into t values (0)")
    seen: list[list[int]] = []
    is_locked = threading.Event()
    both = [("select n from t where n = %(first)s for update", {"first": 0}), ("select n from t order by n", {})]

    def come_second() -> None:
        is_locked.wait(20)
        with transaction(table) as cursor:
            seen.append([row["n"] for row in fetch_together(cursor, both)[1]])

    second = threading.Thread(target=come_second)
    second.start()
    with transaction(table) as cursor:
        fetch_together(cursor, both[:1])
        is_locked.set()
        until = time.monotonic() + 9
        while not is_somebody_waiting(table):
            assert time.monotonic() < until
        cursor.execute("insert into t values (5)")
    second.join(20)
    assert seen == [[0, 5]]
