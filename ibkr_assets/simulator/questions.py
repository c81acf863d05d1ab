"""The questions IBKR asks before it takes an order, in its own words, and the one that waits for an answer.

Clients know questions by their text, so the texts are IBKR's. Where a question is kept and how it is answered over
HTTP is `sessions` and `face.orders`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal

from ibkr_assets.simulator.tickets import Ticket

PRICE_PERCENTAGE = Decimal("0.03")
SIZE_LIMIT = Decimal(500)
VALUE_LIMIT_USD = Decimal(100_000)
_ARE_YOU_SURE = "\nAre you sure you want to submit this order?"


@dataclass(frozen=True, slots=True)
class Question:
    """IBKR's id of the kind of question, and its text."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """The question that was asked, those that follow, and what it is about: a new order or a change of one."""

    reply_id: str
    ticket: Ticket
    questions: tuple[Question, ...]
    modifies: int | None

    @property
    def asked(self) -> Question:
        """The question that waits."""
        return self.questions[0]


def reply_id_of(seed: int, number: int) -> str:
    """A question's id: the same for the same seed and the same number of questions before."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}/{number}"))


def questions_about(
    ticket: Ticket, listing: str, last: Decimal, *, has_market_data: bool, suppressed: set[str]
) -> tuple[Question, ...]:
    """What IBKR wants to know before it takes this order, in its order: price, size, value, market data.

    `listing` is symbol and exchange; `last` the newest price in USD, zero where there is none.
    """
    limit = ticket.price
    words = f"{ticket.side} {ticket.quantity} {listing} @ {'MKT' if limit is None else limit}"
    found = []
    if limit is not None and last and abs(limit / last - 1) > PRICE_PERCENTAGE:
        text = f'The following order "{words}" price exceeds \nthe Percentage constraint of 3%.'
        found.append(Question("o163", text + _ARE_YOU_SURE))
    if ticket.quantity > SIZE_LIMIT:
        text = f'The following order "{words}" size exceeds the Size Limit of {SIZE_LIMIT}.'
        found.append(Question("o383", text + _ARE_YOU_SURE))
    value = ticket.quantity * (limit or last)
    if value > VALUE_LIMIT_USD:
        text = (
            f'The following order "{words}" value estimate of {value:,.2f} USD exceeds \n'
            f"the Total Value Limit of {VALUE_LIMIT_USD:,} USD."
        )
        found.append(Question("o451", text + _ARE_YOU_SURE))
    if not has_market_data:
        text = (
            "You are submitting an order without market data. We strongly recommend against this as it may result in "
            "erroneous and unexpected trades."
        )
        found.append(Question("o354", text + _ARE_YOU_SURE))
    return tuple(question for question in found if question.message_id not in suppressed)
