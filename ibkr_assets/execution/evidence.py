"""The way out of doubt: silence never changes an order's state, only evidence does.

What goes here: what the stored evidence about an order in doubt amounts to, and the looks that add to it. What does
not: orders that were found; they follow their row (`follow`) or their executions. No timer decides anything: time
only says when a look counts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ibkr_assets.domain.broker import (
    Acknowledged,
    Ambiguous,
    DuplicateRefused,
    NotSent,
    Question,
    Rejected,
)
from ibkr_assets.domain.ledger import Blocks, Break, CallOutcome, Observation
from ibkr_assets.domain.order import Mode, OrderState
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import PlaceAnswer
    from ibkr_assets.domain.ledger import Evidence
    from ibkr_assets.execution.reads import BrokerReads
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord


class Finding(StrEnum):
    """What the evidence about an order in doubt asks for next."""

    WAIT = "wait"
    LOOK = "look"
    NOT_SENT = "not sent"
    REJECTED = "rejected"
    ABSENT = "absent"
    STATED = "stated"


def weigh(evidence: Evidence, *, settle_s: float) -> Finding:
    """What follows from the evidence alone.

    A refusal needs one look that does not show the order. Anything else needs two, `settle_s` apart, the first one
    `settle_s` after the last call ended: an order may appear late. What a person stated comes after such looks, too.
    """
    if evidence.last_outcome is CallOutcome.NOT_SENT:
        return Finding.NOT_SENT
    if evidence.statement is not None:
        return Finding.STATED
    if evidence.last_outcome is CallOutcome.REJECTED:
        return Finding.REJECTED if evidence.observations else Finding.LOOK
    if evidence.sent_age_s is None or evidence.sent_age_s < settle_s:
        return Finding.WAIT
    if evidence.newest_observation_age_s is None or evidence.first_observation_age_s is None:
        return Finding.LOOK
    if evidence.observations > 1 and (evidence.first_observation_age_s - evidence.newest_observation_age_s >= settle_s):
        return Finding.ABSENT
    return Finding.LOOK if evidence.first_observation_age_s >= settle_s else Finding.WAIT


def next_look_s(evidence: Evidence, *, settle_s: float) -> float:
    """Seconds until a look counts that may end the doubt; 0 when the next one does."""
    if evidence.last_outcome is CallOutcome.REJECTED or evidence.sent_age_s is None:
        return 0.0
    since = evidence.sent_age_s if evidence.first_observation_age_s is None else evidence.first_observation_age_s
    return max(settle_s - since, 0.0)


def wanted(seat: Seat) -> list[tuple[IntentRecord, Evidence]]:
    """Orders in doubt for which a look now would count. Call it before the reads of that look begin."""
    return [
        (record, evidence)
        for record, evidence in seat.ledger.doubts.doubts()
        if weigh(evidence, settle_s=seat.options.settle_s) is Finding.LOOK
    ]


def observe(seat: Seat, reads: BrokerReads, looked_for: list[tuple[IntentRecord, Evidence]]) -> None:
    """Store that the reads just made do not show these orders; those found meanwhile are left out.

    Raises Unavailable when the brokerage session was opened anew meanwhile: such reads prove nothing.
    """
    still = {record.intent_id for record, _ in seat.ledger.doubts.doubts()}
    missing = [
        record for record, _ in looked_for if record.intent_id in still and reads.row_of(record.client_order_id) is None
    ]
    if not missing:
        return
    seat.require_session()
    held = {position.conid: position.quantity for position in seat.broker.positions()}
    books = seat.ledger.account.books().holdings
    status = seat.broker.session()
    for record in missing:
        conid = record.intent.conid
        ours = books[conid].quantity if conid in books else 0
        seat.ledger.doubts.observe(
            record,
            Observation(
                gateway_session=seat.gateway_session,
                is_ready=status.is_ready,
                is_snapshot=reads.is_snapshot,
                is_primed=reads.is_primed,
                is_position_unchanged=held.get(conid, 0) == ours,
                orders_seen=0 if reads.orders is None else len(reads.orders.orders),
                trades_seen=len(reads.fills),
            ),
        )
        reach("doubt.observed")


def conclude(seat: Seat) -> None:
    """Move every order in doubt whose evidence is complete."""
    for record, evidence in seat.ledger.doubts.doubts():
        if record.intent.mode is Mode.DRY_RUN:
            seat.ledger.doubts.close_rehearsal(record, epoch=seat.epoch)
            continue
        _tell_age(seat, record, evidence)
        finding = weigh(evidence, settle_s=seat.options.settle_s)
        if finding is Finding.NOT_SENT:
            _end(seat, record, OrderState.APPROVED, f"nothing left: {evidence.last_answer}")
        elif finding is Finding.REJECTED:
            _end(seat, record, OrderState.REJECTED, record.reason or evidence.last_answer)
        elif finding is Finding.STATED:  # never sent again: what a person knows is not what the broker showed
            is_partly = record.filled > 0 and record.broker_order_id is not None
            state = OrderState.CANCELLED if is_partly else OrderState.NOT_PLACED
            _end(seat, record, state, f"absent from orders and executions, and stated by {evidence.statement}")
        elif finding is Finding.ABSENT:
            state = OrderState.APPROVED if _may_go_again(seat, record) else OrderState.NOT_PLACED
            if record.filled > 0 and record.broker_order_id is not None:
                state = OrderState.CANCELLED  # partly filled, and what was left is at the broker no more
            reason = f"absent from orders and executions in {evidence.observations} looks"
            _end(seat, record, state, reason, settle_s=seat.options.settle_s)


def _may_go_again(seat: Seat, record: IntentRecord) -> bool:
    is_first = record.send_count < 2 and record.filled == 0
    return seat.options.may_resend and is_first and seat.clock.now() < record.intent.valid_until


def _tell_age(seat: Seat, record: IntentRecord, evidence: Evidence) -> None:
    """Doubt that lasts is told, and then stops the account. It stays doubt: no time is evidence."""
    if evidence.doubt_age_s < min(seat.options.doubt_alarm_s, seat.options.doubt_kill_s):
        return
    detail = {"state": str(record.state), "reason": record.reason}
    conid, intent_id = record.intent.conid, record.intent_id
    found = Break("doubt_lasts", record.client_order_id, Blocks.CONID, detail, conid=conid, intent_id=intent_id)
    if seat.ledger.differences.save_break(found):
        log.error("%s is in doubt for %.0f s", record.client_order_id, evidence.doubt_age_s)
    if evidence.doubt_age_s >= seat.options.doubt_kill_s:
        seat.ledger.permission.kill(f"{record.client_order_id} is in doubt for {evidence.doubt_age_s:.0f} s")


def decline_open_questions(seat: Seat) -> None:
    """Say no to what a former process was asked and did not answer: no order may hang on it any more."""
    for record, _ in seat.ledger.doubts.doubts():
        for reply_id in seat.ledger.doubts.open_questions(record):
            call_id = seat.ledger.doubts.begin_decline(record, reply_id, epoch=seat.epoch, market_at=seat.clock.now())
            outcome, status, text = _outcome_of(seat.broker.reply(reply_id, is_confirmed=False))
            seat.ledger.doubts.end_decline(call_id, outcome, http_status=status, answer=text)


def _end(seat: Seat, record: IntentRecord, state: OrderState, reason: str, **detail: float) -> None:
    log.warning("%s leaves doubt as %s: %s", record.client_order_id, state, reason)
    seat.ledger.sends.move(record, state, epoch=seat.epoch, cause="evidence", reason=reason, detail=detail)
    reach("doubt.ended")


def _outcome_of(answer: PlaceAnswer) -> tuple[CallOutcome, int | None, str]:
    match answer:
        case Rejected():
            return CallOutcome.REJECTED, answer.http_status, answer.text
        case DuplicateRefused():
            return CallOutcome.DUPLICATE, answer.http_status, answer.text
        case Acknowledged():
            return CallOutcome.OK, None, answer.status
        case Question():
            return CallOutcome.QUESTION, None, " ".join(answer.texts)
        case Ambiguous():
            return CallOutcome.AMBIGUOUS, answer.http_status, answer.reason
        case NotSent():
            return CallOutcome.AMBIGUOUS, None, f"the decline was not sent: {answer.reason}"
