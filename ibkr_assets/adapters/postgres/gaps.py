"""The register of sessions that lack bars, in Postgres.

What goes here: what is missing since when, and how often it was asked for. What does not: finding out
(`market.validation`) and asking (`ingest.sweep`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.market.gap import Gap

REGISTER_GAPS = """
insert into md.gap as old (conid, bar_size, session_date, cause)
select i.conid, %(size)s, m.day, 'not_delivered'
from unnest(%(symbols)s::text[], %(days)s::date[]) as m (symbol, day)
join md.instrument i using (symbol)
order by 1, 3
on conflict (conid, bar_size, session_date) do update
  set closed_at = null, cause = excluded.cause, tries = 0, next_try_at = null
  where old.closed_at is not null
"""
CLOSE_GAPS = """
update md.gap g set closed_at = clock_timestamp()
where g.closed_at is null and g.bar_size = %(size)s
  and g.conid = any(%(conids)s) and g.session_date = any(%(sessions)s)
  and not exists (
    select from unnest(%(symbols)s::text[], %(days)s::date[]) as m (symbol, day)
    join md.instrument i using (symbol)
    where i.conid = g.conid and m.day = g.session_date)
"""
LOAD_GAPS = """
select i.symbol, g.session_date, g.cause, g.first_seen, g.closed_at, g.tries, g.next_try_at
from md.gap g
join md.instrument i using (conid)
where g.bar_size = %s and g.conid = any(%s) and (%s or g.closed_at is null)
order by i.symbol, g.session_date
"""
NOTE_TRIES = """
update md.gap g set tries = g.tries + 1, cause = t.cause, next_try_at = t.next_at
from unnest(%(symbols)s::text[], %(days)s::date[], %(causes)s::text[], %(next_at)s::timestamptz[])
  as t (symbol, day, cause, next_at)
join md.instrument i using (symbol)
where g.conid = i.conid and g.bar_size = %(size)s and g.session_date = t.day and g.closed_at is null
  and (g.next_try_at is null or g.next_try_at <= %(since)s)
"""


class PostgresGaps:
    """The register. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_gaps(
        self, size: BarSize, missing: Iterable[tuple[str, date]], *, conids: Sequence[int], sessions: Sequence[date]
    ) -> None:
        """Register the missing bars (symbol, session) among these instruments and sessions, and close the others."""
        symbols, days = zip(*missing, strict=True) if (missing := list(missing)) else ((), ())
        arguments = {
            "size": size.value, "symbols": list(symbols), "days": list(days),
            "conids": list(conids), "sessions": list(sessions),
        }  # fmt: skip
        with self._database.connect() as connection:
            connection.execute(REGISTER_GAPS, arguments)
            connection.execute(CLOSE_GAPS, arguments)

    def load_gaps(self, size: BarSize, conids: Sequence[int], *, is_closed: bool = False) -> list[Gap]:
        """Registered gaps of these instruments by symbol and session; with `is_closed` also those that were filled."""
        with self._database.connect() as connection:
            return [Gap(*row) for row in connection.execute(LOAD_GAPS, (size.value, list(conids), is_closed))]

    def note_tries(
        self, size: BarSize, tried: Iterable[tuple[str, date, str, datetime | None]], *, since: datetime
    ) -> None:
        """One try more of these gaps: symbol, session, cause from now on, and when next (None: never, or at once).

        As far as they are open, and no other sweep that began after `since` has counted one already.
        """
        rows = list(tried)
        if not rows:
            return
        symbols, days, causes, next_at = zip(*rows, strict=True)
        with self._database.connect() as connection:
            connection.execute(
                NOTE_TRIES,
                {
                    "size": size.value, "symbols": list(symbols), "days": list(days), "causes": list(causes),
                    "next_at": list(next_at), "since": since,
                },
            )  # fmt: skip
