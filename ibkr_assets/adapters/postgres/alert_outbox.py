"""The outbox of alerts as the one process that sends sees it: what is due where, and every try written down.

What goes here: SQL. What does not: when something is due and what is said (`execution.alerting`), raising alerts
(`adapters.postgres.alerts`), and what the ledger gives rise to (`adapters.postgres.alert_sources`). Instants are the
caller's `now`, aware UTC. All methods raise Unavailable and LedgerConflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.alert import Channel, Delivery, Severity, Unplanned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime, timedelta

    from psycopg.rows import DictRow

    from ibkr_assets.adapters.postgres.connection import Database

#: How a try ends that another process began and did not end.
INTERRUPTED = "the sender ended in between: whether it arrived is not known"

_ACCOUNT = "insert into oms.account (account_ref) values (%s) on conflict do nothing"
_CHANNEL = """
insert into oms.alert_channel (account_ref, channel, scheme, min_severity, added_at)
values (%(account)s, %(channel)s, %(scheme)s, %(min)s, %(now)s)
on conflict (account_ref, channel) do update set scheme = excluded.scheme, min_severity = excluded.min_severity,
  is_active = true, added_at = case when alert_channel.is_active then alert_channel.added_at else excluded.added_at end
"""
_GONE = """
update oms.alert_channel set is_active = false, failing_since = null where account_ref = %s and not channel = any(%s)
"""
_DROP = """
update oms.alert_delivery set dropped_at = %(now)s, problem = 'the channel is not there any more'
where account_ref = %(account)s and delivered_at is null and dropped_at is null and not channel = any(%(names)s)
"""
_INTERRUPTED = """
update oms.alert_try set ended_at = %(now)s, is_delivered = false, problem = %(problem)s
where account_ref = %(account)s and ended_at is null
"""
#: What was over before a channel was there is nobody's news. A resolution is told where the alert itself was told.
_UNPLANNED = """
select a.alert_id, c.channel, 'raised' as event, a.severity, a.kind as code
from oms.alert a join oms.alert_channel c using (account_ref)
where a.account_ref = %(account)s and c.is_active
  and (a.kind = 'test' or array_position(%(ranks)s, a.severity) >= array_position(%(ranks)s, c.min_severity))
  and (a.resolved_at is null or a.raised_at >= c.added_at)
  and not exists (select from oms.alert_delivery d where d.account_ref = a.account_ref and d.channel = c.channel
                    and d.event = 'raised' and d.alert_id = a.alert_id)
union all
select a.alert_id, d.channel, 'resolved', a.severity, a.kind
from oms.alert_delivery d join oms.alert a using (alert_id)
join oms.alert_channel c on c.account_ref = d.account_ref and c.channel = d.channel and c.is_active
where d.account_ref = %(account)s and d.event = 'raised' and d.delivered_at < a.resolved_at
  and a.severity <> 'info' and a.kind <> 'test'
  and not exists (select from oms.alert_delivery r where r.account_ref = d.account_ref and r.channel = d.channel
                    and r.event = 'resolved' and r.alert_id = a.alert_id)
union all
select a.alert_id, c.channel, 'reminder', a.severity, a.kind
from oms.alert a join oms.alert_channel c on c.account_ref = a.account_ref and c.is_active
where a.account_ref = %(account)s and a.severity = 'page' and a.kind <> 'test'
  and a.resolved_at is null and a.acknowledged_at is null
  and exists (select from oms.alert_delivery d where d.alert_id = a.alert_id and d.channel = c.channel)
  and not exists (select from oms.alert_delivery d where d.alert_id = a.alert_id and d.channel = c.channel
                    and (d.dropped_at is null and d.delivered_at is null or d.delivered_at > %(remind)s))
order by 1, 2
"""
_PLAN = """
insert into oms.alert_delivery (account_ref, channel, event, alert_id, created_at, due_at)
values (%s, %s, %s, %s, %s, %s) on conflict do nothing
"""
_DIGEST = """
insert into oms.alert_delivery (account_ref, channel, event, digest_of, created_at, due_at)
select c.account_ref, c.channel, 'digest', %(day)s, %(now)s, %(now)s from oms.alert_channel c
where c.account_ref = %(account)s and c.is_active and c.min_severity = 'info' and c.added_at <= %(at)s
  and not exists (select from oms.alert_delivery d where d.account_ref = c.account_ref and d.channel = c.channel
                    and d.event = 'digest' and d.digest_of >= %(day)s)
