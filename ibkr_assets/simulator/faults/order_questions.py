"""Faults of the questions between an order and its acceptance: chains, unknown ids, lost and misleading questions.

The broker's own questions are in `simulator.questions`; those of a fault come before them, at the next submission.
"""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import number, text, texts, whole
from ibkr_assets.simulator.faults.requests import has_order, ticket_of
from ibkr_assets.simulator.questions import Question
from ibkr_assets.simulator.tickets import Ticket

_SUBMIT, _REPLY = frozenset({"submit"}), frozenset({"reply"})
#: A question that a careful client may confirm: the order would fill at once.
_HARMLESS = "o403"
_ARE_YOU_SURE = "\nAre you sure you want to submit this order?"


def _asks(situation: Situation) -> None:
    """As many questions as `chain`, with the given ids over and over."""
    ids = situation.options["message_ids"]
    words = situation.options["text"] or _words(situation, ticket_of(situation).quantity)
    situation.gateway.extra_questions = tuple(
        Question(ids[number % len(ids)], words) for number in range(situation.options["chain"])
    )


def _asks_about_another(situation: Situation) -> None:
    quantity = ticket_of(situation).quantity * Decimal(str(situation.options["factor"]))
    message_id = situation.options["message_ids"][0]
    situation.gateway.extra_questions = (Question(message_id, _words(situation, quantity.quantize(Decimal(1)))),)


def _is_made_stale(situation: Situation) -> None:
    memory = situation.gateway.session.memory
    if memory.pending is not None:
        memory.stale[memory.pending.reply_id] = memory.pending
        memory.pending = None


def _words(situation: Situation, quantity: Decimal) -> str:
    ticket: Ticket = ticket_of(situation)
    contract = situation.gateway.tape.contracts[ticket.conid]
    price = "MKT" if ticket.price is None else ticket.price
    order = f"{ticket.side} {quantity} {contract.symbol} {contract.order_exchange} @ {price}"
    return f'The following order "{order}" would trigger and fill immediately.{_ARE_YOU_SURE}'


FAULTS = (
    Fault(
        "F14", "questions, in a chain or with unknown ids", Kind.BEFORE, _SUBMIT, _asks,
        {"chain": whole(1, least=1, most=5), "message_ids": texts((_HARMLESS,)), "text": text(None)}, has_order,
    ),
    Fault(
        "F16", "a question is open when the client ends", Kind.BEFORE, _SUBMIT, _asks,
        {"chain": whole(1, least=1, most=5), "message_ids": texts((_HARMLESS,)), "text": text(None)}, has_order,
    ),
    Fault("F17", "another order makes the question stale", Kind.BEFORE, _REPLY, _is_made_stale),
    Fault(
        "F18", "a question about another quantity", Kind.BEFORE, _SUBMIT, _asks_about_another,
        {"factor": number(10.0), "message_ids": texts((_HARMLESS,))}, has_order,
    ),
)  # fmt: skip
