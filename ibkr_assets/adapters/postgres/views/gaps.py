"""Sessions that lack bars, as pages show them: how many of some symbols between two days.

What goes here: counting for people. What does not: the register itself (`adapters.postgres.gaps`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from ibkr_assets.adapters.postgres.connection import Database

_GAPS = """
select i.symbol, count(*) as sessions, min(g.session_date) as first_day, max(g.session_date) as last_day
from md.gap g join md.instrument i using (conid)
where g.bar_size = '1d' and g.closed_at is null and i.symbol = any(%(symbols)s)
  and g.session_date between %(first)s and %(last)s
group by i.symbol order by i.symbol
"""


def gaps_between(database: Database, symbols: Sequence[str], first: date, last: date) -> list[dict[str, Any]]:
    """Of each symbol that lacks daily bars in these days: how many sessions, the first and the last of them."""
    with transaction(database) as cursor:
        return cursor.execute(_GAPS, {"symbols": list(symbols), "first": first, "last": last}).fetchall()
