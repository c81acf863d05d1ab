"""The exchange and the broker's books as a state machine: market time in, records out. No HTTP, no wall time.

Orders are taken, changed and cancelled here, and people trade here by hand. What happens at an open, a minute or a
close is `trading_day`'s work, records are made by `desk` and change the `book`, and questions are asked outside.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.account import ZERO, Account
from ibkr_assets.simulator.admission import Admission
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.desk import Desk
from ibkr_assets.simulator.groups import part_of
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tape import Moment, Tape
from ibkr_assets.simulator.tickets import Ticket
from ibkr_assets.simulator.trading_day import TradingDay
from ibkr_assets.simulator.trailing import stop_at_distance
from ibkr_assets.simulator.venue_order import TRAILING_TYPES, Execution, Status, VenueOrder
from ibkr_assets.simulator.venue_rules import VenueRules


class Venue:
    """One account at one venue. `sink` receives every record after it changed the state."""

    def __init__(
        self,
        tape: Tape,
        account: str,
        opening_cash: Decimal,
        start: datetime,
        *,
        seed: int,
        can_short: bool = True,
        initial_margin: Decimal = Decimal(1),
        sink: Callable[[Record], None] | None = None,
    ) -> None:
        self.tape = tape
        self.book = Book(Account(account, opening_cash), start)
        self.rules = VenueRules()
        self._desk = Desk(tape, self.book, seed, sink)
        self._day = TradingDay(self._desk)
        self._admission = Admission(
            self.book, self.last_price, can_short=can_short, initial_margin=initial_margin
        )  # fmt: skip

    @property
    def now(self) -> datetime:
        """Market time up to which everything has happened."""
        return self.book.now

    # ---- the clock

    def advance(self, until: datetime, *, is_recorded: bool = True) -> None:
        """Let everything between now and `until` happen, in order. Raises ValueError when time would run backwards."""
        if until < self.now:
            raise ValueError(f"market time cannot run backwards from {self.now.isoformat()} to {until.isoformat()}")
        for at, moment, session in self.tape.moments_between(self.now, until, self._day.next_minute):
            self._desk.settle_cancels(at, is_included=False)
            self._desk.happen(
                at, lambda: self._day.pass_moment(at, moment, session),  # noqa: B023 - called at once
                is_always_noted=moment in (Moment.OPEN, Moment.CLOSE),
            )  # fmt: skip
        self._desk.settle_cancels(until, is_included=True)
        if is_recorded and until > self.now:
            self.record(Record("clock", until))
        self.book.now = until

    def last_price(self, conid: int) -> Decimal:
        """The newest price on the tape in USD; zero before the first one."""
        last = self.tape.last_price(conid, self.now)
        return last.price if last else ZERO

    def record(self, record: Record) -> None:
        """Let something be so, and tell the sink; what follows for other orders of a group follows."""
        self._desk.record(record)

    # ---- orders

    def check(self, ticket: Ticket, *, replacing: VenueOrder | None = None) -> None:
        """Raise Refused (or DuplicateCoid) when the order cannot be taken now."""
        self._admission.check(ticket, replacing=replacing)

    def check_coid(self, ticket: Ticket) -> None:
        """Raise DuplicateCoid when the order's cOID cannot be used again yet."""
        self._admission.check_coid(ticket)

    def next_order_id(self) -> int:
        """The id of the order that is accepted next."""
        return self._desk.next_order_id()

    def submit(self, ticket: Ticket) -> VenueOrder:
        """Take an order; a child (`parent_id`) waits until its parent fills. Raises Refused."""
        self.check(ticket)
        return self._accept(ticket, self._standing(ticket))

    def shelve(self, ticket: Ticket, reason: str) -> VenueOrder:
        """Keep an order that is not transmitted: it is Inactive, and known by its id."""
        return self._accept(ticket, Status.INACTIVE, reason)

    def revive(self, order: VenueOrder) -> None:
        """Transmit an Inactive order after all."""
        status = self._desk.standing(
            order.order_type, order.time_in_force, self.now, is_outside_rth=order.is_outside_rth,
            is_triggered=order.is_triggered, is_held=order.is_held,
        )  # fmt: skip
        self._desk.work(order, self.now, {"status": status, "reason": ""})

    def modify(self, order: VenueOrder, ticket: Ticket) -> None:
        """Change a live order; its cOID, its parent and its group stay. Raises Refused."""
        self.check(ticket, replacing=order)
        detail = self._terms(ticket) | {"status": self._standing(ticket, is_held=order.is_held)}
        if order.released is not None and not order.is_held:
            detail["released"] = str(self._released(order, ticket.quantity))
        self.record(
            Record(
                "modify", self.now, order.coid, order.order_id, self.book.account.name, order.conid, order.side,
                ticket.quantity, ticket.price, detail=detail,
            )
        )  # fmt: skip

    def cancel(self, order: VenueOrder, reason: str) -> None:
        """Take a live order out of the market: at once, or when the time that `rules` gives a working one is over."""
        delay = self.rules.cancel_after
        if delay is None or order.status is not Status.SUBMITTED:
            if order.cancel_due is None:
                self._desk.cancel(order, reason, self.now)
            return
        due = (self.now + delay).isoformat()
        self._desk.work(order, self.now, {"status": Status.PENDING_CANCEL, "reason": reason, "cancel_due": due})

    # ---- what people do

    def execute_by_hand(
        self, conid: int, side: str, quantity: Decimal, price: Decimal, order: VenueOrder | None = None
    ) -> Execution:
        """An execution that the tape did not make: of a live order, or of none (a trade made elsewhere)."""
        return self._desk.fill(order, conid, side, quantity, price, self.now)

    def bust(
        self, execution: Execution, *, quantity: Decimal | None = None, price: Decimal | None = None
    ) -> str | None:
        """Take an execution back. With a quantity or a price a corrected one follows, and its id is returned."""
        self._desk.write_execution("bust", execution, self.now, {})
        if quantity is None and price is None:
            return None
        head, _, revision = execution.execution_id.rpartition(".")
        corrected = Execution(
            f"{head}.{int(revision) + 1:02d}", execution.order_id, execution.coid, execution.conid, execution.side,
            quantity or execution.quantity, price or execution.price, execution.commission, self.now,
        )  # fmt: skip
        self._desk.write_execution("fill", corrected, self.now, {})
        return corrected.execution_id

    def move_position(self, conid: int, quantity: Decimal, price: Decimal) -> None:
        """Shares come in (positive) or go out without cash and without an execution."""
        side = "BUY" if quantity > 0 else "SELL"
        self.record(Record("position", self.now, None, None, self.book.account.name, conid, side, quantity, price))

    # ---- money

    def net_liquidation(self) -> Decimal:
        """Cash, accrued dividends and positions at the newest known prices, in USD."""
        return self.book.account.net_liquidation(self.last_price)

    def available_funds(self, without: VenueOrder | None = None) -> Decimal:
        """Funds for opening trades, in USD: cash and positions, less the margin of positions and live orders."""
        return self._admission.available(without)

    # ---- tickets

    def _accept(self, ticket: Ticket, status: Status, reason: str = "") -> VenueOrder:
        order_id = self._desk.next_order_id()
        detail = self._terms(ticket) | {"status": status}
        group = ticket.group if ticket.parent_id is None else str(ticket.parent_id)
        extras = {"parent_id": ticket.parent_id, "group": group, "reason": reason or None}
        detail |= {name: value for name, value in extras.items() if value is not None}
        if self._is_held(ticket):
            detail["is_held"] = True
        self.record(
            Record(
                "accept", self.now, ticket.coid, order_id, self.book.account.name, ticket.conid, ticket.side,
                ticket.quantity, ticket.price, detail=detail,
            )
        )  # fmt: skip
        return self.book.orders[order_id]

    def _is_held(self, ticket: Ticket) -> bool:
        return ticket.parent_id is not None and self.book.orders[ticket.parent_id].status is not Status.FILLED

    def _released(self, child: VenueOrder, quantity: Decimal) -> Decimal:
        """How many shares of a changed, awake child may trade: its part of the parent, or all when that is over."""
        assert child.parent_id is not None
        assert child.released is not None
        parent = self.book.orders[child.parent_id]
        part = part_of(quantity, parent) if parent.is_live else quantity
        # A parent whose fills were taken back does not put a child to sleep again, nor below what it traded.
        return max(part or min(child.released, quantity), child.filled)

    def _standing(self, ticket: Ticket, *, is_held: bool | None = None) -> Status:
        return self._desk.standing(
            ticket.order_type, ticket.time_in_force, self.now, is_outside_rth=ticket.is_outside_rth,
            is_triggered=False, is_held=self._is_held(ticket) if is_held is None else is_held,
        )  # fmt: skip

    def _terms(self, ticket: Ticket) -> dict[str, Any]:
        terms: dict[str, Any] = {
            "order_type": ticket.order_type, "tif": ticket.time_in_force, "aux_price": _text(ticket.aux_price),
            "outside_rth": ticket.is_outside_rth,
        }  # fmt: skip
        if ticket.order_type in TRAILING_TYPES:
            terms |= {"trail": _text(ticket.trail), "trail_unit": ticket.trail_unit, "stop": self._first_stop(ticket)}
        return terms

    def _first_stop(self, ticket: Ticket) -> str | None:
        """Where a trailing stop begins: where the ticket says, or at its distance from the newest price."""
        given = ticket.aux_price if ticket.order_type == "TRAILLMT" else ticket.price
        last = self.last_price(ticket.conid)
        if given is not None or not last or self._is_held(ticket):
            return _text(given)
        return str(stop_at_distance(last, ticket.trail, ticket.trail_unit, is_buy=ticket.side == "BUY"))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
