"""Orders as a list: what is in doubt first, then what is open, then what ended, newest first.

What goes here: lists, counts and today's use of the limits. What does not: the whole story of one order (`lineage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from datetime import datetime

    from ibkr_assets.adapters.postgres.connection import Database

_ORDERS = """
select i.intent_id::text as intent_id, i.client_order_id, i.broker_order_id, i.strategy_id, i.conid, i.symbol, i.side,
  i.order_type, i.quantity, i.limit_price, i.time_in_force, i.reference_price, i.session_date, i.state, i.state_at,
  i.mode, i.filled, i.average_price, i.reason, i.created_at, i.created_by, i.dagster_run_id, i.version,
  s.is_terminal, d.code as denied_by, d.text as denied_why,
  (select sum(e.commission) from oms.execution_current e where e.intent_id = i.intent_id) as commission
from oms.order_intent i join oms.state s on s.name = i.state
left join oms.risk_decision d on d.intent_id = i.intent_id and not d.is_approved
where i.account_ref = %(ref)s
  and (%(state)s::text is null or i.state = %(state)s)
  and (%(strategy)s::text is null or i.strategy_id = %(strategy)s)
  and (%(symbol)s::text is null or i.symbol = %(symbol)s)
  and (%(is_open)s::boolean is null or s.is_terminal <> %(is_open)s)
  and (%(before)s::timestamptz is null or (i.created_at, i.intent_id) < (%(before)s, %(before_id)s::uuid))
order by i.created_at desc, i.intent_id desc limit %(limit)s
"""
_COUNTS = """
select state, count(*) as n from oms.order_intent where account_ref = %s group by state order by state
"""
_TODAY = """
select count(*) as orders, coalesce(sum(i.quantity * coalesce(i.limit_price, i.reference_price)), 0) as notional_usd,
  coalesce(max(i.quantity * coalesce(i.limit_price, i.reference_price)), 0) as largest_usd
from oms.order_intent i join oms.risk_decision d using (intent_id)
where i.account_ref = %(ref)s and d.is_approved
  and (d.market_at at time zone 'America/New_York')::date = (%(at)s::timestamptz at time zone 'America/New_York')::date
"""
_FILLS = """
select e.executed_at, e.side, e.quantity, e.price, e.commission, e.symbol, i.strategy_id, i.client_order_id
from oms.execution_current e left join oms.order_intent i using (intent_id)
where e.account_ref = %(ref)s and (%(conid)s::bigint is null or e.conid = %(conid)s) and e.quantity > 0
order by e.executed_at desc limit %(limit)s
"""


def list_orders(
    database: Database,
    account_ref: str,
    *,
    state: str | None = None,
    strategy: str | None = None,
    symbol: str | None = None,
    is_open: bool | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Orders newest first; `before` is the created_at and intent_id of the last one of the page before."""
    values = {
        "ref": account_ref, "state": state, "strategy": strategy, "symbol": symbol, "is_open": is_open,
        "before": None if before is None else before[0], "before_id": None if before is None else before[1],
        "limit": limit,
    }  # fmt: skip
    with transaction(database) as cursor:
        return cursor.execute(_ORDERS, values).fetchall()


def count_orders(database: Database, account_ref: str) -> dict[str, int]:
    """How many orders are in each state."""
    with transaction(database) as cursor:
        return {row["state"]: row["n"] for row in cursor.execute(_COUNTS, (account_ref,)).fetchall()}


def approved_today(database: Database, account_ref: str, market_at: datetime) -> dict[str, Any]:
    """Orders approved on the market's day in New York: their number, their worst cost together, and the largest."""
    with transaction(database) as cursor:
        row = cursor.execute(_TODAY, {"ref": account_ref, "at": market_at}).fetchone()
    assert row is not None
    return row


def list_fills(
    database: Database, account_ref: str, *, conid: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Executions, newest first."""
    with transaction(database) as cursor:
        return cursor.execute(_FILLS, {"ref": account_ref, "conid": conid, "limit": limit}).fetchall()
