"""The rows around a call that changes something at the broker: written before it, and after it.

What goes here: approved intents, the beginning and the end of a place, reply or cancel call. What does not: fills
(`executions`) and the way out of doubt (`doubts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.postgres.batch import Statement, fetch_together
from ibkr_assets.adapters.postgres.limits import save_version
from ibkr_assets.adapters.postgres.moves import close_call, move, move_statement, moved, open_call
from ibkr_assets.adapters.postgres.order_rows import read_record, record_columns
from ibkr_assets.adapters.postgres.risk_decisions import decision_statement
from ibkr_assets.adapters.postgres.risk_facts import read_exposure
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.broker import Question
from ibkr_assets.domain.ledger import CallKind, CallOutcome
from ibkr_assets.domain.order import OrderState
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.rules import Heard

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.risk.engine import Refusal
    from ibkr_assets.risk.facts import Exposure, Limits

_DECIDE = """
update oms.question set decision = %(decision)s, decision_reason = %(reason)s, decided_at = clock_timestamp()
where intent_id = %(intent)s and reply_id = %(reply)s
"""
_ASK = """
insert into oms.question (intent_id, reply_id, message_ids, texts)
values (%(intent)s, %(reply)s, %(messages)s, %(texts)s) on conflict do nothing
"""


class PostgresSends:
    """Everything of one account that happens around a wire call."""

    def __init__(self, database: Database, account_ref: str) -> None:
        self._database = database
        self._account_ref = account_ref

    def records(self, states: Sequence[OrderState]) -> list[IntentRecord]:
        """The account's intents in these states, oldest first."""
        query = f"""
            select {record_columns("i")} from oms.order_intent i
            where i.account_ref = %s and i.state = any(%s) order by i.created_at, i.intent_id
        """  # noqa: S608 - column names come from the dataclass
        with transaction(self._database) as cursor:
            rows = cursor.execute(query, (self._account_ref, [str(state) for state in states])).fetchall()
        return [read_record(row) for row in rows]

    def find(self, client_order_ids: Sequence[str]) -> dict[str, IntentRecord]:
        """The account's intents of these client order ids, whatever their state."""
        query = f"""
            select {record_columns("i")} from oms.order_intent i
            where i.account_ref = %s and i.client_order_id = any(%s)
        """  # noqa: S608 - column names come from the dataclass
        with transaction(self._database) as cursor:
            rows = cursor.execute(query, (self._account_ref, list(client_order_ids))).fetchall()
        return {row["client_order_id"]: read_record(row) for row in rows}

    def to_cancel(self, *, is_everything: bool = False) -> list[tuple[IntentRecord, str]]:
        """Orders at the broker that an active `kill_cancel` or `kill_flatten` covers, or all; and those a person named.

        Each with the reason. One that was proposed by hand under the kill, to close a position, is left.
        """
        query = f"""
            select {record_columns("i")}, coalesce(q.actor || ': ' || q.reason, 'kill_cancel') as asked
            from oms.order_intent i left join oms.cancel_request q using (intent_id)
            where i.account_ref = %s and i.state in ('ACKED', 'WORKING') and i.broker_order_id is not null
              and (%s or q.intent_id is not null
                or exists (select from oms.control c where c.action in ('kill_cancel', 'kill_flatten')
                and not (i.purpose = 'reduce' and i.created_at > c.at)
                and c.scope in ('global', 'account:' || i.account_ref, 'strategy:' || i.strategy_id,
                                'conid:' || i.conid)
                and not exists (select from oms.control r where r.scope = c.scope and r.action = 'resume'
                                and r.control_id > c.control_id)))
            order by i.created_at
        """  # noqa: S608 - column names come from the dataclass
        with transaction(self._database) as cursor:
            rows = cursor.execute(query, (self._account_ref, is_everything)).fetchall()
        return [(read_record(row), row["asked"]) for row in rows]

    def withdrawn(self, approved: Sequence[IntentRecord]) -> dict[str, str]:
        """Those of these intents that a person asked to cancel before they left: intent id to the reason."""
        with transaction(self._database) as cursor:
            rows = cursor.execute(
                "select q.intent_id::text as intent_id, 'cancelled by ' || q.actor || ': ' || q.reason as reason "
                "from oms.cancel_request q where q.intent_id = any(%s::uuid[])",
                ([record.intent_id for record in approved],),
            ).fetchall()
        return {row["intent_id"]: row["reason"] for row in rows}

    def expire(self, now: datetime, *, epoch: int) -> int:
        """End the approved intents whose validity is over by the market clock. Returns how many.

        One that was sent before, and waited to be sent again, is not unsent.
        """
        with transaction(self._database) as cursor:
            cursor.execute(
                "update oms.order_intent set version = version + 1, cause = 'expired', "
                "state = case when send_count = 0 then 'EXPIRED_UNSENT' else 'NOT_PLACED' end, "
                "epoch = case when send_count = 0 then epoch else %(epoch)s end, "
                "reason = 'valid until ' || valid_until || ', market time was ' || %(now)s::timestamptz "
                "|| case when reason = '' then '' else '; waited for: ' || reason end "
                "where account_ref = %(ref)s and state = 'APPROVED' and valid_until <= %(now)s",
                {"ref": self._account_ref, "now": now, "epoch": epoch},
            )
            return cursor.rowcount

    def deny(
        self, record: IntentRecord, reason: str, *, epoch: int, refusal: Refusal | None = None
    ) -> IntentRecord:  # fmt: skip
        """End an approved intent that a last check refused: as NOT_PLACED when it was sent before.

        `refusal` is the review that did, stored as the order's decision at departure.
        """
        with transaction(self._database) as cursor:
            if refusal is not None:
                limits = refusal.denied.limits
                statement = decision_statement(
                    record.intent_id, refusal.denied, refusal.exposure, heard=Heard.DEPARTURE,
                    market_at=refusal.market_at, version=None,
                    limits_name=None if limits is None else save_version(cursor, limits),
                )  # fmt: skip
                cursor.execute(*statement)
            if record.send_count:
                return move(cursor, record, OrderState.NOT_PLACED, epoch=epoch, cause="last check", reason=reason)
            return move(cursor, record, OrderState.DENIED, epoch=None, cause="last check", reason=reason)

    def held_back_by(self, record: IntentRecord) -> str | None:
        """Why this intent must wait: a kill, an order in doubt, or an open difference. None when it may go."""
        with transaction(self._database) as cursor:
            row = cursor.execute(
                "select (select oms.withheld(i) from oms.order_intent i where i.intent_id = %(intent)s) as kill, "
                "(select 'order in doubt ' || o.client_order_id from oms.order_intent o where o.account_ref = %(ref)s "
                " and o.conid = %(conid)s and o.state = 'UNKNOWN' limit 1) as doubt, "
                "(select 'open difference ' || b.kind || ' ' || b.subject from oms.recon_break b "
                " where b.account_ref = %(ref)s and b.resolved_at is null and (b.blocks = 'account' "
                " or (b.blocks = 'conid' and b.conid = %(conid)s)) limit 1) as difference",
                {"ref": self._account_ref, "intent": record.intent_id, "conid": record.intent.conid},
            ).fetchone()
        assert row is not None
        reasons: list[str | None] = [row["kill"], row["doubt"], row["difference"]]
        return next((reason for reason in reasons if reason is not None), None)

    def exposure(self, record: IntentRecord, *, now: datetime, limits: Limits) -> Exposure:
        """What the account's orders share, this one left out. Only the one writer sends, so nothing is locked."""
        with transaction(self._database) as cursor:
            return read_exposure(cursor, record.intent, now=now, limits=limits)

    def begin_send(
        self, record: IntentRecord, *, epoch: int, request: dict[str, Any], market_at: datetime
    ) -> tuple[int, IntentRecord]:
        """Commit the call and SUBMITTING. Only after this may bytes leave. Returns the call's id and the record."""
        opening = open_call(
            record, CallKind.PLACE, send_number=record.send_count + 1, epoch=epoch, request=request,
            market_at=market_at,
        )  # fmt: skip
        moving = move_statement(record, OrderState.SUBMITTING, epoch=epoch, cause="send", reason="", sends=1)
        return self._begin(record, [opening, moving])

    def begin_reply(
        self,
        record: IntentRecord,
        reply_id: str,
        *,
        is_confirmed: bool,
        reason: str,
        epoch: int,
        market_at: datetime,
    ) -> tuple[int, IntentRecord]:
        """Commit what a question is answered, and CONFIRMING."""
        decision = "confirm" if is_confirmed else "decline"
        deciding = (_DECIDE, {
            "decision": decision, "reason": reason, "intent": record.intent_id, "reply": reply_id,
        })  # fmt: skip
        opening = open_call(
            record, CallKind.REPLY, send_number=record.send_count, epoch=epoch,
            request={"reply_id": reply_id, "confirmed": is_confirmed}, market_at=market_at,
        )  # fmt: skip
        moving = move_statement(record, OrderState.CONFIRMING, epoch=epoch, cause="reply", reason=reason)
        return self._begin(record, [deciding, opening, moving])

    def begin_cancel(
        self, record: IntentRecord, *, epoch: int, market_at: datetime, reason: str
    ) -> tuple[int, IntentRecord]:
        """Commit a cancel call, and CANCEL_PENDING."""
        opening = open_call(
            record, CallKind.CANCEL, send_number=record.send_count, epoch=epoch,
            request={"broker_order_id": record.broker_order_id}, market_at=market_at,
        )  # fmt: skip
        moving = move_statement(record, OrderState.CANCEL_PENDING, epoch=epoch, cause="cancel", reason=reason)
        return self._begin(record, [opening, moving])

    def record_answer(
        self,
        record: IntentRecord,
        call_id: int,
        outcome: CallOutcome,
        state: OrderState,
        *,
        epoch: int,
        http_status: int | None,
        answer: str,
        reason: str = "",
        broker_order_id: str | None = None,
        question: Question | None = None,
    ) -> IntentRecord:
        """Commit what a call came to and where that leaves the order. A call not sent is not counted as one."""
        is_place = record.state is OrderState.SUBMITTING
        statements = [close_call(call_id, outcome, http_status=http_status, answer=answer)]
        if question is not None:
            asked = {
                "intent": record.intent_id, "reply": question.reply_id, "messages": list(question.message_ids),
                "texts": list(question.texts),
            }  # fmt: skip
            statements.append((_ASK, asked))
        moving = move_statement(
            record, state, epoch=epoch, cause=f"{outcome} answer", reason=reason,
            detail={"call_id": call_id, "http_status": http_status}, broker_order_id=broker_order_id,
            sends=-1 if is_place and outcome is CallOutcome.NOT_SENT else 0,
        )  # fmt: skip
        with transaction(self._database) as cursor:
            return moved(record, fetch_together(cursor, [*statements, moving])[-1])

    def move(
        self,
        record: IntentRecord,
        state: OrderState,
        *,
        epoch: int,
        cause: str,
        reason: str | None = None,
        detail: dict[str, Any] | None = None,
        broker_order_id: str | None = None,
    ) -> IntentRecord:
        """Move an order on evidence that is stored or carried in `detail`."""
        with transaction(self._database) as cursor:
            return move(
                cursor,
                record,
                state,
                epoch=epoch,
                cause=cause,
                reason=reason,
                detail=detail,
                broker_order_id=broker_order_id,
            )

    def _begin(self, record: IntentRecord, statements: Sequence[Statement]) -> tuple[int, IntentRecord]:
        """Commit a call and the move that goes with it, the last two of the statements."""
        with transaction(self._database) as cursor:
            *_, called, rows = fetch_together(cursor, statements)
            return int(called[0]["call_id"]), moved(record, rows)
