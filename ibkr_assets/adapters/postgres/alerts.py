"""Alerts as rows: raising one, ending those that are over, who acknowledged, and how far each has got.

What goes here: the one way to raise an alert, for every process of the platform, and the list that people read. What
does not: sending (`adapters.postgres.alert_outbox`, `execution.alerting`) and what the ledger itself gives rise to
(`adapters.postgres.alert_sources`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import InputError, LedgerConflict

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.domain.alert import Alert, AlertCode

_ACCOUNT = "insert into oms.account (account_ref) values (%s) on conflict do nothing"
#: What goes on is counted once a minute, however often it is told.
_RAISE = """
insert into oms.alert (account_ref, severity, kind, subject, text, raised_by, payload)
values (%(account)s, %(severity)s, %(code)s, %(subject)s, %(text)s, %(by)s, %(payload)s)
on conflict (account_ref, kind, subject) where resolved_at is null do update
  set repeats = alert.repeats + 1, last_seen_at = clock_timestamp()
  where alert.last_seen_at < clock_timestamp() - interval '1 minute'
returning (xmax = 0) as is_new
"""
_SETTLE = """
update oms.alert set resolved_at = clock_timestamp()
where account_ref = %s and kind = %s and resolved_at is null and not subject = any(%s)
"""
_SETTLE_ONE = """
update oms.alert set resolved_at = clock_timestamp()
where account_ref = %s and kind = %s and subject = %s and resolved_at is null
"""
_LIST = """
select a.alert_id, a.severity, a.kind, a.subject, a.text, a.payload, a.raised_by, a.raised_at, a.last_seen_at,
  a.repeats, a.resolved_at, a.acknowledged_at, a.acknowledged_by,
  coalesce((select jsonb_agg(jsonb_build_object('channel', d.channel, 'event', d.event, 'delivery', d.delivery_id,
      'due_at', d.due_at, 'tries', d.tries, 'delivered_at', d.delivered_at, 'dropped_at', d.dropped_at,
      'problem', d.problem) order by d.delivery_id)
    from oms.alert_delivery d where d.alert_id = a.alert_id), '[]') as deliveries
from oms.alert a
where a.account_ref = %(account)s and (not %(open)s or a.resolved_at is null)
  and (%(before)s::bigint is null or a.alert_id < %(before)s)
order by a.alert_id desc limit %(limit)s
"""
_ACKNOWLEDGE = """
update oms.alert set acknowledged_at = clock_timestamp(), acknowledged_by = %(actor)s
where alert_id = %(id)s and account_ref = %(account)s and acknowledged_at is null
"""
_CHANNELS = """
select c.channel, c.scheme, c.min_severity, c.failing_since, c.problem, c.delivered_at,
  (select count(*) from oms.alert_delivery d where d.account_ref = c.account_ref and d.channel = c.channel
     and d.delivered_at is null and d.dropped_at is null and d.due_at <= clock_timestamp()) as waiting
from oms.alert_channel c where c.account_ref = %s and c.is_active order by c.channel
"""
_SENDER = """
select holder, channels, at, answered_at, heartbeat_at, heartbeat_problem,
  extract(epoch from clock_timestamp() - at) as age_s,
  extract(epoch from clock_timestamp() - answered_at) as answered_age_s
from oms.alert_sender where account_ref = %s
"""
#: Longer ones are cut: a subject is a name, and a text is read on a telephone.
_SUBJECT, _TEXT = 200, 2000


class PostgresAlerts:
    """Alerts of one account. `by` is the process that raises them, as people know it: `dagster`, `sweep`."""

    def __init__(self, database: Database, account_ref: str, by: str) -> None:
        self._database = database
        self._account_ref = account_ref
        self._by = by

    def raise_alert(self, alert: Alert) -> bool:
        """Put it into the outbox. False when one of the same code and subject is open: that one is counted up.

        Raises Unavailable and LedgerConflict.
        """
        values = {
            "account": self._account_ref, "severity": alert.severity, "code": alert.code,
            "subject": alert.subject[:_SUBJECT], "text": alert.text[:_TEXT], "by": self._by,
            "payload": Jsonb(dict(alert.payload)),
        }  # fmt: skip
        with transaction(self._database) as cursor:
            cursor.execute(_ACCOUNT, (self._account_ref,))
            row = cursor.execute(_RAISE, values).fetchone()
        return row is not None and bool(row["is_new"])

    def settle(self, code: AlertCode, *, keep: tuple[str, ...] = ()) -> int:
        """End the open alerts of this code about other subjects than `keep`: they are over. Returns how many."""
        with transaction(self._database) as cursor:
            return cursor.execute(_SETTLE, (self._account_ref, code, [one[:_SUBJECT] for one in keep])).rowcount

    def settle_one(self, code: AlertCode, subject: str) -> bool:
        """End the open alert of this code and subject; False where there is none."""
        with transaction(self._database) as cursor:
            return cursor.execute(_SETTLE_ONE, (self._account_ref, code, subject[:_SUBJECT])).rowcount == 1

    def acknowledge(self, alert_id: int, actor: str) -> None:
        """Somebody looks after it: no more reminders. Raises InputError for one that is not there.

        Raises LedgerConflict when somebody else has.
        """
        values = {"id": alert_id, "account": self._account_ref, "actor": actor}
        with transaction(self._database) as cursor:
            if cursor.execute(_ACKNOWLEDGE, values).rowcount == 1:
                return
            found = cursor.execute(
                "select acknowledged_by from oms.alert where alert_id = %(id)s and account_ref = %(account)s", values
            ).fetchone()
        if found is None:
            raise InputError(f"alert: no alert {alert_id}")
        if found["acknowledged_by"] != actor:
            raise LedgerConflict(f"alert {alert_id} was acknowledged by {found['acknowledged_by']}")

    def list_alerts(
        self, *, limit: int = 50, is_open_only: bool = False, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Alerts with their deliveries, newest first; `before` is the id to go on from."""
        values = {"account": self._account_ref, "open": is_open_only, "before": before, "limit": limit}
        with transaction(self._database) as cursor:
            return cursor.execute(_LIST, values).fetchall()

    def channels(self) -> list[dict[str, Any]]:
        """Active channels: what is known of each, and how many messages it is due (`waiting`)."""
        with transaction(self._database) as cursor:
            return cursor.execute(_CHANNELS, (self._account_ref,)).fetchall()

    def sender(self) -> dict[str, Any] | None:
        """The process that sends: `holder`, `channels`, `age_s`, `answered_age_s`, the heartbeat; None before one."""
        with transaction(self._database) as cursor:
            return cursor.execute(_SENDER, (self._account_ref,)).fetchone()
