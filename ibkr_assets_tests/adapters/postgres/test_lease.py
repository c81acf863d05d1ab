"""The writer's lease when its own connection goes away."""

from __future__ import annotations

from typing import Any

import pytest

from ibkr_assets.adapters.postgres.connection import Connection, Database
from ibkr_assets.adapters.postgres.lease import PostgresLease
from ibkr_assets.domain.errors import Unavailable


class Dropping(Database):
    """A server that hangs up on every connection that is opened by hand, as one that is being ended does."""

    is_dropping = True

    def open(self, *, is_autocommit: bool = True) -> Connection:
        connection = super().open(is_autocommit=is_autocommit)
        if is_autocommit and self.is_dropping:
            with self.connect() as other:
                other.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
        return connection


def test_a_connection_that_ends_while_the_lease_is_taken_is_a_peer_that_is_away(database_url: str) -> None:
    database: Any = Dropping(database_url)
    lease = PostgresLease(database, "acct-1")
    with pytest.raises(Unavailable, match="the platform database went away"):
        lease.acquire("test", 20.0)
    database.is_dropping = False
    assert lease.acquire("test", 20.0) == 1
    lease.release()
    database.close()
