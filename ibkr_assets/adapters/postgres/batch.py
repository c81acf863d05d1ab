"""Several statements in one round trip, where none of them needs what another one finds.

What goes here: sending them together (libpq's pipeline mode). What does not: the transaction they are in
(`transactions`), and any SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

Statement = tuple[str, Mapping[str, Any]]


def fetch_together(cursor: psycopg.Cursor[DictRow], statements: Sequence[Statement]) -> list[list[DictRow]]:
    """The rows of each statement, in their order; none for one that gives no rows. At least one statement.

    They run one after the other in the cursor's transaction, so each sees what was done and committed before it, and a
    lock that one waits for is held when the next one runs. One that fails raises as it would alone, and ends the
    transaction as it would.
    """
    connection = cursor.connection
    with connection.pipeline():
        sent = [connection.cursor(row_factory=dict_row).execute(*statement) for statement in statements]
    return [one.fetchall() if one.description else [] for one in sent]
