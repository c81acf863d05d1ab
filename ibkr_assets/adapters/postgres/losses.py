"""What the account has lost: since the day began, and from its highest net asset value.

What goes here: the one computation of both, which the review of an order and the stop after a loss read. What does
not: the limits and what follows (`risk.loss`), and results by day (`portfolio.performance`).
"""

from __future__ import annotations

from psycopg.rows import DictRow

from ibkr_assets.adapters.postgres.order_rows import plain
from ibkr_assets.domain.ledger import Loss, Losses

#: Asked for an `account`, and the `day`'s begin. Points of the past are those of each day's end, the first of all, the
#: last before the day and everything of it; of several at one market time the newest counts. What was paid in since a
#: point belongs to it, so that a deposit is no gain and a withdrawal no loss. A day without a point before it begins
#: with the first of all.
LOSSES = """
with points as (
  select distinct on (s.market_at) s.snapshot_id, s.market_at, s.nav_platform_usd as nav,
    s.nav_platform_usd + coalesce((
      select sum(p.paid_in_usd) from oms.account_snapshot p
      where p.account_ref = %(account)s and p.paid_in_usd <> 0 and p.snapshot_id > s.snapshot_id), 0) as base
  from oms.account_snapshot s
  where s.account_ref = %(account)s and (s.market_at >= %(day)s or s.snapshot_id in (
    select n.snapshot_id from oms.nav_day n where n.account_ref = %(account)s) or s.snapshot_id = (
    select max(b.snapshot_id) from oms.account_snapshot b where b.account_ref = %(account)s and b.market_at < %(day)s)
    or s.snapshot_id = (select min(b.snapshot_id) from oms.account_snapshot b where b.account_ref = %(account)s))
  order by s.market_at, s.snapshot_id desc
)
select newest.nav, newest.market_at as nav_at, of_day.base as day_base, of_day.market_at as day_since,
  peak.base as peak_base, peak.market_at as peak_since
from (select nav, market_at from points order by market_at desc limit 1) as newest,
  (select base, market_at from points order by market_at < %(day)s desc,
     case when market_at < %(day)s then market_at end desc, market_at limit 1) as of_day,
  (select base, market_at from points order by base desc, market_at limit 1) as peak
"""


def parse_losses(rows: list[DictRow]) -> Losses | None:
    """What `LOSSES` found; None before the first valuation."""
    if not rows:
        return None
    row = rows[0]
    found = (row["nav"], row["day_base"], row["peak_base"])
    nav, day_base, peak_base = (plain(value) if value.is_finite() else value for value in found)
    of_day, from_peak = Loss(nav, day_base, row["day_since"]), Loss(nav, peak_base, row["peak_since"])
    return Losses(nav=nav, nav_at=row["nav_at"], of_day=of_day, from_peak=from_peak)
