"""Days on which the broker and the exchange's calendar do not agree when a contract trades, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.market.hours import HoursDifference

SAVE = """
insert into md.hours_difference as old (conid, session_date, calendar, calendar_hours, broker_hours, found_at)
select %(conid)s, d.day, %(calendar)s, d.ours, d.theirs, %(now)s
from unnest(%(days)s::date[], %(ours)s::text[], %(theirs)s::text[]) as d (day, ours, theirs)
order by 2
on conflict (conid, session_date) do update
  set calendar = excluded.calendar, calendar_hours = excluded.calendar_hours, broker_hours = excluded.broker_hours,
    found_at = excluded.found_at, settled_at = null
  where old.settled_at is not null
    or (old.calendar_hours, old.broker_hours) is distinct from (excluded.calendar_hours, excluded.broker_hours)
"""
SETTLE = """
update md.hours_difference set settled_at = %(now)s
where conid = %(conid)s and settled_at is null and session_date between %(first)s and %(last)s
  and session_date <> all (%(days)s::date[])
"""
LOAD = """
select i.symbol, h.session_date, h.calendar, h.calendar_hours, h.broker_hours, h.found_at, h.settled_at
from md.hours_difference h join md.instrument i using (conid)
where %s or h.settled_at is null
order by h.session_date, i.symbol
"""


@dataclass(frozen=True, slots=True)
class StoredDifference:
    """A difference as it is kept; `settled_at` is when they agreed again, None while they differ."""

    symbol: str
    session: date
    calendar: str
    calendar_hours: str
    broker_hours: str
    found_at: datetime
    settled_at: datetime | None


class PostgresHours:
    """Differences of hours. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_hours(
        self,
        conid: int,
        calendar: str,
        differences: Sequence[HoursDifference],
        *,
        first: date,
        last: date,
        now: datetime,
    ) -> None:
        """Keep what differs for a contract from `first` to `last`, and settle what does not differ there any more."""
        arguments = {
            "conid": conid, "calendar": calendar, "now": now, "first": first, "last": last,
            "days": [one.day for one in differences], "ours": [one.calendar_hours for one in differences],
            "theirs": [one.broker_hours for one in differences],
        }  # fmt: skip
        with self._database.connect() as connection:
            connection.execute(SAVE, arguments)
            connection.execute(SETTLE, arguments)

    def load_hours(self, *, is_settled: bool = False) -> list[StoredDifference]:
        """What differs, by day and symbol; with `is_settled` also what agreed again."""
        with self._database.connect() as connection:
            return [StoredDifference(*row) for row in connection.execute(LOAD, (is_settled,)).fetchall()]
