"""The last resort of a kill while the ledger is away: cancels that nothing records.

What goes here: cancelling every order of ours that the broker's list shows, because the kill file asks for it and
Postgres does not answer. What does not: ordinary cancels, which are rows first (`submit`). It is safe without a row:
a cancel adds no risk, and what became of it is read from the broker by the next start, as after a cancel by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.broker import BrokerOrderStatus
from ibkr_assets.domain.errors import PlatformError
from ibkr_assets.domain.order import CLIENT_ORDER_ID_PREFIX
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from ibkr_assets.ports import Broker

_B = BrokerOrderStatus
_OVER = frozenset({_B.FILLED, _B.CANCELLED, _B.PENDING_CANCEL, _B.PRE_CANCELLED})


def cancel_without_ledger(broker: Broker) -> int:
    """Ask for a cancel of each of our orders on the broker's list. Returns how many were asked for."""
    asked = 0
    try:
        for row in broker.live_orders().orders:
            is_ours = (row.client_order_id or "").startswith(CLIENT_ORDER_ID_PREFIX)
            if is_ours and row.status not in _OVER:
                answer = broker.cancel(row.broker_order_id)
                log.error("kill file: cancel of %s without the ledger: %s", row.client_order_id, answer)
                asked += 1
    except PlatformError as error:
        log.error("kill file: cancels without the ledger failed: %s", error)
    return asked
