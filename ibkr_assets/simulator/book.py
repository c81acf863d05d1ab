"""The venue's state: orders, executions, cash and positions, known cOIDs; and how each record changes it.

`Book.apply` is the only place where state changes, so that records read back from a file give the same state as the
records that were made. What records are made, and when, is `venue`'s work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from ibkr_assets.simulator.account import ZERO, Account, Accrual
from ibkr_assets.simulator.records import ENDS_A_MOMENT, Record
from ibkr_assets.simulator.venue_order import Execution, Status, VenueOrder


@dataclass(slots=True)
class Book:
    """Everything the venue remembers. `now` is the market time up to which everything has happened.

    `ended` lists orders in the order in which they ended, one that changed afterwards once more. `children` are the
    ids of a parent's orders, `groups` those of which one fill cancels the others. `taken` is, by contract, the bar
    whose volume was traded last, by its start, and how many of its shares orders got.
    """

    account: Account
    now: datetime
    orders: dict[int, VenueOrder] = field(default_factory=dict)
    live: dict[int, VenueOrder] = field(default_factory=dict)
    ended: list[VenueOrder] = field(default_factory=list)
    children: dict[int, list[int]] = field(default_factory=dict)
    groups: dict[str, list[int]] = field(default_factory=dict)
    taken: dict[int, tuple[str, Decimal]] = field(default_factory=dict)
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
        return next((e for e in reversed(self.executions) if e.execution_id == execution_id), None)

    def taken_of(self, conid: int, bar: str) -> Decimal:
        """Shares of one bar's volume that orders got already."""
        key, quantity = self.taken.get(conid, ("", ZERO))
        return quantity if key == bar else ZERO

    def apply(self, record: Record) -> None:
        """Change the state as the record says. Events that change nothing pass."""
        change = getattr(self, f"_apply_{record.event}", None)
        if change is not None:
            change(record)
        order = self.orders.get(record.order_id) if record.order_id is not None else None
        if change is not None and order is not None:
            self._file(order)
        if record.event in ENDS_A_MOMENT:
            self.now = record.at

    def _file(self, order: VenueOrder) -> None:
        if order.is_live:
            self.live[order.order_id] = order
        else:
            self.live.pop(order.order_id, None)
            self.ended.append(order)

    def _apply_accept(self, record: Record) -> None:
        assert record.order_id is not None
        assert record.conid is not None
        assert record.side is not None
        assert record.quantity is not None
        detail = record.detail
        parent_id, group = detail.get("parent_id"), detail.get("group")
        self.orders[record.order_id] = VenueOrder(
            order_id=record.order_id,
            coid=record.coid,
            conid=record.conid,
            side=record.side,
            order_type=detail["order_type"],
            quantity=record.quantity,
            price=record.price,
            aux_price=_decimal(detail["aux_price"]),
            time_in_force=detail["tif"],
            accepted_at=record.at,
            worked_since=record.at,
            updated_at=record.at,
            status=Status(detail["status"]),
            is_outside_rth=detail["outside_rth"],
            cancel_reason=detail.get("reason", ""),
            trail=_decimal(detail.get("trail")),
            trail_unit=detail.get("trail_unit"),
            trail_stop=_decimal(detail.get("stop")),
            parent_id=parent_id,
            group=group,
            released=ZERO if detail.get("is_held") else None,
        )
        self.order_count += 1
        if parent_id is not None:
            self.children.setdefault(parent_id, []).append(record.order_id)
        if group is not None:
            self.groups.setdefault(group, []).append(record.order_id)
        if record.coid is not None:
            self.coids[record.coid] = record.at

    def _apply_question(self, _record: Record) -> None:
        self.question_count += 1

    def _apply_work(self, record: Record) -> None:
        # Only the status must be there: whatever else a record says of an order changes with it.
        order, detail = self._order(record), record.detail
        order.status = Status(detail["status"])
        order.is_triggered = detail.get("is_triggered", order.is_triggered)
        order.cancel_reason = detail.get("reason", order.cancel_reason)
        if "stop" in detail:
            order.trail_stop = _decimal(detail["stop"])
        if "quantity" in detail:
            order.quantity = Decimal(detail["quantity"])
        if "released" in detail:
            if order.is_held:
                order.worked_since = record.at
            order.released = Decimal(detail["released"])
        if "cancel_due" in detail:
            order.cancel_due = datetime.fromisoformat(detail["cancel_due"])
        order.updated_at = record.at

    def _apply_modify(self, record: Record) -> None:
        order = self._order(record)
        detail = record.detail
        assert record.quantity is not None
        order.quantity = record.quantity
        order.price = record.price
        order.aux_price = _decimal(detail["aux_price"])
        order.order_type = detail["order_type"]
        order.time_in_force = detail["tif"]
        order.is_outside_rth = detail.get("outside_rth", order.is_outside_rth)
        order.trail = _decimal(detail.get("trail"))
        order.trail_unit = detail.get("trail_unit")
        order.trail_stop = _decimal(detail.get("stop"))
        order.status = Status(detail.get("status", order.status))
        order.released = _decimal(detail["released"]) if "released" in detail else order.released
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
        bar = record.detail.get("bar")
        if bar is not None:
            self.taken[execution.conid] = bar, self.taken_of(execution.conid, bar) + execution.quantity
        order = self.orders.get(record.order_id) if record.order_id is not None else None
        if order is not None:
            order.filled += execution.quantity
            order.filled_value += execution.quantity * execution.price
            order.commission += execution.commission
            order.updated_at = record.at
            if order.remaining <= 0 and order.status is not Status.CANCELLED:
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


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
