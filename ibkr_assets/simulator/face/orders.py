"""Handlers that change orders: submit, reply, modify, cancel, suppress, preview.

A refusal is a 200 with an error; a malformed request is a 400. One question waits at a time: any other submission
makes it stale, and a reply to a stale question is a 503. Reading orders is `order_reads`'s work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ibkr_assets.simulator.commissions import order_commission
from ibkr_assets.simulator.face.accounts import check_account
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.tickets import read_orders, read_ticket
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.questions import PendingQuestion, Question, questions_about, reply_id_of
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tickets import DuplicateCoid, Refused, Ticket
from ibkr_assets.simulator.venue_order import VenueOrder

T = TypeVar("T")
_MOST_SUPPRESSED = 51
_NO_MARKET_DATA = "21/You are trying to submit an order without having market data for this instrument."


def submit(call: Call) -> Answer:
    """Takes an order, asks about it, or refuses it."""
    check_account(call)
    orders = read_orders(call)
    if len(orders) > 1:
        raise BadRequest("Bad Request: brackets and groups are not simulated; send one order a request")
    _make_stale(call.gateway)
    try:
        ticket = read_ticket(call, orders[0])
    except Refused as refused:
        return Answer({"error": str(refused)})
    return _consider(call.gateway, ticket, None)


def modify(call: Call) -> Answer:
    """Changes a live order. The body is the whole order again, bare."""
    check_account(call)
    order = _order(call)
    raw = call.json_object()
    _make_stale(call.gateway)
    if order is None:
        return Answer({"error": f"OrderID {call.params['order_id']} doesn't exist"})
    if not order.is_live:
        return Answer({"error": "Order is inactive"})
    try:
        ticket = read_ticket(call, {"cOID": order.coid, **raw})
    except Refused as refused:
        return Answer({"error": str(refused)})
    if (ticket.conid, ticket.side) != (order.conid, order.side) or ticket.quantity <= order.filled:
        return Answer({"error": "Order cannot be changed: conid, side or quantity does not fit"})
    return _consider(call.gateway, ticket, order)


def _consider(gateway: Gateway, ticket: Ticket, order: VenueOrder | None) -> Answer:
    """Refuse, ask, or take: in this order."""
    refused = _guard(gateway, ticket, lambda: gateway.venue.check(ticket, replacing=order))
    if isinstance(refused, Answer):
        return refused
    memory = gateway.session.memory
    contract = gateway.tape.contracts[ticket.conid]
    questions = questions_about(
        ticket, f"{contract.symbol} {contract.order_exchange}", gateway.venue.last_price(ticket.conid),
        has_market_data=ticket.conid in memory.streams, suppressed=memory.suppressed,
    )  # fmt: skip
    questions, gateway.extra_questions = gateway.extra_questions + questions, ()
    return _go_on(gateway, ticket, questions, None if order is None else order.order_id)


def _go_on(gateway: Gateway, ticket: Ticket, questions: tuple[Question, ...], modifies: int | None) -> Answer:
    if questions:
        return _ask(gateway, ticket, questions, modifies)
    order = None if modifies is None else gateway.venue.book.orders[modifies]
    if order is not None and not order.is_live:
        return Answer({"error": "Order is inactive"})
    taken = _guard(gateway, ticket, lambda: _take(gateway, ticket, order))
    if isinstance(taken, Answer):
        return taken
    row = {"order_id": str(taken.order_id), "order_status": taken.status.value, "encrypt_message": "1"}
    return Answer([row | ({"local_order_id": taken.coid} if taken.coid is not None else {})])


def _take(gateway: Gateway, ticket: Ticket, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        return gateway.venue.submit(ticket)
    gateway.venue.modify(order, ticket)
    return order


def _guard(gateway: Gateway, ticket: Ticket, act: Callable[[], T]) -> T | Answer:
    """Do it; or write down why not, and say so."""
    try:
        return act()
    except Refused as refused:
        is_duplicate = isinstance(refused, DuplicateCoid)
        _note(gateway, "dup_refused" if is_duplicate else "reject", ticket, text=str(refused))
        return Answer({"error": str(refused)}, gateway.options.duplicate_status if is_duplicate else 200)


def _ask(gateway: Gateway, ticket: Ticket, questions: tuple[Question, ...], modifies: int | None) -> Answer:
    reply_id = reply_id_of(gateway.options.seed, gateway.venue.book.question_count)
    pending = PendingQuestion(reply_id, ticket, questions, modifies)
    gateway.session.memory.pending = pending
    _note(gateway, "question", ticket, text=pending.asked.message_id)
    return Answer(
        [
            {
                "id": reply_id, "message": [pending.asked.text], "isSuppressed": False,
                "messageIds": [pending.asked.message_id], "messageOptions": ["Yes", "No"],
            }
        ]
    )  # fmt: skip


def reply(call: Call) -> Answer:
    """Answers the question that waits: the next one, or the order."""
    confirmed = call.json_object().get("confirmed")
    if not isinstance(confirmed, bool):
        raise BadRequest("Bad Request: confirmed is missing or no boolean")
    memory = call.gateway.session.memory
    pending = memory.pending
    if pending is None or pending.reply_id != call.params["reply_id"]:
        if call.params["reply_id"] in memory.stale:
            return refusal(503, "Service Unavailable")
        return refusal(400, f"reply id not found: '{call.params['reply_id']}'")
    memory.pending = None
    _note(call.gateway, "reply", pending.ticket, text="confirmed" if confirmed else "declined")
    if not confirmed:
        return Answer({"error": "Order not confirmed "})
    return _go_on(call.gateway, pending.ticket, pending.questions[1:], pending.modifies)


def cancel(call: Call) -> Answer:
    """Asks for a cancel; -1 means every live order. An order that did not work yet is gone at once."""
    account = check_account(call)
    venue = call.gateway.venue
    if call.params["order_id"] == "-1":
        for live in venue.book.live_orders():
            venue.cancel(live, "")
        return Answer({"msg": "Request was submitted", "order_id": -1, "conid": -1, "account": None})
    order = _order(call)
    if order is None:
        return refusal(400, f"OrderID {call.params['order_id']} doesn't exist")
    if not order.is_live:
        return refusal(400, "Order is inactive")
    has_worked = order.status.value == "Submitted"
    venue.cancel(order, "")
    where = {"conid": order.conid, "account": account} if has_worked else {"conid": -1, "account": None}
    return Answer({"msg": "Request was submitted", "order_id": order.order_id, **where})


def suppress(call: Call) -> Answer:
    """From now on, and for this session, these questions count as confirmed."""
    ids = call.json_object().get("messageIds")
    if not isinstance(ids, list) or not 0 < len(ids) <= _MOST_SUPPRESSED or not all(isinstance(i, str) for i in ids):
        return refusal(500, "messageIds is missing, empty or too long")
    call.gateway.session.memory.suppressed = set(ids)
    return Answer({"status": "submitted"})


def suppress_reset(call: Call) -> Answer:
    """Every question is asked again."""
    call.gateway.session.memory.suppressed = set()
    return Answer({"status": "submitted"})


def preview(call: Call) -> Answer:
    """What an order would cost and do, all as text; nothing is placed."""
    check_account(call)
    gateway = call.gateway
    try:
        ticket = read_ticket(call, read_orders(call)[0])
        gateway.venue.check(replace(ticket, coid=None))
        error = None
    except Refused as refused:
        return Answer({"amount": None, "equity": None, "initial": None, "error": str(refused), "warn": None})
    price = ticket.price or gateway.venue.last_price(ticket.conid)
    value = price * ticket.quantity
    fee = order_commission(ticket.quantity, value)
    sign = 1 if ticket.side == "BUY" else -1
    change = sign * ticket.quantity
    nav = gateway.venue.net_liquidation()
    held = gateway.venue.book.account.quantity(ticket.conid)
    margin = gateway.options.initial_margin * gateway.venue.book.account.gross_value(gateway.venue.last_price)
    after = margin + gateway.options.initial_margin * value * sign
    requirement = {"current": f"{margin:,.0f}", "change": f"{after - margin:,.0f}", "after": f"{after:,.0f}"}
    has_data = ticket.conid in gateway.session.memory.streams
    return Answer(
        {
            "amount": {
                "amount": f"{value:,.2f} USD ({ticket.quantity} Shares)", "commission": f"{fee} USD",
                "total": f"{value + sign * fee:,.2f} USD",
            },
            "equity": {"current": f"{nav:,.0f}", "change": f"{-fee:,.0f}", "after": f"{nav - fee:,.0f}"},
            "initial": requirement, "maintenance": requirement,
            "position": {
                "current": f"{held}", "change": f"{change}", "after": f"{held + change}",
            },
            "warn": None if has_data else _NO_MARKET_DATA, "error": error,
        }
    )  # fmt: skip


def _order(call: Call) -> VenueOrder | None:
    text = call.params["order_id"]
    return call.gateway.venue.book.orders.get(int(text)) if text.isdigit() else None


def _make_stale(gateway: Gateway) -> None:
    memory = gateway.session.memory
    if memory.pending is not None:
        memory.stale[memory.pending.reply_id] = memory.pending
        memory.pending = None


def _note(gateway: Gateway, event: str, ticket: Ticket, *, text: str) -> None:
    venue = gateway.venue
    venue.record(
        Record(
            event, venue.now, ticket.coid, None, gateway.options.account, ticket.conid, ticket.side, ticket.quantity,
            ticket.price, detail={"text": text},
        )
    )  # fmt: skip
