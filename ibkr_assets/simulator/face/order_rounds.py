"""From tickets to orders: refuse, ask, take. One round may hold one order, a change, a bracket or a group.

Every answer to a submission, a modification and a reply is made here. Reading requests is `tickets`' and `orders`'
work; whether an order can be taken is the venue's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ibkr_assets.simulator.answers import Answer
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.questions import (
    PROMPT,
    PROMPT_OPTIONS,
    PROMPT_TEXT,
    PendingQuestion,
    Question,
    Surroundings,
    is_prompted,
    questions_about,
    reply_id_of,
)
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tickets import DuplicateCoid, Refused, Ticket
from ibkr_assets.simulator.venue_order import VenueOrder

T = TypeVar("T")


def consider(gateway: Gateway, tickets: tuple[Ticket, ...], order: VenueOrder | None) -> Answer:
    """Refuse, ask, or take: in this order. Of several orders, only a repeated cOID refuses all."""
    questions = gateway.extra_questions + questions_of(gateway, tickets, order)
    if len(tickets) > 1:
        refused = next((r for r in (_refuse_repeated(gateway, t) for t in tickets) if r is not None), None)
    elif questions:
        # Without a question the venue checks the order as it takes it.
        checked = _guard(gateway, tickets[0], lambda: gateway.venue.check(tickets[0], replacing=order))
        refused = checked if isinstance(checked, Answer) else None
    else:
        refused = None
    if refused is not None:
        return refused
    gateway.extra_questions = ()
    return go_on(gateway, tickets, questions, None if order is None else order.order_id)


def go_on(
    gateway: Gateway, tickets: tuple[Ticket, ...], questions: tuple[Question, ...], modifies: int | None
) -> Answer:
    """Ask the first of the questions, or do what was asked for."""
    if questions:
        return _ask(gateway, tickets, questions, modifies)
    if modifies is not None:
        return _change(gateway, tickets[0], gateway.venue.book.orders[modifies])
    if len(tickets) > 1:
        return Answer(_take_legs(gateway, tickets))
    ticket = tickets[0]
    if is_prompted(ticket, gateway.venue.last_price(ticket.conid), gateway.venue.rules, _suppressed(gateway)):
        refused = _guard(gateway, ticket, lambda: gateway.venue.check(ticket))
        return refused if isinstance(refused, Answer) else _prompt(gateway, ticket)
    taken = _guard(gateway, ticket, lambda: gateway.venue.submit(ticket))
    return taken if isinstance(taken, Answer) else Answer([_row(taken)])


def questions_of(gateway: Gateway, tickets: tuple[Ticket, ...], order: VenueOrder | None) -> tuple[Question, ...]:
    """What these orders are asked about, each kind of question once."""
    found: dict[str, Question] = {}
    venue = gateway.venue
    for ticket in tickets:
        contract = gateway.tape.contracts[ticket.conid]
        about = Surroundings(
            f"{contract.symbol} {contract.order_exchange}", venue.last_price(ticket.conid),
            ticket.conid in gateway.session.memory.streams,
            any(o.conid == ticket.conid and o.side != ticket.side for o in venue.book.live.values()), order,
        )  # fmt: skip
        for question in questions_about(ticket, about, venue.rules, _suppressed(gateway)):
            found.setdefault(question.message_id, question)
    return tuple(found.values())


def note(gateway: Gateway, event: str, ticket: Ticket, *, text: str) -> None:
    """Write down what was decided about a ticket that is no order yet."""
    venue = gateway.venue
    venue.record(
        Record(
            event, venue.now, ticket.coid, None, gateway.options.account, ticket.conid, ticket.side, ticket.quantity,
            ticket.price, detail={"text": text},
        )
    )  # fmt: skip


def _take_legs(gateway: Gateway, tickets: tuple[Ticket, ...]) -> list[dict[str, Any]]:
    """One row a leg: legs are taken or refused one by one. Without their parent, children are kept as Inactive."""
    venue = gateway.venue
    is_group = tickets[0].group is not None
    number = str(venue.next_order_id())
    rows: list[dict[str, Any]] = []
    parent: VenueOrder | None = None
    for i, ticket in enumerate(tickets):
        leg = replace(ticket, group=number) if is_group else ticket
        if i and not is_group:
            if parent is None:
                rows.append(_row(venue.shelve(leg, "the parent order was refused")))
                continue
            leg = replace(leg, parent_id=parent.order_id)
        taken = _guard(gateway, leg, lambda leg=leg: venue.submit(leg))  # type: ignore[misc]
        if isinstance(taken, Answer):
            text = taken.body["error"]
            rows.append({"order_id": "-1", "order_status": "Failed", "text": text, "warning_message": text})
        else:
            parent = taken if i == 0 else parent
            rows.append(_row(taken))
    return rows


def _change(gateway: Gateway, ticket: Ticket, order: VenueOrder) -> Answer:
    if not order.is_live:
        return Answer({"error": "Order is inactive"})
    refused = _guard(gateway, ticket, lambda: gateway.venue.modify(order, ticket))
    return refused if isinstance(refused, Answer) else Answer([_row(order)])


def _row(order: VenueOrder) -> dict[str, Any]:
    row = {"order_id": str(order.order_id), "order_status": order.status.value, "encrypt_message": "1"}
    if order.coid is not None:
        row["local_order_id"] = order.coid
    if order.parent_id is not None:
        row["parent_order_id"] = str(order.parent_id)
    return row


def _refuse_repeated(gateway: Gateway, ticket: Ticket) -> Answer | None:
    checked = _guard(gateway, ticket, lambda: gateway.venue.check_coid(ticket))
    return checked if isinstance(checked, Answer) else None


def _guard(gateway: Gateway, ticket: Ticket, act: Callable[[], T]) -> T | Answer:
    """Do it; or write down why not, and say so."""
    try:
        return act()
    except Refused as refused:
        is_duplicate = isinstance(refused, DuplicateCoid)
        note(gateway, "dup_refused" if is_duplicate else "reject", ticket, text=str(refused))
        return Answer({"error": str(refused)}, gateway.options.duplicate_status if is_duplicate else 200)


def _ask(
    gateway: Gateway, tickets: tuple[Ticket, ...], questions: tuple[Question, ...], modifies: int | None
) -> Answer:
    reply_id = reply_id_of(gateway.options.seed, gateway.venue.book.question_count)
    pending = PendingQuestion(reply_id, tickets, questions, modifies)
    gateway.session.memory.pending = pending
    note(gateway, "question", tickets[0], text=pending.asked.message_id)
    return Answer(
        [
            {
                "id": reply_id, "message": [pending.asked.text], "isSuppressed": False,
                "messageIds": [pending.asked.message_id], "messageOptions": ["Yes", "No"],
            }
        ]
    )  # fmt: skip


def _prompt(gateway: Gateway, ticket: Ticket) -> Answer:
    """IBKR's advanced reject: the order is known and Inactive until one of the options is chosen."""
    order = gateway.venue.shelve(ticket, PROMPT)
    return Answer(
        {
            "orderId": order.order_id, "reqId": request_id_of(order), "dismissable": [], "text": PROMPT_TEXT,
            "options": list(PROMPT_OPTIONS), "type": "M", "messageId": PROMPT, "prompt": True,
        }
    )  # fmt: skip


def request_id_of(order: VenueOrder) -> str:
    """The id by which an answer to an order's prompt is told from others."""
    return str(order.order_id)[-5:]


def _suppressed(gateway: Gateway) -> set[str]:
    return gateway.session.memory.suppressed


def take_unasked(gateway: Gateway, tickets: Sequence[Ticket]) -> None:
    """Let orders go live that nobody confirmed, as a stale question's sometimes do; a refusal changes nothing."""
    go_on(gateway, tuple(tickets), (), None)
