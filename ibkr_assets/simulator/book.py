"""The venue's state: orders, executions, cash and positions, known cOIDs; and how each record changes it.

`Book.apply` is the only place where state changes, so that records read back from a file give the same state as the
records that were made. What records are made, and when, is `venue`'s work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.simulator.account import ZERO, Account, Accrual
from ibkr_assets.simulator.records import Record

#: Records that are made only when everything up to their time has happened. The others may stand in the middle of
#: an open or a close that a crash cut short, and that must then happen again.
_ENDS_A_MOMENT = frozenset(
    {"clock", "accept", "modify", "reject", "question", "reply", "dup_refused", "position", "bust"}
)


class Status(StrEnum):
    """Order states as IBKR spells them."""

    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"


@dataclass(slots=True)
class VenueOrder:
    """An accepted order. `price` is the limit, or the stop of a plain stop order; `aux_price` a stop-limit's stop.

    `worked_since` is when it was entered or last changed. Prices in USD, quantities in shares.
    """

    order_id: int
    coid: str | None
    conid: int
    side: str
    order_type: str
    quantity: Decimal
    price: Decimal | None
    aux_price: Decimal | None
    time_in_force: str
    accepted_at: datetime
    worked_since: datetime
    updated_at: datetime
    status: Status = Status.PRE_SUBMITTED
    is_outside_rth: bool = False
    is_triggered: bool = False
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    commission: Decimal = ZERO
    cancel_reason: str = ""

    @property
    def is_buy(self) -> bool:
        """True for a buy."""
        return self.side == "BUY"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self.is_buy else -1

    @property
    def remaining(self) -> Decimal:
        """Shares not executed yet."""
        return self.quantity - self.filled

    @property
    def is_live(self) -> bool:
        """True while it may still trade."""
        return self.status in (Status.PRE_SUBMITTED, Status.SUBMITTED)

    @property
    def is_stop(self) -> bool:
        """True for an order that waits for a price before it works."""
        return self.order_type in ("STP", "STOP_LIMIT")

    @property
    def limit(self) -> Decimal | None:
        """The limit price, or None where any price will do."""
        return self.price if self.order_type in ("LMT", "STOP_LIMIT") else None

    @property
    def stop(self) -> Decimal | None:
        """The stop price, or None."""
        return {"STP": self.price, "STOP_LIMIT": self.aux_price}.get(self.order_type)

    @property
    def average_price(self) -> Decimal | None:
        """Average execution price, or None before the first execution."""
        return self.filled_value / self.filled if self.filled else None


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. `order_id` and `coid` are None where a person traded elsewhere."""

    execution_id: str
    order_id: int | None
    coid: str | None
    conid: int
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal
    executed_at: datetime

    @property
    def signed_quantity(self) -> Decimal:
        """Positive for a buy."""
        return self.quantity if self.side == "BUY" else -self.quantity


