"""The condition of the platform in one read: mode, permission to trade, who is alive, what is open.

What goes here: what every page shows beside its own subject, and the system's own. What does not: withdrawing or
giving permission (`ledger`), and services that are not in the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.losses import LOSSES, parse_losses
from ibkr_assets.adapters.postgres.risk_facts import read_free_cash
from ibkr_assets.adapters.postgres.transactions import transaction

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.domain.ledger import Losses
    from ibkr_assets.domain.order import Mode

_CONDITION = """
select clock_timestamp() as at,
  oms.blocked_by(r.ref, '', 0) as blocked,
  (select c.control_id from oms.control c where c.scope in ('global', 'account:' || r.ref)
     order by c.control_id desc limit 1) as control_id,
  (oms.active_arm(r.ref, false)).expires_at as armed_until,
  h.status as submitter, h.detail as submitter_detail, h.market_at, h.at as submitter_at,
  w.status as watchdog, w.detail as watchdog_detail, w.at as watchdog_at,
  (select count(*) from oms.order_intent i where i.account_ref = r.ref
     and i.state in ('UNKNOWN', 'CANCEL_UNKNOWN')) as in_doubt,
  (select count(*) from oms.recon_break b where b.account_ref = r.ref and b.resolved_at is null) as breaks,
  (select count(*) from oms.alert a where a.account_ref = r.ref and a.resolved_at is null) as alerts
from (select %(ref)s::text as ref) r
left join oms.heartbeat h on h.account_ref = r.ref
left join oms.watchdog w on w.account_ref = r.ref
"""
_CONTROLS = """
select control_id, at, action, scope, actor, reason, expires_at from oms.control order by control_id desc limit %s
"""
_ALERTS = """
select alert_id, severity, kind, subject, text, raised_by, raised_at, resolved_at from oms.alert
where account_ref = %s order by resolved_at is null desc, alert_id desc limit %s
"""
_COMPARED = """
select run_id, kind, finished_at, market_at, is_clean, orders_seen, trades_seen, breaks_open, report
from oms.recon_run where account_ref = %s and finished_at is not null order by run_id desc limit 1
"""


def condition(database: Database, account_ref: str) -> dict[str, Any]:
    """One row: `at` is the database's clock; `blocked` is who withdrew permission and why, or None."""
    with transaction(database) as cursor:
        row = cursor.execute(_CONDITION, {"ref": account_ref}).fetchone()
    assert row is not None
    return row


def controls(database: Database, limit: int) -> list[dict[str, Any]]:
    """Who gave or withdrew permission to trade, newest first."""
    with transaction(database) as cursor:
        return cursor.execute(_CONTROLS, (limit,)).fetchall()


def alerts(database: Database, account_ref: str, limit: int) -> list[dict[str, Any]]:
    """Alerts, open ones first, then newest first."""
    with transaction(database) as cursor:
        return cursor.execute(_ALERTS, (account_ref, limit)).fetchall()


def last_comparison(database: Database, account_ref: str) -> dict[str, Any] | None:
    """The newest reconciliation that ended."""
    with transaction(database) as cursor:
        return cursor.execute(_COMPARED, (account_ref,)).fetchone()


def free_cash(database: Database, account_ref: str, mode: Mode, now: datetime) -> Decimal | None:
    """What purchases may still be paid with, in USD, as a review would find it; `now` is the market's time."""
    with transaction(database) as cursor:
        return read_free_cash(cursor, account_ref, mode, now=now)


def losses(database: Database, account_ref: str, day: datetime) -> Losses | None:
    """What the account lost since the beginning of `day` and since its peak, as a review is given it."""
    with transaction(database) as cursor:
        return parse_losses(cursor.execute(LOSSES, {"account": account_ref, "day": day}).fetchall())
