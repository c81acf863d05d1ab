"""One transaction on the order ledger, with the database's refusals in the platform's words.

What goes here: the translation of errors. What does not: the connection itself (`connection`), and SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import DictRow, dict_row

from ibkr_assets.domain.errors import LedgerConflict, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database


@contextmanager
def transaction(database: Database) -> Iterator[psycopg.Cursor[DictRow]]:
    """A cursor with rows as dictionaries, in one transaction that is committed at the end.

    Raises LedgerConflict when a guard or a constraint of the ledger refused the change, Unavailable when the database
    does not answer; in both cases nothing of the transaction is kept.
    """
    try:
        with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            yield cursor
    except (psycopg.errors.RaiseException, psycopg.IntegrityError, psycopg.errors.InsufficientPrivilege) as error:
        raise LedgerConflict(f"the order ledger refused: {_first_line(error)}") from error
    except psycopg.OperationalError as error:
        raise Unavailable(f"the platform database cannot do it now: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().splitlines()[0]