"""
_DUE = """
select d.delivery_id, d.event, d.tries, d.digest_of, a.alert_id, a.severity, a.kind, a.subject, a.text, a.raised_at,
  a.resolved_at, a.repeats,
  exists (select from oms.alert_try t where t.account_ref = d.account_ref and t.channel = d.channel
            and t.begun_at >= d.created_at and d.delivery_id = any(t.deliveries) and t.problem = %(interrupted)s)
    as may_have_arrived
from oms.alert_delivery d left join oms.alert a using (alert_id)
where d.account_ref = %(account)s and d.channel = %(channel)s and d.due_at <= %(now)s
  and d.delivered_at is null and d.dropped_at is null
order by d.delivery_id limit 500
"""
#: A page that was acknowledged or ended while its reminder waited is not repeated.
_IDLE_REMINDERS = """
update oms.alert_delivery d set dropped_at = %(now)s from oms.alert a
where d.alert_id = a.alert_id and d.account_ref = %(account)s and d.event = 'reminder'
  and d.delivered_at is null and d.dropped_at is null
  and (a.acknowledged_at is not null or a.resolved_at is not null)
"""
_DELIVERED = """
update oms.alert_delivery set delivered_at = %(now)s, problem = '' where delivery_id = any(%(ids)s)
"""
_FAILED = """
update oms.alert_delivery set due_at = %(retry)s, problem = %(problem)s where delivery_id = any(%(ids)s)
"""
_CHANNEL_ANSWERED = """
update oms.alert_channel set failing_since = null, problem = '', delivered_at = %(now)s
where account_ref = %(account)s and channel = %(channel)s
"""
_CHANNEL_FAILED = """
update oms.alert_channel set failing_since = coalesce(failing_since, %(now)s), problem = %(problem)s
where account_ref = %(account)s and channel = %(channel)s
"""
#: It answers as long as somebody can be reached: no channel at all, or one that does not fail.
_BEAT = """
insert into oms.alert_sender (account_ref, holder, channels, at, answered_at, heartbeat_at, heartbeat_problem)
values (%(account)s, %(holder)s, %(channels)s, %(now)s, %(now)s, %(heartbeat_at)s, %(heartbeat_problem)s)
on conflict (account_ref) do update set holder = excluded.holder, channels = excluded.channels, at = excluded.at,
  heartbeat_problem = excluded.heartbeat_problem,
  heartbeat_at = coalesce(excluded.heartbeat_at, alert_sender.heartbeat_at),
  answered_at = case when not exists (select from oms.alert_channel c where c.account_ref = excluded.account_ref
                                        and c.is_active)
                       or exists (select from oms.alert_channel c where c.account_ref = excluded.account_ref
                                    and c.is_active and c.failing_since is null)
                     then excluded.answered_at else alert_sender.answered_at end
