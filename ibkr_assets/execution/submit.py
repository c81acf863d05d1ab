"""One order out: written first, sent once, and whatever comes back is written too.

What goes here: the order of effects around place, reply and cancel. What does not: which order is next (`watch`),
and what becomes of one in doubt (`evidence`). Nothing here is ever sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.broker import (
    Acknowledged,
    Ambiguous,
    CancelRequested,
    DuplicateRefused,
    NotSent,
    Question,
    Rejected,
)
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.ledger import Blocks, Break, CallOutcome
from ibkr_assets.domain.order import Mode, OrderState
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.departure import refuse
from ibkr_assets.execution.kill import killed_by_file
from ibkr_assets.execution.other_account import refuse_other_account
from ibkr_assets.execution.questions import Standards, judge
from ibkr_assets.execution.seat import log
from ibkr_assets.risk.departure import check_clock, check_quote
from ibkr_assets.risk.price import judge_collar

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import CancelAnswer, PlaceAnswer, Quote
    from ibkr_assets.domain.order import OrderIntent
    from ibkr_assets.execution.prices import Sighting
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord
    from ibkr_assets.risk.finding import Finding


def submit(seat: Seat, record: IntentRecord, seen: Sighting) -> IntentRecord:
    """Send one approved order, or end or keep it when a last check speaks against. Returns where it stands."""
    reach("send.chosen")
    intent = record.intent
    findings = _findings(seat, intent, seen)
    if not findings[-1].is_passed:
        reason = f"{findings[-1].code}: {findings[-1].text}"
        log.warning("denied %s: %s", record.client_order_id, reason)
        refusal = refuse(seat, record, seen, findings)
        return seat.ledger.sends.deny(record, reason, epoch=seat.epoch, refusal=refusal)
    ticket = seat.ticket(record)
    try:
        request = seat.describe(ticket)
    except ValueError as error:
        log.error("denied %s: it cannot be written as a request: %s", record.client_order_id, error)
        return seat.ledger.sends.deny(record, f"cannot be written as a request: {error}", epoch=seat.epoch)
    call_id, record = seat.ledger.sends.begin_send(
        record, epoch=seat.epoch, request=request, market_at=seat.clock.now()
    )
    committed_at = seat.monotonic()
    reach("send.begun")
    if intent.mode is Mode.DRY_RUN:
        record = _not_sent(seat, record, call_id, "dry_run")
        return seat.ledger.sends.move(
            record, OrderState.NOT_PLACED, epoch=seat.epoch, cause="rehearsal", reason="dry_run"
        )
    problem = _last_look(seat, record, committed_at)
    if problem is not None:
        record = _not_sent(seat, record, call_id, problem)
        return seat.ledger.sends.move(record, OrderState.APPROVED, epoch=seat.epoch, cause="not sent", reason=problem)
    reach("send.last_look")
    answer = seat.broker.place(ticket)
    reach("send.answered")
    record = _store(seat, record, call_id, answer)
    reach("send.recorded")
    if isinstance(answer, NotSent):
        reach("send.not_sent")
        return seat.ledger.sends.move(
            record, OrderState.APPROVED, epoch=seat.epoch, cause="not sent", reason=answer.reason
        )
    return _talk(seat, record, answer, seen.quote)


def cancel(seat: Seat, record: IntentRecord, reason: str) -> tuple[IntentRecord, CancelAnswer]:
    """Ask the broker to cancel a working order, once. Only the order list tells whether it is cancelled."""
    assert record.broker_order_id is not None
    call_id, record = seat.ledger.sends.begin_cancel(
        record, epoch=seat.epoch, market_at=seat.clock.now(), reason=reason
    )
    reach("cancel.begun")
    answer = seat.broker.cancel(record.broker_order_id or "")
    reach("cancel.answered")
    match answer:
        case CancelRequested():
            outcome, state, text, status = CallOutcome.OK, OrderState.CANCEL_PENDING, "", None
        case Rejected():
            outcome, state, text, status = CallOutcome.REJECTED, OrderState.WORKING, answer.text, answer.http_status
        case NotSent():
            outcome, state, text, status = CallOutcome.NOT_SENT, OrderState.WORKING, answer.reason, None
        case Ambiguous():
            outcome, state = CallOutcome.AMBIGUOUS, OrderState.CANCEL_UNKNOWN
            text, status = answer.reason, answer.http_status
    record = seat.ledger.sends.record_answer(
        record, call_id, outcome, state, epoch=seat.epoch, http_status=status, answer=text, reason=text or reason
    )
    if isinstance(answer, Ambiguous) and answer.is_other_account:
        refuse_other_account(seat, record, answer.reason)
    return record, answer


def _findings(seat: Seat, intent: OrderIntent, seen: Sighting) -> list[Finding]:
    """What the clocks, the quote and the collar say of the order, up to the first that says no."""
    findings = [check_clock(seat.broker.clock_skew_s())]
    if findings[-1].is_passed and seen.quote is not None:
        findings.append(check_quote(intent, seen.quote, seen.market_at))
    if findings[-1].is_passed:
        findings.append(judge_collar(intent, seen.quote, seat.options.price_collar_fraction))
    return findings


def _last_look(seat: Seat, record: IntentRecord, committed_at: float) -> str | None:
    """Why not even now: the kill file, another session, the validity by the market clock, a pause since the commit."""
    killed = killed_by_file(seat.options.kill_file)
    if killed is not None:
        return killed
    try:
        seat.require_session()
        now = seat.clock.now()
    except Unavailable as error:
        return str(error)
    if now >= record.intent.valid_until:
        return f"valid until {record.intent.valid_until.isoformat()}, market time is {now.isoformat()}"
    waited_s = seat.monotonic() - committed_at
    if waited_s > seat.options.send_within_s:
        return f"{waited_s:.1f} s passed between the commit and the send"
    return None


def _not_sent(seat: Seat, record: IntentRecord, call_id: int, reason: str) -> IntentRecord:
    record = _store(seat, record, call_id, NotSent(reason))
    reach("send.not_sent")
    return record


def _talk(seat: Seat, record: IntentRecord, answer: PlaceAnswer, quote: Quote | None) -> IntentRecord:
    """Answer the broker's questions, one after the other, until it has no more."""
    standards = Standards(
        quote=quote,
        max_order_value_usd=seat.options.max_order_value_usd,
        price_collar_fraction=seat.options.price_collar_fraction,
    )
    depth = 0
    while isinstance(answer, Question):
        reach("question.asked")
        depth += 1
        verdict = judge(answer, record.intent, standards, depth=depth)
        killed = killed_by_file(seat.options.kill_file)
        is_confirmed = verdict.is_confirmed and killed is None
        reason = verdict.reason if killed is None else f"declined: {killed}"
        log.info("question about %s: %s", record.client_order_id, reason)
        if verdict.is_alarming:
            _alarm(seat, record, answer, reason)
        call_id, record = seat.ledger.sends.begin_reply(
            record,
            answer.reply_id,
            is_confirmed=is_confirmed,
            reason=reason,
            epoch=seat.epoch,
            market_at=seat.clock.now(),
        )
        reach("question.begun")
        answer = seat.broker.reply(answer.reply_id, is_confirmed=is_confirmed)
        reach("question.answered")
        if isinstance(answer, NotSent):  # the order itself is at the broker, waiting: only evidence tells what became
            answer = Ambiguous(f"the reply was not sent: {answer.reason}", None)
        record = _store(seat, record, call_id, answer, said=reason)
        reach("question.recorded")
        if isinstance(answer, Question) and not is_confirmed:
            return seat.ledger.sends.move(
                record, OrderState.UNKNOWN, epoch=seat.epoch, cause="question", reason=f"{reason}; asked again"
            )
    return record


