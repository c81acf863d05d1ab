"""An order that the broker holds inactive: it does not work, and it is not dead. It is cancelled.

What goes here: which orders those are, and what their cancel comes to. What does not: following what becomes of the
cancel (`follow`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.broker import BrokerOrderStatus, Rejected
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution.submit import cancel

if TYPE_CHECKING:
    from ibkr_assets.execution.reads import BrokerReads
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord


def inactive_orders(seat: Seat, reads: BrokerReads) -> list[tuple[IntentRecord, str]]:
    """Orders that stand as working and that the newest list calls inactive, each with the broker's words."""
    rows = () if reads.orders is None else reads.orders.orders
    texts = {r.client_order_id: r.text for r in rows if r.client_order_id and r.status is BrokerOrderStatus.INACTIVE}
    if not texts:
        return []
    records = seat.ledger.sends.find(list(texts)).values()
    return [(r, texts[r.client_order_id]) for r in records if r.state is OrderState.WORKING and r.broker_order_id]


def settle_inactive(seat: Seat, record: IntentRecord, text: str) -> IntentRecord:
    """Cancel it. A cancel that is refused, of an order that is not at work, proves that it is over."""
    record, answer = cancel(seat, record, f"the broker holds it inactive: {text}")
    if not isinstance(answer, Rejected):
        return record
    state = OrderState.CANCELLED if record.filled else OrderState.REJECTED
    reason = f"inactive at the broker ({text}), and its cancel was refused: {answer.text}"
    return seat.ledger.sends.move(record, state, epoch=seat.epoch, cause="inactive", reason=reason)