"""


class PostgresOutbox:
    """The outbox of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    @contextmanager
    def exclusive(self) -> Iterator[Callable[[], bool]]:
        """The right to send: a lock of one database session. What it gives says whether this process has it, still."""
        connection = self._database.open()
        try:
            row = connection.execute(
                "select pg_try_advisory_lock(hashtextextended(%s, 0))", (f"alerts:{self._account_ref}",)
            ).fetchone()
            is_locked = row is not None and bool(row[0])

            def is_ours() -> bool:
                try:
                    return is_locked and connection.execute("select 1").fetchone() is not None
                except (psycopg.OperationalError, psycopg.InterfaceError):
                    return False

            yield is_ours
        finally:
            connection.close()

    def take_over(self, channels: Sequence[Channel], now: datetime) -> None:
        """Register the channels of the settings, and end tries that an earlier process left open."""
        names = [channel.name for channel in channels]
        values = {"account": self._account_ref, "now": now, "names": names, "problem": INTERRUPTED}
        with transaction(self._database) as cursor:
            cursor.execute(_ACCOUNT, (self._account_ref,))
            for channel in channels:
                cursor.execute(
                    _CHANNEL,
                    values | {"channel": channel.name, "scheme": channel.scheme, "min": channel.min_severity},
                )
            cursor.execute(_GONE, (self._account_ref, names))
            cursor.execute(_DROP, values)
            cursor.execute(_INTERRUPTED, values)

    def unplanned(self, remind_before: datetime) -> list[Unplanned]:
        """What a channel must be told of and no delivery is there for; reminders of pages told before that instant."""
        values = {"account": self._account_ref, "ranks": [s.value for s in Severity], "remind": remind_before}
        with transaction(self._database) as cursor:
            rows = cursor.execute(_UNPLANNED, values).fetchall()
        return [Unplanned(r["alert_id"], r["channel"], r["event"], Severity(r["severity"]), r["code"]) for r in rows]

    def plan(self, wanted: Sequence[tuple[Unplanned, datetime]], now: datetime) -> None:
        """Deliveries with the instant each is due; one that is there already stays as it is."""
        with transaction(self._database) as cursor:
            for one, due_at in wanted:
                cursor.execute(_PLAN, (self._account_ref, one.channel, one.event, one.alert_id, now, due_at))
            cursor.execute(_IDLE_REMINDERS, {"account": self._account_ref, "now": now})

    def plan_digest(self, day: date, at: datetime, now: datetime) -> None:
        """The digest of this day, which was due at `at`, for every channel that gets one and had none since."""
        with transaction(self._database) as cursor:
            cursor.execute(_DIGEST, {"account": self._account_ref, "day": day, "at": at, "now": now})

    def due(self, channel: str, now: datetime) -> list[Delivery]:
        """What this channel is to be told now."""
        values = {"account": self._account_ref, "channel": channel, "now": now, "interrupted": INTERRUPTED}
        with transaction(self._database) as cursor:
            return [_delivery(row) for row in cursor.execute(_DUE, values).fetchall()]

    def sent_since(self, channel: str, since: datetime) -> int:
        """How many messages the channel was handed after that instant."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select count(*) as n from oms.alert_try where account_ref = %s and channel = %s and begun_at > %s",
                (self._account_ref, channel, since),
            ).fetchone()
        return 0 if row is None else int(row["n"])

    def begin_try(self, channel: str, deliveries: Sequence[int], now: datetime) -> int:
        """Written down before the message leaves. Returns the try's id."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.alert_delivery set tries = tries + 1 where delivery_id = any(%s)", (list(deliveries),)
            )
            row = cursor.execute(
                "insert into oms.alert_try (account_ref, channel, deliveries, begun_at) values (%s, %s, %s, %s) "
                "returning try_id",
                (self._account_ref, channel, list(deliveries), now),
            ).fetchone()
        assert row is not None
        return int(row["try_id"])

    def end_try(
        self, try_id: int, channel: str, deliveries: Sequence[int], now: datetime, *, problem: str, retry_in: timedelta
    ) -> None:
        """How it ended: delivered where there is no problem, otherwise due again after `retry_in`."""
        values = {
            "account": self._account_ref, "channel": channel, "try": try_id, "ids": list(deliveries), "now": now,
            "problem": problem, "retry": now + retry_in,
        }  # fmt: skip
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.alert_try set ended_at = %(now)s, is_delivered = %(problem)s = '', problem = %(problem)s "
                "where try_id = %(try)s",
                values,
            )
            cursor.execute(_FAILED if problem else _DELIVERED, values)
            cursor.execute(_CHANNEL_FAILED if problem else _CHANNEL_ANSWERED, values)

    def failing(self) -> dict[str, datetime]:
        """Since when each channel that fails does."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(
                "select channel, failing_since from oms.alert_channel "
                "where account_ref = %s and is_active and failing_since is not null",
                (self._account_ref,),
            ).fetchall()
        return {row["channel"]: row["failing_since"] for row in rows}

    def beat(
        self, holder: str, channels: int, now: datetime, *, heartbeat_at: datetime | None, heartbeat_problem: str
    ) -> None:
        """That this process looks, whether anybody can be reached, and when the outside last heard of it."""
        values = {
            "account": self._account_ref, "holder": holder, "channels": channels, "now": now,
            "heartbeat_at": heartbeat_at, "heartbeat_problem": heartbeat_problem,
        }  # fmt: skip
        with transaction(self._database) as cursor:
            cursor.execute(_BEAT, values)

    def watchdog_age_s(self) -> float | None:
        """Seconds since the watchdog last looked, by the database's clock; None where there was never one."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select extract(epoch from clock_timestamp() - at) as age_s from oms.watchdog where account_ref = %s",
                (self._account_ref,),
            ).fetchone()
        return None if row is None else float(row["age_s"])


def _delivery(row: DictRow) -> Delivery:
    return Delivery(
        id=row["delivery_id"], event=row["event"], tries=row["tries"], may_have_arrived=row["may_have_arrived"],
        severity=Severity(row["severity"] or Severity.INFO), code=row["kind"] or "", subject=row["subject"] or "",
        text=row["text"] or "", alert_id=row["alert_id"], raised_at=row["raised_at"], resolved_at=row["resolved_at"],
        repeats=row["repeats"] or 0, digest_of=row["digest_of"],
    )  # fmt: skip
