"""An order follows what the broker shows of it: a row of the order list, or its status.

What goes here: from a broker's row to a move, one order at a time, and rows that should not be there. What does not:
executions (they move orders where they are stored), and the absence of a row (`evidence`). A fill counts only as an
execution, never as a number in a row.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ibkr_assets.domain.broker import BrokerOrderStatus
from ibkr_assets.domain.ledger import Blocks, Break
from ibkr_assets.domain.order import CLIENT_ORDER_ID_PREFIX, OrderState
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibkr_assets.domain.broker import BrokerOrder
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord

_S = OrderState
_B = BrokerOrderStatus
_GONE = frozenset({_B.FILLED, _B.CANCELLED})
_BEING_CANCELLED = frozenset({_B.PENDING_CANCEL, _B.PRE_CANCELLED})
_ENDED_BY_US = frozenset({_S.REJECTED, _S.NOT_PLACED})
_NEVER_LEFT = frozenset({_S.PROPOSED, _S.DENIED, _S.APPROVED, _S.EXPIRED_UNSENT})


def follow_row(seat: Seat, record: IntentRecord, row: BrokerOrder) -> IntentRecord:
    """Move an order to what its row says. A row whose fills are not all booked yet does not end the order."""
    state = _state_of(record, row)
    if state is None or state is record.state:
        return record
    is_doubt = record.state is _S.UNKNOWN
    if is_doubt:
        reach("doubt.adopting")
    if record.state in _ENDED_BY_US:
        _alarm(seat, "ended_order_alive", record, row)
    moved = seat.ledger.sends.move(
        record,
        state,
        epoch=seat.epoch,
        cause=f"broker says {row.status}",
        reason=_reason_of(state, row),
        detail={"status": str(row.status), "filled": str(row.filled)},
        broker_order_id=row.broker_order_id,
    )
    if is_doubt:
        log.info("%s was in doubt: found as %s %s", record.client_order_id, row.broker_order_id, row.status)
        reach("doubt.adopted")
    return moved


def needs_executions(record: IntentRecord, row: BrokerOrder) -> bool:
    """True when the row speaks of fills that are not booked."""
    return row.filled > record.filled or (row.status is _B.FILLED and record.state is not _S.FILLED)


def follow_list(seat: Seat, rows: Sequence[BrokerOrder]) -> bool:
    """Follow every row of an order list. Returns True when executions are missing."""
    ours = [row for row in rows if (row.client_order_id or "").startswith(CLIENT_ORDER_ID_PREFIX)]
    records = seat.ledger.sends.find([row.client_order_id for row in ours if row.client_order_id])
    is_missing = False
    for row in ours:
        record = records.get(row.client_order_id or "")
        if record is None:
            _order_break(seat, "order_without_intent", row, Blocks.ACCOUNT)
        elif record.state is _S.APPROVED and record.send_count:
            record = follow_row(seat, _is_not_sent_again(seat, record), row)
            is_missing = is_missing or needs_executions(record, row)
        elif record.state in _NEVER_LEFT:
            _order_break(seat, "order_never_sent", row, Blocks.ACCOUNT)
        elif record.broker_order_id not in (None, row.broker_order_id):
            _order_break(seat, "duplicate_order", row, Blocks.ACCOUNT)
        else:
            record = follow_row(seat, record, row)
            is_missing = is_missing or needs_executions(record, row)
    foreign = [row for row in rows if row not in ours and row.status not in _GONE]
    for row in foreign:
        _order_break(seat, "foreign_order", row, Blocks.CONID)
    seat.ledger.differences.resolve(
        "foreign_order", keep=[row.broker_order_id for row in foreign], resolved_by="not in the order list any more"
    )
    return is_missing


def reopen_cancel(seat: Seat, record: IntentRecord, row: BrokerOrder | None) -> IntentRecord:
    """A cancel that has had its time and left the order alive: it works, and may be asked for again."""
    if row is None or row.status in _GONE or row.status in _BEING_CANCELLED:
        return record
    return seat.ledger.sends.move(
        record, _S.WORKING, epoch=seat.epoch, cause="cancel had no effect", reason=f"the broker has it as {row.status}"
    )


def _is_not_sent_again(seat: Seat, record: IntentRecord) -> IntentRecord:
    """An order that was proven absent and arrived after all, before it was sent once more."""
    return seat.ledger.sends.move(
        record, _S.NOT_PLACED, epoch=seat.epoch, cause="late arrival", reason="at the broker after all"
    )


def _state_of(record: IntentRecord, row: BrokerOrder) -> OrderState | None:
    """The state that a row asks for, or None to leave the order as it is."""
    if record.state in (_S.FILLED, *_NEVER_LEFT):
        return None
    if row.status is _B.CANCELLED:
        if record.state is _S.CANCELLED or row.filled > record.filled:
            return None if record.state is not _S.UNKNOWN else _S.WORKING
        return _S.CANCELLED
    if row.status is _B.INACTIVE and record.state is _S.REJECTED:
        return None  # refused, and shown so
    if record.state is _S.CANCELLED:
        return None  # an older row; what is filled after all comes as an execution
    if record.state in (_S.CANCEL_PENDING, _S.CANCEL_UNKNOWN):
        return None  # still asked for; the row or an execution will end it
    return _S.WORKING


def _reason_of(state: OrderState, row: BrokerOrder) -> str:
    if state is _S.CANCELLED:
        return f"cancelled by the broker: {row.text}" if row.text else "cancelled by the broker"
    return f"{row.status}: {row.text}" if row.status in (_B.INACTIVE, _B.WARN_STATE) else ""


def _alarm(seat: Seat, kind: str, record: IntentRecord, row: BrokerOrder) -> None:
    log.error("%s stood as %s and is %s at the broker", record.client_order_id, record.state, row.status)
    detail = {"state": str(record.state), "status": str(row.status), "broker_order_id": row.broker_order_id}
    seat.ledger.differences.save_break(
        Break(kind, record.client_order_id, Blocks.NOTHING, detail, conid=row.conid, intent_id=record.intent_id)
    )


def _order_break(seat: Seat, kind: str, row: BrokerOrder, blocks: Blocks) -> None:
    detail = {
        "client_order_id": row.client_order_id or "",
        "status": str(row.status),
        "side": str(row.side),
        "quantity": str(row.quantity),
        "left": str(max(row.quantity - row.filled, Decimal(0))),
    }
    found = Break(kind, row.broker_order_id, blocks, detail, conid=row.conid)
    if seat.ledger.differences.save_break(found, unless_equal=("left", "status")):
        log.error("%s: broker order %s of conid %s", kind, row.broker_order_id, row.conid)
