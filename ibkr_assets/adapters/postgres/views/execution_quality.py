"""How well orders are carried out: how much of them is filled, at what price against the decision's, who said no.

What goes here: these figures over all orders that were meant, rehearsals left out. What does not: one order's story
(`lineage`), and results in money (`portfolio.statement`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_QUALITY = """
with meant as (
  select i.*, s.is_terminal from oms.order_intent i join oms.state s on s.name = i.state
  where i.account_ref = %(ref)s and i.mode <> 'dry_run'),
executed as (
  select e.quantity, e.price, e.commission, m.reference_price, case m.side when 'BUY' then 1 else -1 end as sign
  from oms.execution_current e join meant m using (intent_id) where e.quantity > 0)
select
  (select sum(filled) / nullif(sum(quantity), 0) from meant where send_count > 0 and is_terminal) as fill_rate,
  (select count(*) from meant where send_count > 0 and is_terminal) as ended,
  (select count(*) from meant where state = 'REJECTED') as rejected,
  (select sum(sign * (price - reference_price) * quantity) / nullif(sum(reference_price * quantity), 0) * 10000
     from executed) as slippage_bps,
  (select count(*) from executed) as executions,
  (select coalesce(sum(commission), 0) from executed) as commissions_usd
"""
_DENIALS = """
select d.code, count(*) as n,
  count(*)::numeric / (select count(*) from oms.order_intent o where o.account_ref = %(ref)s) as rate
from oms.risk_decision d join oms.order_intent i using (intent_id)
where i.account_ref = %(ref)s and not d.is_approved group by d.code order by n desc, d.code
"""


def quality(database: Database, account_ref: str) -> dict[str, Any]:
    """One row: `fill_rate` of the shares of sent orders that are over, `slippage_bps` by value, positive at our cost.

    Both are None before the first such order. Slippage is against the price that the decision was made on.
    """
    with transaction(database) as cursor:
        row = cursor.execute(_QUALITY, {"ref": account_ref}).fetchone()
    assert row is not None
    return row


def denials(database: Database, account_ref: str) -> list[dict[str, Any]]:
    """How often each rule denied, most often first, and its part of all orders proposed."""
    with transaction(database) as cursor:
        return cursor.execute(_DENIALS, {"ref": account_ref}).fetchall()