def _alarm(seat: Seat, record: IntentRecord, question: Question, reason: str) -> None:
    """A question that no policy expects is a person's business too, though its answer is no."""
    log.error("%s was asked what nobody expected: %s", record.client_order_id, reason)
    detail = {"reason": reason, "message_ids": ", ".join(question.message_ids), "texts": " ".join(question.texts)}
    conid, intent_id = record.intent.conid, record.intent_id
    found = Break("question", record.client_order_id, Blocks.NOTHING, detail, conid=conid, intent_id=intent_id)
    seat.ledger.differences.save_break(found)


def _store(seat: Seat, record: IntentRecord, call_id: int, answer: PlaceAnswer, *, said: str = "") -> IntentRecord:
    """Write what a place or reply call came to. A refusal is believed only after a look at the order list."""
    broker_order_id, question, status = None, None, None
    match answer:
        case Acknowledged():
            outcome, state, text = CallOutcome.OK, OrderState.ACKED, answer.status
            broker_order_id, reason = answer.broker_order_id, ""
        case Question():
            outcome, state, question = CallOutcome.QUESTION, OrderState.QUESTION, answer
            text = " ".join(answer.texts)
            reason = f"asked {', '.join(answer.message_ids)}"
        case Rejected():
            outcome, state, text, status = CallOutcome.REJECTED, OrderState.UNKNOWN, answer.text, answer.http_status
            reason = f"the broker said no: {text}"
        case DuplicateRefused():
            outcome, state, text, status = CallOutcome.DUPLICATE, OrderState.UNKNOWN, answer.text, answer.http_status
            reason = f"the broker has it already: {text}"
        case Ambiguous():
            outcome, state, text, status = CallOutcome.AMBIGUOUS, OrderState.UNKNOWN, answer.reason, answer.http_status
            reason = f"no proof either way: {text}"
        case NotSent():
            outcome, state, text = CallOutcome.NOT_SENT, OrderState.UNKNOWN, answer.reason
            reason = f"not sent: {text}"
    if state is OrderState.UNKNOWN and outcome is not CallOutcome.NOT_SENT:
        log.warning("%s is in doubt: %s", record.client_order_id, reason)
    record = seat.ledger.sends.record_answer(
        record,
        call_id,
        outcome,
        state,
        epoch=seat.epoch,
        http_status=status,
        answer=text,
        reason=f"{said}; {reason}" if said and reason else reason,
        broker_order_id=broker_order_id,
        question=question,
    )
    if isinstance(answer, Ambiguous) and answer.is_other_account:
        refuse_other_account(seat, record, answer.reason)
    return record
