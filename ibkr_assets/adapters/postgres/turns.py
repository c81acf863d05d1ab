"""Writers of the same instruments take turns: two of them at once would both find nothing stored and write it twice.

What goes here: the locks. What does not: what is written under them (`bars`, `verdicts`). The server has room for some
thousand locks in all, so instruments share a fixed number of them: a batch may name any number of instruments, and one
that waits for an instrument it has nothing to do with waits for one statement of a bulk load.
"""

from __future__ import annotations

from collections.abc import Collection

from ibkr_assets.adapters.postgres.connection import Connection

#: Locks of one table: few beside the room of a server as it is delivered (64 for each connection that it allows).
TURNS = 64


def take_turns(connection: Connection, table: str, conids: Collection[int]) -> None:
    """Wait until no other transaction writes rows of these instruments to the table; held until this one ends.

    Turns are taken in one order, so that no two wait for each other.
    """
    turns = sorted({conid % TURNS for conid in conids})
    connection.execute(
        "select pg_advisory_xact_lock(hashtext(%s), turn) from (select unnest(%s::integer[]) as turn) as wanted",
        (table, turns),
    )
