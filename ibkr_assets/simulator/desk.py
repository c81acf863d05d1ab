"""Makes the venue's records and hands them to the book and the sink: executions, cancels, changes of a status.

What follows for other orders of a bracket or a group is done here too, so that whoever makes a fill or a cancel gets
it. When orders are tried and at what price is `trading_day`'s work.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.account import ZERO
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.commissions import order_commission
from ibkr_assets.simulator.groups import Change, changes_after
from ibkr_assets.simulator.records import ENDS_A_MOMENT, Record
from ibkr_assets.simulator.tape import Tape
from ibkr_assets.simulator.trailing import stop_behind
from ibkr_assets.simulator.venue_order import STOP_TYPES, Execution, Status, VenueOrder


class Desk:
    """The one way by which something comes to be. Ids follow from the seed and from what was before."""

    def __init__(self, tape: Tape, book: Book, seed: int, sink: Callable[[Record], None] | None) -> None:
        self.tape = tape
        self.book = book
        self._sink = sink
        chance = random.Random(seed)  # noqa: S311 - reproducible ids, not secrets
        self._first_order_id = chance.randrange(100_000_000, 1_900_000_000)
        self._execution_head = f"{chance.randrange(0x10000):08x}"
        self._first_execution = chance.randrange(0x10000000, 0x6FFFFFFF)
        self._is_in_moment = False
        self._noted: datetime | None = None
        self._count = 0

    def next_order_id(self) -> int:
        """The id of the order that is accepted next."""
        return self._first_order_id + self.book.order_count

    def record(self, record: Record) -> None:
        """Let something be so, tell the sink, and let follow what follows for other orders."""
        if not self._is_in_moment and record.event not in ENDS_A_MOMENT and self._noted != self.book.now:
            # Whoever reads the records must know that time had come this far, or take this for half a moment.
            self._put(Record("clock", self.book.now))
        self._put(record)
        for change in changes_after(self.book, record):
            self._change(change, record.at)

    def happen(self, at: datetime, act: Callable[[], None], *, is_always_noted: bool = True) -> None:
        """Let a moment of the market pass: its records are followed by the clock's, and count only with it."""
        before = self._count
        self._is_in_moment = True
        try:
            act()
        finally:
            self._is_in_moment = False
        if is_always_noted or self._count > before:
            self._put(Record("clock", at))

    def _put(self, record: Record) -> None:
        self.book.apply(record)
        self._count += 1
        if record.event in ENDS_A_MOMENT:
            self._noted = record.at
        if self._sink is not None:
            self._sink(record)

    # ---- orders

    def standing(
        self, order_type: str, life: str, at: datetime, *, is_outside_rth: bool, is_triggered: bool, is_held: bool
    ) -> Status:
        """Whether an order works at `at`, or waits for its hour, its price or its parent."""
        waits = is_held or life == "OPG" or (order_type in STOP_TYPES and not is_triggered)
        is_open = self.tape.open_session(at) is not None
        if not waits and (is_open or (is_outside_rth and order_type == "LMT" and self.tape.is_extended(at))):
            return Status.SUBMITTED
        return Status.PRE_SUBMITTED

    def refresh(
        self, order: VenueOrder, at: datetime, *, is_triggered: bool | None = None, stop: Decimal | None = None
    ) -> None:
        """Write down where an order stands now, if that is news."""
        triggered = order.is_triggered if is_triggered is None else is_triggered
        status = order.status
        if status is not Status.PENDING_CANCEL:
            status = self.standing(
                order.order_type, order.time_in_force, at, is_outside_rth=order.is_outside_rth, is_triggered=triggered,
                is_held=order.is_held,
            )  # fmt: skip
        detail: dict[str, Any] = {"status": status, "is_triggered": triggered}
        if stop is not None and stop != order.trail_stop:
            detail["stop"] = str(stop)
        if (status, triggered) != (order.status, order.is_triggered) or "stop" in detail:
            self.work(order, at, detail)

    def work(self, order: VenueOrder, at: datetime, detail: dict[str, Any]) -> None:
        """Change what stands in `detail`: `status`, and `is_triggered`, `stop`, `released`, `quantity`, `reason`."""
        self.record(Record("work", at, order.coid, order.order_id, detail=detail))

    def cancel(self, order: VenueOrder, reason: str, at: datetime) -> None:
        """Take a live order out of the market."""
        self.record(
            Record(
                "cancel", at, order.coid, order.order_id, self.book.account.name, order.conid, order.side,
                order.remaining, order.price, detail={"reason": reason},
            )
        )  # fmt: skip

    def settle_cancels(self, until: datetime, *, is_included: bool) -> None:
        """Let cancels happen that were asked for and are due before `until`, or at it."""
        due = [o for o in self.book.live.values() if o.cancel_due is not None]
        for order in sorted(due, key=lambda o: (o.cancel_due, o.order_id)):
            assert order.cancel_due is not None
            if order.is_live and (order.cancel_due < until or (is_included and order.cancel_due == until)):
                at = order.cancel_due
                self.happen(at, lambda order=order, at=at: self.cancel(order, "", at))  # type: ignore[misc]

    def _change(self, change: Change, at: datetime) -> None:
        order = change.order
        if change.cancel_reason is not None:
            self.cancel(order, change.cancel_reason, at)
            return
        quantity = order.quantity if change.quantity is None else change.quantity
        status = order.status
        if quantity <= order.filled:
            status = Status.FILLED
        elif status is not Status.PENDING_CANCEL:
            status = self.standing(
                order.order_type, order.time_in_force, at, is_outside_rth=order.is_outside_rth,
                is_triggered=order.is_triggered, is_held=False,
            )  # fmt: skip
        detail: dict[str, Any] = {"status": status, "released": str(change.released), "quantity": str(quantity)}
        last = self.tape.last_price(order.conid, at)
        if order.is_trailing and order.trail_stop is None and last is not None:
            detail["stop"] = str(stop_behind(order, last.price))
        self.work(order, at, detail)

    # ---- executions

    def fill(
        self,
        order: VenueOrder | None,
        conid: int,
        side: str,
        quantity: Decimal,
        price: Decimal,
        at: datetime,
        bar: str | None = None,
    ) -> Execution:
        """Make an execution; `bar` names the bar of whose volume it is."""
        filled = order.filled if order else ZERO
        value = order.filled_value if order else ZERO
        charged = order.commission if order else ZERO
        commission = order_commission(filled + quantity, value + quantity * price) - charged
        number = self._first_execution + self.book.execution_count
        execution = Execution(
            f"{self._execution_head}.{number:08x}.01.01", order.order_id if order else None,
            order.coid if order else None, conid, side, quantity, price, commission, at,
        )  # fmt: skip
        self.write_execution("fill", execution, at, {} if bar is None else {"bar": bar})
        return execution

    def write_execution(self, event: str, execution: Execution, at: datetime, detail: dict[str, Any]) -> None:
        """Record a fill or a bust of an execution."""
        self.record(
            Record(
                event, at, execution.coid, execution.order_id, self.book.account.name, execution.conid,
                execution.side, execution.quantity, execution.price, execution.execution_id,
                {"commission": str(execution.commission), **detail},
            )
        )  # fmt: skip
