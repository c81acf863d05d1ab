"""What became of the decisions of a session, as the ledger and the books have it.

What goes here: reading it. What does not: what was to be expected (`backtest.parity`) and the comparison
(`execution.parity`). Orders that were proposed from outside are nobody's decision and are left out.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from ibkr_assets.backtest.parity import ActualFill, Happened, PastOrder

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.domain.order import Mode

_PLANS = """
select strategy_id, conid, held_and_working, nav_usd from oms.plan
where account_ref = %(account)s and mode = %(mode)s and session_date = %(day)s
"""
_ORDERS = """
select i.strategy_id, i.conid, i.leg, i.side, i.quantity, i.limit_price, i.state, i.reason,
  d.is_approved is not distinct from false as is_denied
from oms.order_intent i left join oms.risk_decision d on d.intent_id = i.intent_id and d.heard = 'approval'
where i.account_ref = %(account)s and i.mode = %(mode)s and i.session_date = %(day)s
  and i.created_by <> 'intents add'
order by i.strategy_id, i.conid, i.leg, i.generation
"""
_FILLS = """
select i.strategy_id, i.conid, i.client_order_id, i.side, e.quantity, e.price, e.commission, e.executed_at
from oms.execution_current e join oms.order_intent i using (intent_id)
where i.account_ref = %(account)s and i.mode = %(mode)s and i.session_date = %(day)s
  and i.created_by <> 'intents add' and e.quantity > 0
order by e.executed_at, e.execution_id
"""
_HELD = """
select i.strategy_id, i.conid, sum(case when i.side = 'BUY' then e.quantity else -e.quantity end) as held
from oms.execution_current e join oms.order_intent i using (intent_id)
where i.account_ref = %(account)s and i.mode = %(mode)s and e.executed_at < %(before)s
group by i.strategy_id, i.conid
"""
_NAV = """
select nav_platform_usd from oms.account_snapshot where account_ref = %(account)s and market_at < %(before)s
order by snapshot_id desc limit 1
"""
_FIRST = "select strategy_id, min(session_date) as day from research.signal group by strategy_id"


class PostgresParity:
    """Reads of one account in one mode. Raises Unavailable when the database is away."""

    def __init__(self, database: Database, account_ref: str, mode: Mode) -> None:
        self._database = database
        self._account = {"account": account_ref, "mode": mode.value}

    def read(self, day: date, before: datetime) -> Happened:
        """What happened of the session `day`; `before` is the opening that its orders were for."""
        values: dict[str, Any] = {**self._account, "day": day, "before": before}
        orders: defaultdict[tuple[str, int], list[PastOrder]] = defaultdict(list)
        fills: defaultdict[tuple[str, int], list[ActualFill]] = defaultdict(list)
        with self._database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            plans = cursor.execute(_PLANS, values).fetchall()
            for row in cursor.execute(_ORDERS, values).fetchall():
                words = f"{row['side']} {row['quantity'].normalize():f} {row['state']} {row['reason']}".strip()
                order = PastOrder(row["leg"], row["limit_price"], row["is_denied"], words)
                orders[row["strategy_id"], row["conid"]].append(order)
            for row in cursor.execute(_FILLS, values).fetchall():
                shares: Decimal = row["quantity"] if row["side"] == "BUY" else -row["quantity"]
                fill = ActualFill(shares, row["price"], row["commission"], row["executed_at"], row["client_order_id"])
                fills[row["strategy_id"], row["conid"]].append(fill)
            held = {(row["strategy_id"], row["conid"]): row["held"] for row in cursor.execute(_HELD, values)}
            nav = cursor.execute(_NAV, values).fetchone()
            first = {row["strategy_id"]: row["day"] for row in cursor.execute(_FIRST)}
        return Happened(
            orders=dict(orders),
            fills=dict(fills),
            nav_usd={(row["strategy_id"], row["conid"]): row["nav_usd"] for row in plans},
            held=held | {(row["strategy_id"], row["conid"]): row["held_and_working"] for row in plans},
            account_nav_usd=None if nav is None else nav["nav_platform_usd"],
            first_days=first,
        )
