"""One block, one transaction; and what a server that is away, or says no, turns into."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time

import psycopg
import pytest

from ibkr_assets.adapters.postgres.connection import KEPT, Database, shared_database
from ibkr_assets.domain.errors import ConfigurationError, Unavailable


@pytest.fixture
def table(database: Database) -> Database:
    with database.connect() as connection:
        connection.execute("create table public.t (n int)")
    return database


def rows(database: Database) -> list[int]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("select n from t order by n")]


def test_a_block_commits_at_its_end_and_rolls_back_when_it_raises(table: Database) -> None:
    with table.connect() as connection:
        connection.execute("insert into t values (1)")

    def spoil() -> None:
        with table.connect() as connection:
            connection.execute("insert into t values (2)")
            raise KeyError

    with pytest.raises(KeyError):
        spoil()
    assert rows(table) == [1]


def test_a_block_inside_a_block_is_a_transaction_of_its_own(table: Database) -> None:
    def spoil_the_outer() -> None:
        with table.connect() as outer:
            outer.execute("insert into t values (1)")
            with table.connect() as inner:
                inner.execute("insert into t values (2)")
            raise KeyError

    with pytest.raises(KeyError):
        spoil_the_outer()
    assert rows(table) == [2]


def test_a_session_is_in_utc_with_timeouts_and_a_name(database_url: str) -> None:
    database = Database(database_url, application_name="a test", statement_timeout_s=1.5, lock_timeout_s=0.25)
    with database.connect() as connection:
        shown = [
            connection.execute(f"show {name}").fetchone()
            for name in ("timezone", "statement_timeout", "lock_timeout", "application_name")
        ]
    assert shown == [("UTC",), ("1500ms",), ("250ms",), ("a test",)]
    database.close()


def test_a_statement_that_takes_too_long_is_cancelled_and_the_database_stays_usable(database_url: str) -> None:
    database = Database(database_url, statement_timeout_s=0.1)
    with pytest.raises(psycopg.errors.QueryCanceled), database.connect() as connection:
        connection.execute("select pg_sleep(5)")
    with database.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    database.close()


def test_one_connection_serves_many_blocks_and_no_more_than_a_few_are_kept(database: Database) -> None:
    pids = set()
    for _ in range(5):
        with database.connect() as connection:
            pids.add(connection.info.backend_pid)
    assert len(pids) == 1

    barrier = threading.Barrier(KEPT + 3)

    def use() -> None:
        with database.connect():
            barrier.wait(10)

    threads = [threading.Thread(target=use) for _ in range(KEPT + 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database._idle) == KEPT


def test_a_connection_that_the_server_cut_is_replaced(database: Database) -> None:
    with database.connect() as connection:
        victim = connection.info.backend_pid
    with database.open() as other:
        other.execute("select pg_terminate_backend(%s)", (victim,))
    other.close()
    time.sleep(0.1)
    with database.connect() as connection:
        assert connection.info.backend_pid != victim


def test_a_connection_cut_inside_a_block_is_unavailable_and_names_the_server(database: Database) -> None:
    with pytest.raises(Unavailable, match=r"Postgres at 127\.0\.0\.1:\d+/test_\w+ went away"), database.connect() as c:
        c.execute("select pg_terminate_backend(pg_backend_pid())")
    with database.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_server_that_does_not_answer_is_unavailable_and_the_password_is_not_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = Database(f"postgresql://someone:hush-hush@127.0.0.1:{port}/platform")
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}/platform does not answer") as caught, database.connect():
        pass
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(database)


@pytest.mark.parametrize(("part", "wrong"), [("password", "wrong"), ("dbname", "nothing"), ("user", "nobody_known")])
def test_a_refused_role_password_or_database_is_a_configuration_error(database_url: str, part: str, wrong: str) -> None:
    url = psycopg.conninfo.make_conninfo(database_url, **{part: wrong})
    with pytest.raises(ConfigurationError, match=r"database\.url: Postgres at .* refuses"), Database(url).connect():
        pass


def test_something_that_is_no_url_is_a_configuration_error_without_its_text() -> None:
    with pytest.raises(ConfigurationError, match=r"database\.url"):
        Database("postgresql://user:secret@host:port with spaces/x?nonsense=1")


def test_after_a_fork_the_child_has_connections_of_its_own(database: Database) -> None:
    with database.connect() as connection:
        parents = connection.info.backend_pid
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with database.connect() as connection:
            os.write(writer, str(connection.info.backend_pid).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert int(answer.read()) != parents
    os.waitpid(child, 0)
    with database.connect() as connection:
        assert connection.info.backend_pid == parents


def test_a_forgotten_database_leaves_no_open_connection(database_url: str) -> None:
    forgotten = Database(database_url)
    with forgotten.connect() as connection:
        pass
    del forgotten
    gc.collect()
    assert connection.closed


def test_who_asks_for_the_same_database_shares_its_connections_for_as_long_as_somebody_keeps_it(
    database: Database,
) -> None:
    def backend(of: Database) -> int:
        with of.connect() as connection:
            return connection.info.backend_pid

    kept = shared_database(database.url)
    first = backend(kept)
    assert backend(shared_database(database.url)) == first
    del kept
    gc.collect()
    assert backend(shared_database(database.url)) != first
