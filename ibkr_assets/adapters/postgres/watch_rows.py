"""What the watchdog reads and writes: the submitter's vital signs, alerts, its own heartbeat, a kill.

What goes here: SQL for one account, over a database session that nobody else uses. What does not: judging it
(`execution.watchdog`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ibkr_assets.adapters.postgres.permission_rows import store_kill
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.permission import Vitals

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import DictRow

    from ibkr_assets.adapters.postgres.connection import Database

_ACTOR = "watchdog"
_ACCOUNT = "insert into oms.account (account_ref) values (%s) on conflict do nothing"
_VITALS = """
select h.status, h.at as beat_at, coalesce(h.busy_s, 0) as busy_s,
  (oms.active_arm(r.ref, false)).control_id is not null
    or exists (select from oms.order_intent i join oms.state s on s.name = i.state
               where i.account_ref = r.ref and s.holds_risk) as is_active,
  (select max(a.recorded_at) from oms.account_snapshot a where a.account_ref = r.ref) as compared_at,
  array(select i.client_order_id from oms.order_intent i where i.account_ref = r.ref and i.state = 'QUESTION')
    as questions,
  array(select i.client_order_id from oms.order_intent i where i.account_ref = r.ref
          and i.state in ('UNKNOWN', 'CANCEL_UNKNOWN')) as doubts,
  (select n.at from oms.alert_sender n where n.account_ref = r.ref and n.channels > 0) as sender_at
from (select %s::text as ref) r left join oms.heartbeat h on h.account_ref = r.ref
"""


class PostgresWatchRows:
    """The watchdog's door to the rows of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def vitals(self) -> Vitals:
        """What is to be watched, now."""
        with transaction(self._database) as cursor:
            row = cursor.execute(_VITALS, (self._account_ref,)).fetchone()
        assert row is not None
        return Vitals(
            status=row["status"],
            beat_at=row["beat_at"],
            busy_s=float(row["busy_s"]),
            is_active=row["is_active"],
            compared_at=row["compared_at"],
            questions=tuple(row["questions"]),
            doubts=tuple(row["doubts"]),
            sender_at=row["sender_at"],
        )

    def beat(self, status: str, detail: str) -> None:
        """Write the watchdog's own heartbeat."""
        with transaction(self._database) as cursor:
            cursor.execute(_ACCOUNT, (self._account_ref,))
            cursor.execute(
                "insert into oms.watchdog (account_ref, status, detail) values (%s, %s, %s) "
                "on conflict (account_ref) do update set status = excluded.status, detail = excluded.detail, "
                "at = clock_timestamp()",
                (self._account_ref, status, detail),
            )

    def page(self, kind: str, subject: str, text: str) -> bool:
        """Raise an alert for a person. Returns False when the same one is open."""
        with transaction(self._database) as cursor:
            return self._page(cursor, kind, subject, text)

    def settle(self, kind: str, *, keep: tuple[str, ...]) -> None:
        """Close the open alerts of this kind about other subjects."""
        with transaction(self._database) as cursor:
            self._settle(cursor, kind, keep)

    def accuse(self, kind: str, found: Mapping[str, str]) -> tuple[str, ...]:
        """An alert of each subject and its text, those that are over closed, and a kill when one is new: all or none.

        Returns the new subjects.
        """
        with transaction(self._database) as cursor:
            cursor.execute(_ACCOUNT, (self._account_ref,))
            new = tuple(subject for subject, text in found.items() if self._page(cursor, kind, subject, text))
            self._settle(cursor, kind, tuple(found))
            if new:
                store_kill(cursor, self._account_ref, "; ".join(found[subject] for subject in new), actor=_ACTOR)
        return new

    def kill(self, reason: str) -> bool:
        """Withdraw permission to trade on the account. Returns False where the watchdog did before."""
        with transaction(self._database) as cursor:
            return store_kill(cursor, self._account_ref, reason, actor=_ACTOR)

    def _page(self, cursor: psycopg.Cursor[DictRow], kind: str, subject: str, text: str) -> bool:
        cursor.execute(
            "insert into oms.alert (account_ref, severity, kind, subject, text, raised_by) "
            "values (%s, 'page', %s, %s, %s, %s) "
            "on conflict (account_ref, kind, subject) where resolved_at is null do nothing",
            (self._account_ref, kind, subject, text, _ACTOR),
        )
        return cursor.rowcount == 1

    def _settle(self, cursor: psycopg.Cursor[DictRow], kind: str, keep: tuple[str, ...]) -> None:
        cursor.execute(
            "update oms.alert set resolved_at = clock_timestamp() where account_ref = %s and kind = %s "
            "and resolved_at is null and not subject = any(%s)",
            (self._account_ref, kind, list(keep)),
        )
