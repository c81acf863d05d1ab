"""Counts over bars, features and signals for people: the stack's closing table and the command line.

Read only, and nothing that decides reads it. Orders and money are counted in the ledger's own module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import LiteralString

from ibkr_assets.adapters.postgres.connection import Database

# Daily bars are stamped at the opening of their session; on the exchanges served this is the session's date in UTC.
COUNTS = """
select
  (select count(*) from md.bar where known_to is null and {bars})
    + (select count(*) from md.rejected_row where {bars}),
  (select count(*) from md.bar b join md.bar_verdict v using (conid, bar_size, opened_at, version)
    where known_to is null and v.verdict = 'accepted' and {bars}),
  (select count(*) from md.quarantine where {bars}) + (select count(*) from md.rejected_row where {bars}),
  (select count(*) from research.feature where {bars}),
  (select count(*) from research.current_signal where {signals})
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows in force: bars with rejected rows, accepted ones, quarantined or rejected ones, features, newest signals."""

    bars_raw: int
    bars_validated: int
    bars_quarantined: int
    features: int
    signals: int


def session_summary(database: Database, session_date: date) -> Counts:
    """The counts of one session: bars opened on that day, UTC, and signals decided on them."""
    return _count(
        database,
        bars="opened_at >= %(day)s::timestamp at time zone 'UTC' "
        "and opened_at < (%(day)s::timestamp + interval '1 day') at time zone 'UTC'",
        signals="session_date = %(day)s",
        day=session_date,
    )


def totals(database: Database) -> Counts:
    """The counts of everything stored."""
    return _count(database, bars="true", signals="true", day=None)


def _count(database: Database, *, bars: LiteralString, signals: LiteralString, day: date | None) -> Counts:
    from psycopg import sql

    statement = sql.SQL(COUNTS).format(bars=sql.SQL(bars), signals=sql.SQL(signals))
    with database.connect() as connection:
        row = connection.execute(statement, {"day": day}).fetchone()
    assert row is not None
    return Counts(*row)