@dataclass(slots=True)
class Book:
    """Everything the venue remembers. `now` is the market time up to which everything has happened."""

    account: Account
    now: datetime
    orders: dict[int, VenueOrder] = field(default_factory=dict)
    live: dict[int, VenueOrder] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    coids: dict[str, datetime] = field(default_factory=dict)
    actions_done: set[tuple[str, int, str]] = field(default_factory=set)
    order_count: int = 0
    execution_count: int = 0
    question_count: int = 0

    def live_orders(self) -> list[VenueOrder]:
        """Orders that may still trade, oldest first."""
        return list(self.live.values())

    def execution(self, execution_id: str) -> Execution | None:
        """An execution that still stands, or None."""
        return next((e for e in self.executions if e.execution_id == execution_id), None)

    def apply(self, record: Record) -> None:
        """Change the state as the record says. Events that change nothing pass."""
        change = getattr(self, f"_apply_{record.event}", None)
        if change is not None:
            change(record)
        order = self.live.get(record.order_id) if record.order_id is not None else None
        if order is not None and not order.is_live:
            del self.live[order.order_id]
        if record.event in _ENDS_A_MOMENT:
            self.now = record.at

    def _apply_accept(self, record: Record) -> None:
        assert record.order_id is not None
        assert record.conid is not None
        assert record.side is not None
        assert record.quantity is not None
        aux = record.detail["aux_price"]
        self.orders[record.order_id] = self.live[record.order_id] = VenueOrder(
            order_id=record.order_id,
            coid=record.coid,
            conid=record.conid,
            side=record.side,
            order_type=record.detail["order_type"],
            quantity=record.quantity,
            price=record.price,
            aux_price=None if aux is None else Decimal(aux),
            time_in_force=record.detail["tif"],
            accepted_at=record.at,
            worked_since=record.at,
            updated_at=record.at,
            status=Status(record.detail["status"]),
            is_outside_rth=record.detail["outside_rth"],
        )
        self.order_count += 1
        if record.coid is not None:
            self.coids[record.coid] = record.at

    def _apply_question(self, _record: Record) -> None:
        self.question_count += 1

    def _apply_work(self, record: Record) -> None:
        order = self._order(record)
        order.status = Status(record.detail["status"])
        order.is_triggered = record.detail["is_triggered"]
        order.updated_at = record.at

    def _apply_modify(self, record: Record) -> None:
        order = self._order(record)
        assert record.quantity is not None
        aux = record.detail["aux_price"]
        order.quantity = record.quantity
        order.price = record.price
        order.aux_price = None if aux is None else Decimal(aux)
        order.order_type = record.detail["order_type"]
        order.time_in_force = record.detail["tif"]
        order.is_triggered = False
        order.worked_since = order.updated_at = record.at

    def _apply_cancel(self, record: Record) -> None:
        order = self._order(record)
        order.status = Status.CANCELLED
        order.cancel_reason = record.detail["reason"]
        order.updated_at = record.at

    def _apply_fill(self, record: Record) -> None:
        assert record.execution_id is not None
        assert record.conid is not None
        assert record.side is not None
        assert record.quantity is not None
        assert record.price is not None
        execution = Execution(
            record.execution_id, record.order_id, record.coid, record.conid, record.side, record.quantity,
            record.price, Decimal(record.detail["commission"]), record.at,
        )  # fmt: skip
        self.executions.append(execution)
        self.execution_count += 1
        self.account.trade(execution.conid, execution.signed_quantity, execution.price, execution.commission)
        order = self.orders.get(record.order_id) if record.order_id is not None else None
        if order is not None:
            order.filled += execution.quantity
            order.filled_value += execution.quantity * execution.price
            order.commission += execution.commission
            order.updated_at = record.at
            if order.remaining <= 0:
                order.status = Status.FILLED

    def _apply_bust(self, record: Record) -> None:
        assert record.execution_id is not None
        execution = self.execution(record.execution_id)
        assert execution is not None
        self.executions.remove(execution)
        self.account.undo_trade(execution.conid, execution.signed_quantity, execution.price, execution.commission)
        order = self.orders.get(execution.order_id) if execution.order_id is not None else None
        if order is not None:
            order.filled -= execution.quantity
            order.filled_value -= execution.quantity * execution.price
            order.commission -= execution.commission
            order.updated_at = record.at

    def _apply_forget(self, _record: Record) -> None:
        self.coids.clear()

    def _apply_position(self, record: Record) -> None:
        assert record.conid is not None
        assert record.quantity is not None
        assert record.price is not None
        self.account.transfer(record.conid, record.quantity, record.price)

    def _apply_split(self, record: Record) -> None:
        assert record.conid is not None
        self.account.split(record.conid, Decimal(record.detail["ratio"]))
        self._remember(record)

    def _apply_dividend(self, record: Record) -> None:
        assert record.conid is not None
        pays_on = record.detail["pays_on"]
        self.account.accrue(
            Accrual(
                record.conid, Decimal(record.detail["amount"]), None if pays_on is None else date.fromisoformat(pays_on)
            )
        )
        self._remember(record)

    def _apply_payment(self, record: Record) -> None:
        assert record.conid is not None
        self.account.pay(record.conid, date.fromisoformat(record.detail["day"]))

    def _order(self, record: Record) -> VenueOrder:
        assert record.order_id is not None
        return self.orders[record.order_id]

    def _remember(self, record: Record) -> None:
        assert record.conid is not None
        self.actions_done.add((record.event, record.conid, record.detail["day"]))
