"""The last day in figures, for the daily digest: what somebody reads who did not look at the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_DIGEST = """
select
  (select string_agg(state || ' ' || n, ', ' order by state) from (
     select i.state, count(*) as n from oms.order_intent i
     where i.account_ref = %(account)s and i.created_at > clock_timestamp() - interval '1 day' group by i.state) o)
    as orders,
  (select string_agg(code || ' ' || n, ', ' order by n desc, code) from (
     select d.code, count(*) as n from oms.risk_decision d join oms.order_intent i using (intent_id)
     where i.account_ref = %(account)s and not d.is_approved and d.decided_at > clock_timestamp() - interval '1 day'
     group by d.code) r) as denied_by,
  (select count(*) from oms.execution_current e
     where e.account_ref = %(account)s and e.seen_at > clock_timestamp() - interval '1 day') as fills,
  (select count(*) from oms.order_intent i
     where i.account_ref = %(account)s and i.state in ('UNKNOWN', 'CANCEL_UNKNOWN')) as in_doubt,
  (select count(*) from oms.recon_break b where b.account_ref = %(account)s and b.resolved_at is null) as differences,
  (select string_agg(kind || ' ' || n, ', ' order by n desc, kind) from (
     select a.kind, count(*) as n from oms.alert a
     where a.account_ref = %(account)s and a.raised_at > clock_timestamp() - interval '1 day' group by a.kind) k)
    as alerts,
  (select count(*) from oms.alert a where a.account_ref = %(account)s and a.resolved_at is null) as alerts_open,
  oms.blocked_by(%(account)s, '', 0) as stopped_by
"""


def read_digest(database: Database, account_ref: str) -> dict[str, Any]:
    """Words and counts of the last 24 hours, by the names they are shown under. No amounts of money."""
    with transaction(database) as cursor:
        row = cursor.execute(_DIGEST, {"account": account_ref}).fetchone()
    assert row is not None
    return {
        "permission to trade": f"withdrawn: {row['stopped_by']}" if row["stopped_by"] else "not withdrawn",
        "orders": row["orders"] or "none",
        "denied by": row["denied_by"] or "no rule",
        "executions": row["fills"],
        "orders in doubt now": row["in_doubt"],
        "differences to the broker now": row["differences"],
        "alerts": row["alerts"] or "none",
        "alerts open now": row["alerts_open"],
    }
