"""Quarantine as pages show it: one page of cases, how many there are of each reason, and a case beside its neighbours.

What goes here: reading for people. What does not: deciding (`adapters.postgres.quarantine`), whose cases these are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.market.quarantine import BarId, parse_id

if TYPE_CHECKING:
    from datetime import datetime

    from ibkr_assets.adapters.postgres.connection import Database

_PAGE = """
select * from md.quarantine_case
where (%(found)s::text is null or found = %(found)s) and (%(symbol)s::text is null or symbol = %(symbol)s)
  and case %(show)s when 'waiting' then decision is null when 'decided' then decision is not null else true end
  and (%(at)s::timestamptz is null or (seen_at, id) < (%(at)s, %(id)s::text))
order by seen_at desc, id desc limit %(limit)s
"""
_COUNTS = """
select found, count(*) filter (where decision is null) as waiting, count(*) as total
from md.quarantine_case group by found order by waiting desc, found
"""
_PLACE = ("raw", "conid", "bar_size", "opened_at")
_ROW = "select conid, bar_size, opened_at, raw from md.rejected_row where id = %s"
_AROUND = """
select b.opened_at, b.open, b.high, b.low, b.close, b.volume, b.version, b.source, v.verdict, v.reason
from ((select * from md.bar where conid = %(conid)s and bar_size = %(size)s and known_to is null
         and opened_at <= %(at)s order by opened_at desc limit %(before)s)
      union all
      (select * from md.bar where conid = %(conid)s and bar_size = %(size)s and known_to is null
         and opened_at > %(at)s order by opened_at limit %(after)s)) b
left join md.bar_verdict v using (conid, bar_size, opened_at, version)
order by b.opened_at
"""


def list_cases(
    database: Database,
    *,
    show: str = "waiting",
    found: str | None = None,
    symbol: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Cases newest first: those that wait, those decided on, or all; `before` is the last one of the page before."""
    at, last = before or (None, None)
    values = {"show": show, "found": found, "symbol": symbol, "at": at, "id": last, "limit": limit}
    with transaction(database) as cursor:
        return cursor.execute(_PAGE, values).fetchall()


def count_cases(database: Database) -> list[dict[str, Any]]:
    """By reason: how many wait, how many there are."""
    with transaction(database) as cursor:
        return cursor.execute(_COUNTS).fetchall()


def neighbours(database: Database, identity: str, count: int) -> dict[str, Any]:
    """What came as it came (`raw`, a row that was no bar), and the bars before and after it, oldest first.

    The bar itself is among them, unless it was none. A row that names no instrument or no time has no neighbours.
    """
    one = parse_id(identity)
    with transaction(database) as cursor:
        if isinstance(one, BarId):
            came = {"raw": None, "conid": one.conid, "bar_size": one.size.value, "opened_at": one.opened_at}
        else:
            came = cursor.execute(_ROW, (one.number,)).fetchone() or dict.fromkeys(_PLACE)
        found: dict[str, Any] = {"raw": came["raw"], "at": came["opened_at"], "bars": []}
        if came["conid"] is None or came["opened_at"] is None:
            return found
        values = {
            "conid": came["conid"], "size": came["bar_size"], "at": came["opened_at"], "before": count + 1,
            "after": count,
        }  # fmt: skip
        return found | {"bars": cursor.execute(_AROUND, values).fetchall()}
