"""Connections to the platform's database: one block, one transaction.

What goes here: opening, keeping and repairing connections, and turning the driver's failures into ours. What does
not: any table's SQL.
"""

from __future__ import annotations

import os
import select
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo, errors

from ibkr_assets.domain.errors import ConfigurationError, Unavailable

Connection = psycopg.Connection[tuple[Any, ...]]

#: Connections kept open between uses; opening one costs about 5 ms.
KEPT = 4


class Database:
    """A Postgres database by URL. Threads may share it: every block has a connection to itself.

    A block inside another block is a transaction of its own. Timeouts are in seconds and hold for each statement and
    each wait for a lock.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str = "ibkr-assets",
        statement_timeout_s: float = 60.0,
        lock_timeout_s: float = 10.0,
    ) -> None:
        self.url = url
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ConfigurationError(f"database.url: {str(error).strip()}") from None
        self._where = f"{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
        timeouts = (
            f"-c timezone=UTC -c statement_timeout={round(statement_timeout_s * 1000)}"
            f" -c lock_timeout={round(lock_timeout_s * 1000)} -c idle_in_transaction_session_timeout=300000"
        )
        self._arguments: dict[str, Any] = {
            "options": f"{given.get('options', '')} {timeouts}".strip(),
            "application_name": application_name,
            "connect_timeout": given.get("connect_timeout", 5),
        }
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._owner_pid = os.getpid()
        weakref.finalize(self, _close_all, self._idle, self._owner_pid)

    def __repr__(self) -> str:
        return f"Database({self._where})"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        It begins with the first statement, and in one round trip with those of a pipeline.
        Raises Unavailable when the server does not answer or goes away, ConfigurationError when it refuses the role,
        the password or the database. Errors of a statement come as psycopg raises them.
        """
        connection = self._take()
        try:
            try:
                yield connection
                connection.commit()
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if connection.broken or connection.closed:
                raise Unavailable(f"Postgres at {self._where} went away: {_first_line(error)}") from error
            raise
        finally:
            self._give_back(connection)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock of this name among all processes of the database. Raises as `connect` does."""
        with self.connect() as connection:
            connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))
            yield

    def open(self, *, is_autocommit: bool = True) -> Connection:
        """A new connection that the caller closes: for notifications, session locks and the like.

        Raises as `connect` does.
        """
        try:
            return psycopg.connect(self.url, autocommit=is_autocommit, **self._arguments)
        except psycopg.OperationalError as error:
            text = _first_line(error)
            if _is_refusal(error):
                raise ConfigurationError(f"database.url: Postgres at {self._where} refuses: {text}") from None
            raise Unavailable(f"Postgres at {self._where} does not answer: {text}") from None

    def close(self) -> None:
        """Close what is kept open. The next block opens again."""
        with self._lock:
            _close_all(self._idle, self._owner_pid)

    def _take(self) -> Connection:
        with self._lock:
            if self._owner_pid != os.getpid():  # after a fork the parent's connections are not ours to use
                self._idle.clear()
                self._owner_pid = os.getpid()
            while self._idle:
                connection = self._idle.pop()
                if _is_quiet(connection):
                    return connection
                connection.close()
        return self.open(is_autocommit=False)

    def _give_back(self, connection: Connection) -> None:
        is_clean = not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if is_clean and self._owner_pid == os.getpid() and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()


_shared: weakref.WeakValueDictionary[str, Database] = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def shared_database(url: str) -> Database:
    """The database of the URL that somebody in this process uses already, so that its connections are, or a new one.

    Who keeps it keeps its connections: a password costs both sides ten milliseconds. Raises ConfigurationError.
    """
    with _sharing:
        found = _shared.get(url)
        if found is None:
            found = _shared[url] = Database(url)
        return found


def _is_quiet(connection: Connection) -> bool:
    """False when the server has hung up: an idle connection has nothing to read."""
    if connection.closed:
        return False
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    return not readable


def _close_all(idle: list[Connection], owner_pid: int) -> None:
    while idle:
        connection = idle.pop()
        if owner_pid == os.getpid():
            connection.close()


def _is_refusal(error: psycopg.OperationalError) -> bool:
    """True for a wrong password, role or database; a server that starts up or is full is not a refusal."""
    if isinstance(error, (errors.InvalidPassword, errors.InvalidAuthorizationSpecification, errors.InvalidCatalogName)):
        return True
    text = str(error)  # libpq gives no code for a connection that was never made
    return any(words in text for words in ("password authentication failed", "does not exist", "no pg_hba.conf entry"))


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
