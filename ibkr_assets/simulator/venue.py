"""The exchange and the broker's books as a state machine: market time in, records out. No HTTP, no wall time.

Orders are taken, changed and cancelled here, and opens and closes happen here when the clock passes them. Prices are
`matching`'s decision, sums are `account`'s, state changes go through `book`, and questions are asked outside.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from itertools import takewhile
from typing import Any

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.account import ZERO, Account
from ibkr_assets.simulator.book import Book, Execution, Status, VenueOrder
from ibkr_assets.simulator.commissions import order_commission
from ibkr_assets.simulator.entitlements import entitlement, payments
from ibkr_assets.simulator.funds import available_funds, opening_cost
from ibkr_assets.simulator.matching import Match, match_at_price, match_in_range
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tape import ActionKind, CorporateAction, Moment, Tape, TapeBar
from ibkr_assets.simulator.tickets import COID_LIFE, DuplicateCoid, Refused, Ticket

#: The part of a bar's volume that all orders together may take.
VOLUME_SHARE = Decimal("0.10")
TICK = Decimal("0.01")


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
        self._can_short = can_short
        self._initial_margin = initial_margin
        self._sink = sink
        chance = random.Random(seed)  # noqa: S311 - reproducible ids, not secrets
        self._first_order_id = chance.randrange(100_000_000, 1_900_000_000)
        self._execution_head = f"{chance.randrange(0x10000):08x}"
        self._first_execution = chance.randrange(0x10000000, 0x6FFFFFFF)

    @property
    def now(self) -> datetime:
        """Market time up to which everything has happened."""
        return self.book.now

    # ---- the clock

    def advance(self, until: datetime, *, is_recorded: bool = True) -> None:
        """Let everything between now and `until` happen, in order. Raises ValueError when time would run backwards."""
        if until < self.now:
            raise ValueError(f"market time cannot run backwards from {self.now.isoformat()} to {until.isoformat()}")
        for at, moment, session in self.tape.moments_between(self.now, until):
            if moment is Moment.OPEN:
                self._open(at, session)
            else:
                self._close(at, session)
            self.record(Record("clock", at))
        if is_recorded and until > self.now:
            self.record(Record("clock", until))
        self.book.now = until

    def last_price(self, conid: int) -> Decimal:
        """The newest price on the tape in USD; zero before the first one."""
        last = self.tape.last_price(conid, self.now)
        return last.price if last else ZERO

    def record(self, record: Record) -> None:
        """Let something be so, and tell the sink."""
        self.book.apply(record)
        if self._sink is not None:
            self._sink(record)

    # ---- orders

    def check(self, ticket: Ticket, *, replacing: VenueOrder | None = None) -> None:
        """Raise Refused (or DuplicateCoid) when the order cannot be taken now."""
        self._check_coid(ticket, replacing)
        for name, price in (("price", ticket.price), ("auxPrice", ticket.aux_price)):
            if price is not None and (price <= 0 or price % TICK):
                raise Refused(
                    f"We cannot accept an order at the limit price you specified ({name} {price}): the price does not "
                    "conform to the minimum price variation for this contract."
                )
        self._check_funds(ticket, replacing)

    def submit(self, ticket: Ticket) -> VenueOrder:
        """Take an order. Raises Refused."""
        self.check(ticket)
        order_id = self._first_order_id + self.book.order_count
        is_working = self.tape.open_session(self.now) is not None and ticket.time_in_force != "OPG"
        self.record(
            Record(
                "accept", self.now, ticket.coid, order_id, self.book.account.name, ticket.conid, ticket.side,
                ticket.quantity, ticket.price,
                detail={
                    **_terms(ticket),
                    "outside_rth": ticket.is_outside_rth,
                    "status": Status.SUBMITTED if is_working else Status.PRE_SUBMITTED,
                },
            )
        )  # fmt: skip
        return self.book.orders[order_id]

    def modify(self, order: VenueOrder, ticket: Ticket) -> None:
        """Change a live order; its cOID stays. Raises Refused."""
        self.check(ticket, replacing=order)
        self.record(
            Record(
                "modify", self.now, order.coid, order.order_id, self.book.account.name, order.conid, order.side,
                ticket.quantity, ticket.price, detail=_terms(ticket),
            )
        )  # fmt: skip

    def cancel(self, order: VenueOrder, reason: str, at: datetime | None = None) -> None:
        """Take a live order out of the market."""
        self.record(
            Record(
                "cancel", at or self.now, order.coid, order.order_id, self.book.account.name, order.conid, order.side,
                order.remaining, order.price, detail={"reason": reason},
            )
        )  # fmt: skip

    # ---- what people do

    def execute_by_hand(
        self, conid: int, side: str, quantity: Decimal, price: Decimal, order: VenueOrder | None = None
    ) -> Execution:
        """An execution that the tape did not make: of a live order, or of none (a trade made elsewhere)."""
        self._fill(order, conid, side, quantity, price, self.now)
        return self.book.executions[-1]

    def bust(
        self, execution: Execution, *, quantity: Decimal | None = None, price: Decimal | None = None
    ) -> str | None:
        """Take an execution back. With a quantity or a price a corrected one follows, and its id is returned."""
        self._record_execution("bust", execution, {"commission": str(execution.commission)})
        if quantity is None and price is None:
            return None
        head, _, revision = execution.execution_id.rpartition(".")
        corrected = Execution(
            f"{head}.{int(revision) + 1:02d}", execution.order_id, execution.coid, execution.conid, execution.side,
            quantity or execution.quantity, price or execution.price, execution.commission, self.now,
        )  # fmt: skip
        self._record_execution("fill", corrected, {"commission": str(corrected.commission)})
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
        live = [order for order in self.book.live_orders() if order is not without]
        return available_funds(self.book.account, live, self.last_price, self._initial_margin)

    def _check_coid(self, ticket: Ticket, replacing: VenueOrder | None) -> None:
        used_at = self.book.coids.get(ticket.coid) if ticket.coid is not None and replacing is None else None
        if used_at is not None and self.now - used_at < COID_LIFE:
            raise DuplicateCoid(f"Order couldn't be submitted: Local order ID={ticket.coid} is already registered.")

    def _check_funds(self, ticket: Ticket, replacing: VenueOrder | None) -> None:
        live = [order for order in self.book.live_orders() if order is not replacing]
        left = ticket if replacing is None else replace(ticket, quantity=ticket.quantity - replacing.filled)
        cost = opening_cost(self.book.account, left, live, self.last_price, self._initial_margin)
        if ticket.side == "SELL" and cost and not self._can_short:
            raise Refused("YOUR ORDER IS NOT ACCEPTED. SHORT SALES ARE NOT ALLOWED IN THIS ACCOUNT.")
        available = self.available_funds(without=replacing)
        if cost > available:
            raise Refused(
                "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR AVAILABLE FUNDS "
                f"[{available:.2f} USD] MUST EXCEED THE INITIAL MARGIN [{cost:.2f} USD]"
            )

    # ---- opens and closes

    def _open(self, at: datetime, session: TradingSession) -> None:
        for payment in list(payments(self.book, at, session.day)):
            self.record(payment)
        for action in self.tape.actions_on(session.day):
            self._act(at, action)
        for order in self.book.live_orders():
            if order.status is not Status.PRE_SUBMITTED:
                continue
            bar = self.tape.bar(order.conid, session.day)
            match = Match(None, order.is_triggered) if bar is None else match_at_price(order, bar.open)
            self._work(at, order, match)
            if bar is not None and match.price is not None:
                self._trade(at, session.day, order, bar, match.price)
            if order.is_live and order.time_in_force in ("OPG", "IOC"):
                self.cancel(order, f"not filled at the open of {session.day}", at)

    def _act(self, at: datetime, action: CorporateAction) -> None:
        if action.kind is ActionKind.SPLIT:
            # IBKR cancels good-till-cancelled orders when a stock splits; what is entered for the day is left alone.
            for order in self.book.live_orders():
                if order.conid == action.conid and order.time_in_force == "GTC":
                    self.cancel(order, f"split on {action.ex_day}", at)
        record = entitlement(self.book, self.tape, at, action)
        if record is not None:
            self.record(record)

    def _close(self, at: datetime, session: TradingSession) -> None:
        for order in self.book.live_orders():
            if order.status is not Status.SUBMITTED:
                continue
            bar = self.tape.bar(order.conid, session.day)
            if bar is not None:
                has_seen_open = order.worked_since < session.opens_at
                match = match_in_range(order, bar) if has_seen_open else match_at_price(order, bar.close)
                if match.price is not None:
                    self._trade(at, session.day, order, bar, match.price)
                if order.is_live and match.is_triggered and not order.is_triggered:
                    self._work(at, order, match)
            if not order.is_live:
                continue
            if order.time_in_force == "GTC":
                self._work(at, order, Match(None, order.is_triggered), Status.PRE_SUBMITTED)
            else:
                self.cancel(order, f"not filled by the close of {session.day}", at)

    def _work(self, at: datetime, order: VenueOrder, match: Match, status: Status = Status.SUBMITTED) -> None:
        detail = {"status": status, "is_triggered": match.is_triggered and order.is_stop}
        self.record(Record("work", at, order.coid, order.order_id, detail=detail))

    def _trade(self, at: datetime, day: date, order: VenueOrder, bar: TapeBar, price: Decimal) -> None:
        share = (bar.volume * VOLUME_SHARE).to_integral_value(ROUND_FLOOR)
        today = takewhile(lambda e: self._day_of(e.executed_at) == day, reversed(self.book.executions))
        taken = sum((e.quantity for e in today if e.conid == order.conid and e.order_id is not None), ZERO)
        quantity = min(order.remaining, share - taken)
        if quantity > 0:
            self._fill(order, order.conid, order.side, quantity, price, at)

    def _day_of(self, moment: datetime) -> date | None:
        index = self.tape.opened_index(moment)
        return self.tape.sessions[index].day if index >= 0 else None

    def _fill(
        self, order: VenueOrder | None, conid: int, side: str, quantity: Decimal, price: Decimal, at: datetime
    ) -> None:
        filled = order.filled if order else ZERO
        value = order.filled_value if order else ZERO
        charged = order.commission if order else ZERO
        commission = order_commission(filled + quantity, value + quantity * price) - charged
        number = self._first_execution + self.book.execution_count
        execution = Execution(
            f"{self._execution_head}.{number:08x}.01.01", order.order_id if order else None,
            order.coid if order else None, conid, side, quantity, price, commission, at,
        )  # fmt: skip
        self._record_execution("fill", execution, {"commission": str(commission)}, at)

    def _record_execution(
        self, event: str, execution: Execution, detail: dict[str, Any], at: datetime | None = None
    ) -> None:
        self.record(
            Record(
                event, at or self.now, execution.coid, execution.order_id, self.book.account.name, execution.conid,
                execution.side, execution.quantity, execution.price, execution.execution_id, detail,
            )
        )  # fmt: skip


def _terms(ticket: Ticket) -> dict[str, Any]:
    return {
        "order_type": ticket.order_type,
        "tif": ticket.time_in_force,
        "aux_price": None if ticket.aux_price is None else str(ticket.aux_price),
    }
