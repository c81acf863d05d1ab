"""What is held and what is on its way, read from executions and open orders.

Each figure comes from one statement, so that a fill that is booked in between is never in both or in neither.
"""

from __future__ import annotations

from decimal import Decimal

import psycopg
from psycopg.rows import DictRow

from ibkr_assets.domain.order import Mode

# A strategy's shares of before a split are as many as the split made of them, whole ones only; parts belong to nobody.
_HELD_AND_WORKING = """
select conid, trunc(round(sum(quantity), 6)) as quantity from (
  select e.conid, oms.after_splits(e.account_ref, e.conid, e.executed_at,
                                   case e.side when 'BUY' then e.quantity else -e.quantity end) as quantity
    from oms.execution_current e join oms.order_intent i using (intent_id)
   where i.account_ref = %(account)s and i.strategy_id = %(strategy)s
  union all
  select i.conid, (case i.side when 'BUY' then 1 else -1 end) * greatest(i.quantity - i.filled, 0)
    from oms.order_intent i join oms.state s on s.name = i.state
   where i.account_ref = %(account)s and i.strategy_id = %(strategy)s and s.holds_risk and i.mode <> 'dry_run'
) as parts group by conid having trunc(round(sum(quantity), 6)) <> 0
"""


def read_held_and_working(
    cursor: psycopg.Cursor[DictRow], account_ref: str, mode: Mode, strategy_id: str
) -> dict[int, Decimal]:
    """Signed shares by conid of one strategy: its fills and what is left of its orders that hold risk.

    A rehearsal (`mode` dry_run) sees the same real shares: it shows what would be ordered now.
    """
    del mode
    rows = cursor.execute(_HELD_AND_WORKING, {"account": account_ref, "strategy": strategy_id}).fetchall()
    return {row["conid"]: row["quantity"] for row in rows}
