"""Strategies as pages show them: what each is and last did, every version of one, and which are paused.

What goes here: reading for people. What does not: storing them (`adapters.postgres.strategies`), and withdrawing
permission to trade, which is what a pause is (`ledger`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_STRATEGIES = """
select s.id, s.version, s.kind, s.params, s.symbols, s.bar_size, s.schedule, s.sizing, s.risk, s.account, s.is_enabled,
  s.is_dry_run, s.created_at, s.actor,
  (select max(g.made_at) from research.signal g where g.strategy_id = s.id) as last_signal_at,
  (select count(*) from oms.order_intent i where i.strategy_id = s.id and i.account_ref = %(ref)s) as orders,
  p.control_id as pause_id, p.at as paused_at, p.actor as paused_by, p.reason as pause_reason
from research.current_strategy s
left join lateral (
  select c.control_id, c.at, c.actor, c.reason from oms.control c
  where c.scope = 'strategy:' || s.id and c.action in ('kill', 'kill_cancel', 'kill_flatten') and not exists (
    select from oms.control r where r.scope = c.scope and r.control_id > c.control_id and r.action = 'resume')
  order by c.control_id desc limit 1) p on true
where %(id)s::text is null or s.id = %(id)s
order by s.id
"""


def list_strategies(database: Database, account_ref: str, strategy_id: str | None = None) -> list[dict[str, Any]]:
    """The newest version of every strategy or of one, with what it last did; `pause_id` is None where none stands."""
    with transaction(database) as cursor:
        return cursor.execute(_STRATEGIES, {"ref": account_ref, "id": strategy_id}).fetchall()
