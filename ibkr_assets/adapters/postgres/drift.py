"""What was decided beside what is held, and the account's days, for the monitoring of the portfolio.

What goes here: reading rows. What does not: the measure (`portfolio.drift`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.exposure import read_held_and_working
from ibkr_assets.adapters.postgres.order_rows import plain
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.portfolio.drift import Holding

if TYPE_CHECKING:
    from datetime import datetime

    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.domain.order import Mode

#: The newest decision of each strategy in each instrument whose session of trading has begun and ended since.
_PLANS = """
select distinct on (p.strategy_id, p.conid) p.strategy_id, p.conid, p.held_and_working,
  coalesce((select i.symbol from md.instrument i where i.conid = p.conid), p.conid::text) as symbol,
  (p.signal ->> 'reference_price')::numeric as price_usd,
  coalesce((select sum(case o ->> 'side' when 'BUY' then 1 else -1 end * (o ->> 'quantity')::numeric)
    from jsonb_array_elements(p.intents) o), 0) as change
from oms.plan p where p.account_ref = %(account)s and p.mode = %(mode)s and p.signal_bar_end < %(before)s
order by p.strategy_id, p.conid, p.signal_bar_end desc
"""
_DAYS = """
select d.session_date, s.nav_platform_usd as nav_usd, s.nav_broker_usd, s.cash_usd, s.paid_in_usd
from oms.nav_day d join oms.account_snapshot s using (account_ref, snapshot_id)
where d.account_ref = %s order by d.session_date desc limit %s
"""


def read_holdings(database: Database, account_ref: str, mode: Mode, before: datetime) -> list[Holding]:
    """Decided and held shares of every decision of before that instant, aware UTC."""
    with transaction(database) as cursor:
        plans = cursor.execute(_PLANS, {"account": account_ref, "mode": mode, "before": before}).fetchall()
        strategies = {row["strategy_id"] for row in plans}
        held = {name: read_held_and_working(cursor, account_ref, mode, name) for name in strategies}
    return [
        Holding(
            strategy_id=row["strategy_id"], conid=row["conid"], symbol=row["symbol"],
            wanted=plain(row["held_and_working"] + row["change"]),
            held=plain(held[row["strategy_id"]].get(row["conid"], Decimal(0))), price_usd=plain(row["price_usd"]),
        )
        for row in plans
    ]  # fmt: skip


def read_days(database: Database, account_ref: str, limit: int) -> list[dict[str, Any]]:
    """The net asset value at the end of the last sessions, newest first, in USD."""
    with transaction(database) as cursor:
        return cursor.execute(_DAYS, (account_ref, limit)).fetchall()
