"""Figures that pages compare with: how often signals were right, how many there are of those wanted, a benchmark.

What goes here: counting and averaging for people, over the newest year. What does not: anything that decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ibkr_assets.adapters.postgres.connection import Database

# Splits are counted from the day they take effect: shares of one day are not those of another.
_SIGNALS = """
with newest as (select max(session_date) as day from research.signal),
splits as (
  select * from (select distinct on (conid, day) conid, day, ratio, is_withdrawn from md.corporate_action
    where kind = 'split' order by conid, day, version desc) newest where not is_withdrawn),
judged as (
  select s.direction, s.reference_price, n.close * coalesce((
    select round(exp(sum(ln(p.ratio))), 9) from splits p
    where p.conid = s.conid and p.day > s.as_of::date and p.day <= n.opened_at::date), 1) as close
  from research.current_signal s
  join lateral (
    select b.close, b.opened_at from md.bar b join md.bar_verdict v using (conid, bar_size, opened_at, version)
    where b.conid = s.conid and b.bar_size = '1d' and b.known_to is null and v.verdict = 'accepted'
      and b.opened_at > s.as_of order by b.opened_at limit 1) n on true
  where s.direction <> 'flat' and s.session_date > (select day from newest) - 365),
wanted as (
  select s.id, symbol from research.current_strategy s, unnest(s.symbols) as symbol where s.is_enabled)
select (select count(*) from judged) as judged,
  (select count(*) from judged where (direction = 'long') = (close > reference_price) and close <> reference_price)
    as hits,
  (select count(*) from wanted) as wanted,
  (select count(*) from wanted w join research.current_signal s on s.strategy_id = w.id and s.symbol = w.symbol
   where s.session_date = (select day from newest)) as there,
  (select day from newest) as day
"""
_BENCHMARK = """
with accepted as (
  select b.conid, b.opened_at, b.close from md.bar b
  join md.bar_verdict v using (conid, bar_size, opened_at, version) join md.instrument i using (conid)
  where b.bar_size = '1d' and b.known_to is null and v.verdict = 'accepted' and i.symbol = any(%(symbols)s)
    and b.opened_at between %(since)s::timestamptz - interval '14 days' and %(until)s),
starts as (
  select distinct on (conid) conid, opened_at, close from accepted where opened_at <= %(since)s
  order by conid, opened_at desc),
splits as (
  select * from (select distinct on (conid, day) conid, day, ratio, is_withdrawn from md.corporate_action
    where kind = 'split' order by conid, day, version desc) newest where not is_withdrawn)
select a.opened_at as at, avg(a.close / s.close * coalesce((
    select round(exp(sum(ln(p.ratio))), 9) from splits p
    where p.conid = a.conid and p.day > s.opened_at::date and p.day <= a.opened_at::date), 1)) as ratio
from accepted a join starts s using (conid)
where a.opened_at >= s.opened_at
group by a.opened_at having count(*) = (select count(*) from starts)
order by a.opened_at
"""


def signal_figures(database: Database) -> dict[str, Any]:
    """`hits` of `judged` signals went the right way by the next close, in the shares of the signal.

    Flat is not judged. `wanted` are the symbols of enabled strategies, `there` those with a signal of the newest `day`.
    """
    with transaction(database) as cursor:
        row = cursor.execute(_SIGNALS).fetchone()
    assert row is not None
    return row


def benchmark(
    database: Database, symbols: Sequence[str], since: datetime, until: datetime
) -> list[tuple[datetime, float]]:
    """An equal part of each symbol, bought at its last close up to `since` and held: its worth by bar, 1 at the start.

    Only at bars that all of them have. Dividends are not in it.
    """
    with transaction(database) as cursor:
        values = {"symbols": list(symbols), "since": since, "until": until}
        return [(row["at"], float(row["ratio"])) for row in cursor.execute(_BENCHMARK, values).fetchall()]
