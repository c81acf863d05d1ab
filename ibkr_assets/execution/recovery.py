"""After a restore: orders of ours that the broker has and the backup does not know are taken over, not alarmed about.

What goes here: which orders those are, and what of each the broker shows. What does not: how they go on, which is as
with any order in doubt (`follow`, `evidence`), and the backup itself. Nothing here sends: a restored ledger is killed
until somebody resumes it, and while it was not restored, such an order is an alarm (`follow`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.ledger import Blocks, Break
from ibkr_assets.domain.order import (
    CLIENT_ORDER_ID_PREFIX,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from ibkr_assets.domain.recovery import PURPOSE, Decision, Restoration, find_decision
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.broker import BrokerOrder
    from ibkr_assets.execution.seat import Seat

#: Sessions whose decisions an order may have come from: the broker lists executions of seven days.
_SESSIONS = 15
#: Stands in for the strategy of an order whose decision could not be found.
UNATTRIBUTED = "unattributed"


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the broker shows of one order. `price` is its limit, or the mean of its executions."""

    client_order_id: str
    conid: int
    symbol: str
    side: Side
    quantity: Decimal
    limit_price: Decimal | None
    price: Decimal
    evidence: dict[str, Any]


def adopt_orders(seat: Seat, rows: Sequence[BrokerOrder]) -> int:
    """Take over the orders of a list that a restored ledger does not know. Returns how many."""
    shown = []
    for row in rows:
        price = row.limit_price
        # A row without a price may have executions, which have one: they are read next.
        if _is_ours(row.client_order_id) and price is not None and price > 0 and row.symbol is not None:
            evidence = {"from": "orders", "broker_order_id": row.broker_order_id, "status": str(row.status)}
            shown.append(
                _Shown(row.client_order_id or "", row.conid, row.symbol, row.side, row.quantity, price, price, evidence)
            )
    return _adopt(seat, shown)


def adopt_fills(seat: Seat, fills: Sequence[Fill]) -> int:
    """Take over the orders of executions that a restored ledger does not know. Returns how many.

    An order that is in no list any more is not working: it was as large as its executions.
    """
    by_order: dict[str, list[Fill]] = defaultdict(list)
    for fill in fills:
        if _is_ours(fill.client_order_id) and fill.quantity > 0:
            by_order[fill.client_order_id or ""].append(fill)
    shown = []
    for client_order_id, parts in by_order.items():
        quantity = sum((part.quantity for part in parts), Decimal(0))
        mean = sum((part.quantity * part.price for part in parts), Decimal(0)) / quantity
        first = parts[0]
        evidence = {"from": "trades", "broker_order_id": first.broker_order_id,
                    "executions": [part.execution_id for part in parts]}  # fmt: skip
        shown.append(
            _Shown(
                client_order_id, first.conid, first.symbol, first.side, quantity, None, round(mean, 6), evidence
            )
        )  # fmt: skip
    return _adopt(seat, shown)


def _is_ours(client_order_id: str | None) -> bool:
    return (client_order_id or "").startswith(CLIENT_ORDER_ID_PREFIX)


def _adopt(seat: Seat, shown: Sequence[_Shown]) -> int:
    known = seat.ledger.sends.find([order.client_order_id for order in shown])
    missing = [order for order in shown if order.client_order_id not in known]
    unsent = [
        (order, record)
        for order in shown
        if (record := known.get(order.client_order_id)) is not None
        and record.state is OrderState.APPROVED
        and not record.send_count
    ]
    if not missing and not unsent:
        return 0
    restoration = seat.ledger.recovery.open_restoration()
    if restoration is None:
        return 0
    for order, record in unsent:
        seat.ledger.recovery.adopt_unsent(restoration, record, epoch=seat.epoch, evidence=order.evidence)
        log.warning("%s was approved in the backup and has left since", order.client_order_id)
    for order in missing:
        _take_over(seat, restoration, order)
    return len(missing) + len(unsent)


def _take_over(seat: Seat, restoration: Restoration, order: _Shown) -> None:
    decision = _decision_of(seat, order)
    record = seat.ledger.recovery.adopt(
        restoration,
        _intent(seat, order, decision),
        order.client_order_id,
        is_attributed=decision is not None,
        evidence=order.evidence,
    )
    of = UNATTRIBUTED if decision is None else f"{decision.strategy_id} of {decision.session_date}"
    log.warning("%s was taken over: %s %s %s, %s", order.client_order_id, order.side, order.quantity, order.symbol, of)
    if decision is None:
        detail = {"client_order_id": order.client_order_id, "symbol": order.symbol}
        seat.ledger.differences.save_break(
            Break("adopted_unattributed", order.client_order_id, Blocks.CONID, detail, conid=order.conid,
                  intent_id=record.intent_id)
        )  # fmt: skip


def _decision_of(seat: Seat, order: _Shown) -> Decision | None:
    from ibkr_assets.market.calendar import exchange_calendar

    sessions = exchange_calendar(seat.options.calendar).sessions_up_to(seat.clock.now(), _SESSIONS)
    return find_decision(
        order.client_order_id,
        seat.options.salt,
        mode=seat.mode,
        account_ref=seat.account_ref,
        conid=order.conid,
        strategies=seat.ledger.recovery.strategies(),
        bar_ends=[(session.day, session.closes_at) for session in reversed(sessions)],
    )


def _intent(seat: Seat, order: _Shown, decision: Decision | None) -> OrderIntent:
    """The order as the ledger keeps it. It has left, so it must never leave again: its validity is over."""
    now = seat.clock.now()
    return OrderIntent(
        strategy_id=UNATTRIBUTED if decision is None else decision.strategy_id,
        account_ref=seat.account_ref,
        mode=seat.mode,
        conid=order.conid,
        symbol=order.symbol,
        side=order.side,
        order_type=OrderType.MARKET if order.limit_price is None else OrderType.LIMIT,
        quantity=order.quantity,
        limit_price=order.limit_price,
        time_in_force=TimeInForce.DAY,
        reference_price=order.price,
        session_date=now.date() if decision is None else decision.session_date,
        signal_bar_end=now if decision is None else decision.signal_bar_end,
        valid_until=now,
        purpose=PURPOSE if decision is not None else UNATTRIBUTED,
        leg=0 if decision is None else decision.leg,
        generation=0 if decision is None else decision.generation,
    )
