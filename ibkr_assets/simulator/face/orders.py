"""Handlers that change orders: submit, reply, modify, cancel, suppress, and the answer to a prompt.

A refusal is a 200 with an error; a malformed request is a 400. One question waits at a time: any other submission
makes it stale, and a reply to a stale question is a 503. What becomes of a ticket is `order_rounds`' work, previews
are `preview`'s, and reading orders is `order_reads`'s.
"""

from __future__ import annotations

from dataclasses import replace

from ibkr_assets.simulator.answers import Answer, refusal
from ibkr_assets.simulator.face.accounts import check_account
from ibkr_assets.simulator.face.exchange import BadRequest, Call, read_digits
from ibkr_assets.simulator.face.order_rounds import consider, go_on, note, request_id_of, take_unasked
from ibkr_assets.simulator.face.tickets import read_orders, read_ticket, read_tickets
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.questions import PROMPT, PROMPT_OPTIONS
from ibkr_assets.simulator.tickets import Refused, Ticket
from ibkr_assets.simulator.venue_order import Status, VenueOrder

_MOST_SUPPRESSED = 51


def submit(call: Call) -> Answer:
    """Takes an order, a bracket or a group; asks about it; or refuses it."""
    check_account(call)
    orders = read_orders(call)
    _make_stale(call.gateway)
    try:
        tickets = read_tickets(call, orders)
        if len(tickets) == 1 and tickets[0].parent_coid is not None:
            tickets = (_attached(call.gateway, tickets[0]),)
    except Refused as refused:
        return Answer({"error": str(refused)})
    return consider(call.gateway, tickets, None)


def modify(call: Call) -> Answer:
    """Changes a live order. The body is the whole order again, bare."""
    check_account(call)
    order = _order(call)
    raw = call.json_object()
    _make_stale(call.gateway)
    if order is None:
        return Answer({"error": f"OrderID {call.params['order_id']} doesn't exist"})
    if not order.is_live or order.status is Status.PENDING_CANCEL:
        return Answer({"error": "Order is inactive"})
    try:
        ticket = read_ticket(call, {"cOID": order.coid, **raw})
    except Refused as refused:
        return Answer({"error": str(refused)})
    if (ticket.conid, ticket.side) != (order.conid, order.side) or ticket.quantity <= order.filled:
        return Answer({"error": "Order cannot be changed: conid, side or quantity does not fit"})
    return consider(call.gateway, (ticket,), order)


def reply(call: Call) -> Answer:
    """Answers the question that waits: the next one, or the order."""
    confirmed = call.json_object().get("confirmed")
    if not isinstance(confirmed, bool):
        raise BadRequest("Bad Request: confirmed is missing or no boolean")
    gateway, reply_id = call.gateway, call.params["reply_id"]
    memory = gateway.session.memory
    pending = memory.pending
    if pending is None or pending.reply_id != reply_id:
        stale = memory.stale.get(reply_id)
        if stale is None:
            return refusal(400, f"reply id not found: '{reply_id}'")
        if gateway.venue.rules.is_stale_order_taken and confirmed and stale.modifies is None:
            memory.stale.pop(reply_id)
            take_unasked(gateway, stale.tickets)
        return refusal(503, "Service Unavailable")
    memory.pending = None
    note(gateway, "reply", pending.tickets[0], text="confirmed" if confirmed else "declined")
    if not confirmed:
        return Answer({"error": "Order not confirmed "})
    return go_on(gateway, pending.tickets, pending.questions[1:], pending.modifies)


def answer_prompt(call: Call) -> Answer:
    """Chooses an option of an advanced reject: the order is transmitted, whichever it is. A bare text comes back."""
    body = call.json_object()
    order_id, text = body.get("orderId"), body.get("text")
    order = call.gateway.venue.book.orders.get(order_id) if isinstance(order_id, int) else None
    is_asked = order is not None and order.status is Status.INACTIVE and order.cancel_reason == PROMPT
    if order is None or not is_asked or body.get("reqId") != request_id_of(order):
        raise BadRequest("Bad Request: orderId, reqId: no prompt waits for this")
    if text not in PROMPT_OPTIONS:
        raise BadRequest(f"Bad Request: text is not one of {', '.join(PROMPT_OPTIONS)}: {text}")
    call.gateway.venue.revive(order)
    if text == "Always use":
        call.gateway.session.memory.suppressed.add(PROMPT)
    return Answer("Request was submitted")


def cancel(call: Call) -> Answer:
    """Asks for a cancel; -1 means every live order. An order that did not work yet is gone at once."""
    account = check_account(call)
    venue = call.gateway.venue
    if call.params["order_id"] == "-1":
        for live in venue.book.live_orders():
            if live.is_live:
                venue.cancel(live, "")
        return Answer({"msg": "Request was submitted", "order_id": -1, "conid": -1, "account": None})
    order = _order(call)
    if order is None:
        return refusal(400, f"OrderID {call.params['order_id']} doesn't exist")
    if not order.is_live:
        return refusal(400, "Order is inactive")
    has_worked = order.status in (Status.SUBMITTED, Status.PENDING_CANCEL)
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


def _attached(gateway: Gateway, ticket: Ticket) -> Ticket:
    """A child that comes alone belongs to the live order of that cOID. Raises Refused."""
    for order in gateway.venue.book.live.values():
        if order.coid == ticket.parent_coid:
            return replace(ticket, parent_id=order.order_id)
    raise Refused(f"Order couldn't be submitted: parent order {ticket.parent_coid} is not found.")


def _order(call: Call) -> VenueOrder | None:
    number = read_digits(call.params["order_id"])
    return None if number is None else call.gateway.venue.book.orders.get(number)


def _make_stale(gateway: Gateway) -> None:
    memory = gateway.session.memory
    if memory.pending is not None:
        memory.stale[memory.pending.reply_id] = memory.pending
        memory.pending = None
