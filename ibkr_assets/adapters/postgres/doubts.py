"""Orders in doubt and the evidence about them, as rows: evidence in memory would die with every crash.

What goes here: storing a look at the broker, and reading what all looks and calls add up to. What does not: judging
it (`execution.evidence`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ibkr_assets.adapters.postgres.moves import close_call, move, open_call
from ibkr_assets.adapters.postgres.order_rows import read_record, record_columns
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.ledger import CallKind, CallOutcome, Evidence, Observation
from ibkr_assets.domain.order import OrderState
from ibkr_assets.ports import IntentRecord

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

_DOUBTS = f"""
select {record_columns("i")},
  c.outcome as last_outcome, c.answer as last_answer,
  extract(epoch from clock_timestamp() - p.sent_at)::float8 as sent_age_s,
  o.observations, o.first_age_s, o.newest_age_s, o.gateway_session,
  extract(epoch from clock_timestamp() - i.unknown_since)::float8 as doubt_age_s,
  (select d.actor || ': ' || d.reason from oms.doubt_statement d
    where d.intent_id = i.intent_id and d.unknown_since = i.unknown_since) as statement
from oms.order_intent i
left join lateral (
  select w.outcome, w.answer from oms.wire_call w
   where w.intent_id = i.intent_id and w.kind in ('place', 'reply')
     -- what a restored ledger took over has left since: its calls of before say nothing about that
     and not exists (select from oms.adoption a where a.intent_id = i.intent_id)
   order by w.call_id desc limit 1) c on true
left join lateral (
  select max(coalesce(w.done_at, w.sent_at)) as sent_at from oms.wire_call w
   where w.intent_id = i.intent_id and w.outcome is distinct from 'not_sent') p on true
left join lateral (
  select count(*) as observations,
         extract(epoch from clock_timestamp() - min(a.observed_at))::float8 as first_age_s,
         extract(epoch from clock_timestamp() - max(a.observed_at))::float8 as newest_age_s,
         (array_agg(a.gateway_session order by a.observation_id desc))[1] as gateway_session
    from oms.absence_observation a
   where a.intent_id = i.intent_id and a.observed_at >= i.unknown_since
     and a.is_ready and a.is_snapshot and a.is_primed and a.is_position_unchanged) o on true
where i.account_ref = %s and i.state = 'UNKNOWN'
order by i.unknown_since, i.intent_id
"""  # noqa: S608 - column names come from the dataclass


class PostgresDoubts:
    """The orders in doubt of one account."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def doubt_in_flight(self, *, epoch: int) -> list[IntentRecord]:
        """Put every order that a former process left between send and answer in doubt; done at every start."""
        query = f"""
            select {record_columns("i")} from oms.order_intent i
            where i.account_ref = %s and i.state in ('SUBMITTING', 'QUESTION', 'CONFIRMING') for update
        """  # noqa: S608 - column names come from the dataclass
        with transaction(self._database) as cursor:
            rows = cursor.execute(query, (self._account_ref,)).fetchall()
            return [
                move(
                    cursor,
                    read_record(row),
                    OrderState.UNKNOWN,
                    epoch=epoch,
                    cause="start",
                    reason=f"the submitter ended while it was {row['state']}",
                )
                for row in rows
            ]

    def doubts(self) -> list[tuple[IntentRecord, Evidence]]:
        """Every order in doubt with what is known about it, longest in doubt first."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(_DOUBTS, (self._account_ref,)).fetchall()
        return [
            (
                read_record(row),
                Evidence(
                    last_outcome=None if row["last_outcome"] is None else CallOutcome(row["last_outcome"]),
                    last_answer=row["last_answer"] or "",
                    sent_age_s=row["sent_age_s"],
                    observations=row["observations"],
                    first_observation_age_s=row["first_age_s"],
                    newest_observation_age_s=row["newest_age_s"],
                    doubt_age_s=row["doubt_age_s"],
                    gateway_session=row["gateway_session"],
                    statement=row["statement"],
                ),
            )
            for row in rows
        ]

    def observe(self, record: IntentRecord, seen: Observation) -> None:
        """Store a look at the broker that did not show this order, whether it counts or not."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "insert into oms.absence_observation (intent_id, gateway_session, is_ready, is_snapshot, is_primed, "
                "is_position_unchanged, orders_seen, trades_seen) values (%s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    record.intent_id,
                    seen.gateway_session,
                    seen.is_ready,
                    seen.is_snapshot,
                    seen.is_primed,
                    seen.is_position_unchanged,
                    seen.orders_seen,
                    seen.trades_seen,
                ),
            )

    def close_rehearsal(self, record: IntentRecord, *, epoch: int) -> IntentRecord:
        """End a rehearsal that a former process left open: its mode proves that it was not sent."""
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.wire_call set outcome = 'not_sent', answer = 'dry_run', done_at = clock_timestamp() "
                "where intent_id = %s and outcome is null",
                (record.intent_id,),
            )
            return move(
                cursor,
                record,
                OrderState.NOT_PLACED,
                epoch=epoch,
                cause="rehearsal",
                reason="dry_run",
                sends=-cursor.rowcount,
            )

    def open_questions(self, record: IntentRecord) -> list[str]:
        """Reply ids of questions about this order that were never answered."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(
                "select reply_id from oms.question where intent_id = %s and decided_at is null order by asked_at",
                (record.intent_id,),
            ).fetchall()
        return [row["reply_id"] for row in rows]

    def begin_decline(self, record: IntentRecord, reply_id: str, *, epoch: int, market_at: datetime) -> int:
        """Commit that a question left open by a former process is declined. Returns the call's id."""
        opening = open_call(
            record, CallKind.REPLY, send_number=record.send_count, epoch=epoch,
            request={"reply_id": reply_id, "confirmed": False}, market_at=market_at,
        )  # fmt: skip
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.question set decision = 'decline', decision_reason = 'left open by a former process', "
                "decided_at = clock_timestamp() where intent_id = %s and reply_id = %s",
                (record.intent_id, reply_id),
            )
            return int(cursor.execute(*opening).fetchall()[0]["call_id"])

    def end_decline(self, call_id: int, outcome: CallOutcome, *, http_status: int | None, answer: str) -> None:
        """Commit what declining came to. The order stays in doubt; the answer is evidence."""
        with transaction(self._database) as cursor:
            cursor.execute(*close_call(call_id, outcome, http_status=http_status, answer=answer))
