"""A venue in memory, with answers that get lost: what a test scripts happens, nothing else.

It keeps IBKR's habits that matter to a submitter: the first order list of a session is not whole, the first
executions may be missing, a client order id is taken once, and one question waits at a time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.broker import (
    Acknowledged,
    Ambiguous,
    BrokerOrder,
    BrokerOrderStatus,
    BrokerPosition,
    CancelAnswer,
    CancelRequested,
    CashLedger,
    DuplicateRefused,
    MarginMove,
    NotSent,
    OrderPreview,
    OrdersRead,
    OrderTicket,
    PlaceAnswer,
    Question,
    Quote,
    Rejected,
    SessionStatus,
)
from ibkr_assets.domain.errors import PlatformError, Unavailable
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Side
from ibkr_assets.domain.permission import GatewayIdentity

READY = SessionStatus(
    is_logged_in=True, is_connected=True, is_authenticated=True, is_established=True, is_competing=False
)
AT = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """A question that waits, and the ticket it is about."""

    ticket: OrderTicket
    rest: tuple[Question, ...]


class FakeBroker:
    """`Broker` over a scripted venue. `script` holds what happens to the next placements, `accept` when empty.

    Words of the script: accept, lost (accepted, no answer), dropped (nothing arrived, no answer), late (arrives at
    the next order list), rejected, not_sent, and `ask` with the message ids after it: `ask o163 o354`.
    """

    def __init__(self, account: str = "DU1000001", cash: Decimal = Decimal(100_000)) -> None:
        self.account = account
        self.cash = cash
        self.accrued = Decimal(0)
        self.script: deque[str] = deque()
        self.replies: deque[str] = deque()
        self.rows: dict[str, BrokerOrder] = {}
        self.tickets: dict[str, OrderTicket] = {}
        self.fills: list[Fill] = []
        self.prices: dict[int, Decimal] = {}
        self.costs: dict[int, Decimal] = {}
        self.held: dict[int, Decimal] = {}
        self.calls: list[str] = []
        self.reply_log: list[tuple[str, bool]] = []
        self.late: list[OrderTicket] = []
        self.status = READY
        self.gateway_session = "session-1"
        self.is_down = False
        self.skew_s: float | None = 0.0
        self.reopened = 0
        self.lines: set[int] = set()
        self.order_reads = 0
        self.trade_reads = 0
        self.has_fake_empty_list = False
        self.preview_error: PlatformError | None = None
        self.margin_used = Decimal(0)
        self.knows_no_status = False
        self._asked: dict[str, Asked] = {}
        self._ids = itertools.count(1)

    # -- what a test does to the venue

    def fill(self, client_order_id: str, quantity: int, price: str, *, execution_id: str | None = None) -> Fill:
        """Execute part of an order."""
        row = next(r for r in self.rows.values() if r.client_order_id == client_order_id)
        ticket = self.tickets[client_order_id]
        number = next(self._ids)
        fill = Fill(
            execution_id=execution_id or f"0000e0d5.{number:08x}.01.01",
            client_order_id=client_order_id,
            broker_order_id=row.broker_order_id,
            conid=row.conid,
            symbol=ticket.symbol,
            side=row.side,
            quantity=Decimal(quantity),
            price=Decimal(price),
            commission=Decimal("1.00"),
            executed_at=AT,
        )
        self.fills.append(fill)
        self.cash += fill.cash_change
        self.held[row.conid] = self.held.get(row.conid, Decimal(0)) + row.side.sign * fill.quantity
        done = row.filled + fill.quantity
        status = BrokerOrderStatus.FILLED if done >= row.quantity else row.status
        self.rows[row.broker_order_id] = replace(row, filled=done, status=status)
        return fill

    def set_status(self, client_order_id: str, status: BrokerOrderStatus, text: str = "") -> None:
        row = next(r for r in self.rows.values() if r.client_order_id == client_order_id)
        self.rows[row.broker_order_id] = replace(row, status=status, text=text)

    def arrivals(self, client_order_id: str) -> int:
        """How many orders with this client order id the venue has."""
        return sum(row.client_order_id == client_order_id for row in self.rows.values())

    # -- the port

    def open_session(self) -> SessionStatus:
        self._call("open_session")
        self.order_reads = self.trade_reads = 0
        return self.status

    def session(self) -> SessionStatus:
        self._call("session")
        return self.status

    def identity(self) -> GatewayIdentity:
        return GatewayIdentity((self.account,), is_paper=True, server_name="SimServer of a test")

    def keep_alive(self) -> SessionStatus:
        self._call("keep_alive")
        return replace(self.status, session_id=self.gateway_session)

    def session_id(self) -> str:
        self._call("session_id")
        return self.gateway_session

    def preview(self, ticket: OrderTicket) -> OrderPreview:
        """Half of the order's value is wanted as margin, on top of `margin_used`."""
        self._call("preview")
        if self.preview_error is not None:
            raise self.preview_error
        half = ticket.quantity * (ticket.limit_price or self._price(ticket.conid)) / 2
        move = MarginMove(half, self.margin_used + half)
        stock = sum((q * self._price(conid) for conid, q in self.held.items()), Decimal(0))
        return OrderPreview(self.cash + self.accrued + stock, move, move, Decimal(1))

    def place(self, ticket: OrderTicket) -> PlaceAnswer:
        self.calls.append("place")
        word, *ids = (self.script.popleft() if self.script else "accept").split()
        if word == "not_sent":
            return NotSent("connection refused")
        if word == "dropped":
            return Ambiguous("connection reset", None)
        if word == "late":
            self.late.append(ticket)
            return Ambiguous("timed out", None)
        if any(row.client_order_id == ticket.client_order_id for row in self.rows.values()):
            return DuplicateRefused(f"Local order ID={ticket.client_order_id} is already registered.", 400)
        if word == "rejected":
            return Rejected("No trading permissions.", 200)
        if word == "ask":
            return self._ask(
                ticket, tuple(Question(f"reply-{next(self._ids)}", (i,), (_text(i, ticket),)) for i in ids)
            )
        order_id = self._accept(ticket)
        return Ambiguous("timed out", None) if word == "lost" else Acknowledged(order_id, "PreSubmitted")

    def reply(self, reply_id: str, *, is_confirmed: bool) -> PlaceAnswer:
        self.calls.append("reply")
        self.reply_log.append((reply_id, is_confirmed))
        word = self.replies.popleft() if self.replies else "ok"
        if word == "not_sent":
            return NotSent("connection refused")
        asked = self._asked.pop(reply_id, None)
        if asked is None:
            return Ambiguous("reply id not found", 400)
        if not is_confirmed:
            return Rejected("Order not confirmed", 200)
        if word == "dropped":
            return Ambiguous("status 503", 503)
        if asked.rest:
            return self._ask(asked.ticket, asked.rest)
        order_id = self._accept(asked.ticket)
        return Ambiguous("timed out", None) if word == "lost" else Acknowledged(order_id, "PreSubmitted")

    def modify(self, broker_order_id: str, ticket: OrderTicket) -> PlaceAnswer:
        self.calls.append("modify")
        row = self.rows.get(broker_order_id)
        if row is None or row.status in (BrokerOrderStatus.FILLED, BrokerOrderStatus.CANCELLED):
            return Rejected("Order is inactive", 400)
        self.rows[broker_order_id] = replace(row, quantity=ticket.quantity)
        self.tickets[ticket.client_order_id] = ticket
        return Acknowledged(broker_order_id, str(row.status))

    def cancel(self, broker_order_id: str) -> CancelAnswer:
        self.calls.append("cancel")
        row = self.rows[broker_order_id]
        if row.status in (BrokerOrderStatus.FILLED, BrokerOrderStatus.CANCELLED):
            return Rejected("Order is inactive", 400)
        self.rows[broker_order_id] = replace(row, status=BrokerOrderStatus.CANCELLED)
        return CancelRequested()

    def live_orders(self) -> OrdersRead:
        self._call("live_orders")
        self.order_reads += 1
        if self.order_reads == 1 or self.has_fake_empty_list:
            return OrdersRead((), is_snapshot=False)
        rows = tuple(self.rows.values())
        for ticket in self.late:
            self._accept(ticket)
        self.late.clear()
        return OrdersRead(rows, is_snapshot=True)

    def order_status(self, broker_order_id: str) -> BrokerOrder | None:
        self._call("order_status")
        row = None if self.knows_no_status else self.rows.get(broker_order_id)
        return None if row is None else replace(row, client_order_id=None)

    def trades(self) -> tuple[Fill, ...]:
        self._call("trades")
        self.trade_reads += 1
        return () if self.trade_reads == 1 else tuple(self.fills)

    def positions(self) -> tuple[BrokerPosition, ...]:
        self._call("positions")
        return tuple(
            BrokerPosition(conid, str(conid), quantity, self.costs.get(conid, Decimal(100)), self._price(conid), "USD")
            for conid, quantity in self.held.items()
        )

    def cash_ledger(self) -> CashLedger:
        self._call("cash_ledger")
        stock = sum((q * self._price(conid) for conid, q in self.held.items()), Decimal(0))
        return CashLedger("USD", self.cash, self.cash, self.accrued, stock, self.cash + self.accrued + stock, AT)

    def quotes(self, instruments: Sequence[Instrument]) -> dict[int, Quote]:
        self._call("quotes")
        return {
            i.conid: Quote(i.conid, self._price(i.conid), None, None, is_halted=False, availability="R", updated_at=AT)
            for i in instruments
        }

    def open_line(self, conid: int) -> None:
        self.lines.add(conid)

    def openings(self) -> int:
        return self.reopened

    def clock_skew_s(self) -> float | None:
        return self.skew_s

    # -- inside

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.is_down:
            raise Unavailable("connection refused")

    def _price(self, conid: int) -> Decimal:
        return self.prices.get(conid, Decimal(200))

    def _ask(self, ticket: OrderTicket, questions: tuple[Question, ...]) -> Question:
        first, *rest = questions
        self._asked[first.reply_id] = Asked(ticket, tuple(rest))
        return first

    def _accept(self, ticket: OrderTicket) -> str:
        order_id = str(1000 + next(self._ids))
        self.tickets[ticket.client_order_id] = ticket
        self.rows[order_id] = BrokerOrder(
            broker_order_id=order_id,
            client_order_id=ticket.client_order_id,
            conid=ticket.conid,
            side=ticket.side,
            status=BrokerOrderStatus.PRE_SUBMITTED,
            quantity=ticket.quantity,
            filled=Decimal(0),
            symbol=ticket.symbol,
            limit_price=ticket.limit_price,
        )
        return order_id


def foreign_row(order_id: str, conid: int) -> BrokerOrder:
    """A working order that somebody placed elsewhere."""
    return BrokerOrder(order_id, None, conid, Side.BUY, BrokerOrderStatus.SUBMITTED, Decimal(5), Decimal(0))


def _text(message_id: str, ticket: OrderTicket) -> str:
    words = f'The following order "{ticket.side} {ticket.quantity} {ticket.symbol} NYSE @ {ticket.limit_price}"'
    return {
        "o163": f"{words} price exceeds the Percentage constraint of 3%.",
        "o383": f"{words} size exceeds the Size Limit of 500.",
    }.get(message_id, f"{words} has a question {message_id}.")
