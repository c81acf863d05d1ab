"""The questions IBKR asks before it takes an order, in its own words, and the one that waits for an answer.

Clients know questions by their text, so the texts are IBKR's. Limits and switches are in `venue_rules`; where a
question is kept is `session_memory`, and how it is answered over HTTP `face.order_rounds`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from ibkr_assets.simulator.tickets import Ticket
from ibkr_assets.simulator.ticks import tick_at
from ibkr_assets.simulator.venue_order import STOP_TYPES, VenueOrder
from ibkr_assets.simulator.venue_rules import VenueRules

_ARE_YOU_SURE = "\nAre you sure you want to submit this order?"
_NO_MARKET_DATA = (
    "You are submitting an order without market data. We strongly recommend against this as it may result in "
    "erroneous and unexpected trades."
)
_WILL_TRIGGER = "This order will most likely trigger and fill immediately."
_STOP_RISKS = (
    "You are about to submit a stop order. Please be aware of the various stop order types available and the risks "
    "associated with each one."
)
_CASH = (
    "Traders are responsible for understanding cash quantity details, which are provided on a best efforts basis only."
)
_SIZE_CHANGE = "The following order size modification exceeds the size modification limit."
_MARKET_ORDER = "A Market Order is an instruction to trade your order at any available price in the market."
_STOP_VARIANT = (
    "A Stop Order - i.e. a Stop (Market) Order - is an instruction to buy or sell at the market price once your "
    'trigger ("stop") price is reached.'
)
_CAP_PRICE = (
    "<h4>Confirm Mandatory Cap Price</h4>To avoid trading at a price that is not consistent with a fair and orderly "
    "market, IB may set a cap (for a buy order) or sell order). THIS MAY CAUSE AN ORDER THAT WOULD OTHERWISE BE "
    "MARKETABLE TO NOT BE TRADED."
)
_CASH_ORDER = (
    "<h4>Cash Quantity Order Confirmation</h4>Orders that express size using a monetary value (cash quantity) are "
    "provided on a non-guaranteed basis."
)
_CROSS_SIDE = "Cross side order warning"
#: Asked only where `VenueRules.asked` names them. The last is no question but an advanced reject that can be answered.
ON_DEMAND = ("o10151", "o10152", "o10153", "o10223", "o2137", "p12")
PROMPT = "p12"
PROMPT_OPTIONS = ("Use on this order", "Always use", "Do not use")
PROMPT_TEXT = (
    "If your order is not immediately executable, our systems may, depending on market conditions, reject your order "
    "if its limit price is more than the allowed amount away from the reference price at that time. If this happens, "
    "you will not receive a fill. This is a control designed to ensure that we comply with our regulatory obligations "
    "to avoid submitting disruptive orders to the marketplace.\nUse the Price Management Algo?"
)


@dataclass(frozen=True, slots=True)
class Question:
    """IBKR's id of the kind of question, and its text."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """The question that was asked, those that follow, and what it is about: new orders or a change of one."""

    reply_id: str
    tickets: tuple[Ticket, ...]
    questions: tuple[Question, ...]
    modifies: int | None

    @property
    def asked(self) -> Question:
        """The question that waits."""
        return self.questions[0]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a question depends on besides the ticket.

    `listing` is symbol and exchange; `last` the newest price in USD, zero where there is none; `has_opposite`
    whether an order for the other side of the contract works; `replaced` the order that is changed.
    """

    listing: str
    last: Decimal
    has_market_data: bool
    has_opposite: bool = False
    replaced: VenueOrder | None = None


def reply_id_of(seed: int, number: int) -> str:
    """A question's id: the same for the same seed and the same number of questions before."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}/{number}"))


def questions_about(
    ticket: Ticket, about: Surroundings, rules: VenueRules, suppressed: set[str]
) -> tuple[Question, ...]:
    """What IBKR wants to know before it takes this order, in order: price, size, value, market data, then its kind."""
    found = (*_precautions(ticket, about, rules), *_risks(ticket, about, rules))
    return tuple(Question(i, text) for i, text in found if i not in suppressed)


def _precautions(ticket: Ticket, about: Surroundings, rules: VenueRules) -> Iterator[tuple[str, str]]:
    limit, last = ticket.price, about.last
    words = f"{ticket.side} {ticket.quantity} {about.listing} @ {'MKT' if limit is None else limit}"
    is_limit = limit is not None and ticket.order_type not in ("STP", "TRAIL")
    if is_limit and limit is not None and last and abs(limit / last - 1) > rules.price_fraction:
        constraint = f"the Percentage constraint of {rules.price_fraction:.0%}."
        yield "o163", f'The following order "{words}" price exceeds \n{constraint}{_ARE_YOU_SURE}'
    ticks_off = abs(limit - last) / tick_at(last) if is_limit and limit is not None and last else 0
    if rules.tick_limit and ticks_off > rules.tick_limit:
        text = f'The following order "{words}" price exceeds the Tick Size Limit of {rules.tick_limit}.'
        yield "o382", text + _ARE_YOU_SURE
    if ticket.quantity > rules.size_limit:
        yield "o383", f'The following order "{words}" size exceeds the Size Limit of {rules.size_limit}.{_ARE_YOU_SURE}'
    value = ticket.quantity * (limit or last)
    if value > rules.value_limit_usd:
        text = (
            f'The following order "{words}" value estimate of {value:,.2f} USD exceeds \n'
            f"the Total Value Limit of {rules.value_limit_usd:,} USD."
        )
        yield "o451", text + _ARE_YOU_SURE
    if about.replaced is not None and abs(ticket.quantity - about.replaced.quantity) > rules.size_limit:
        yield "o10138", _SIZE_CHANGE + _ARE_YOU_SURE
    if not about.has_market_data:
        yield "o354", _NO_MARKET_DATA + _ARE_YOU_SURE


def _risks(ticket: Ticket, about: Surroundings, rules: VenueRules) -> Iterator[tuple[str, str]]:
    is_stop = ticket.order_type in STOP_TYPES
    if is_stop:
        stop = ticket.price if ticket.order_type in ("STP", "TRAIL") else ticket.aux_price
        if stop is not None and about.last and (about.last - stop) * (1 if ticket.side == "BUY" else -1) >= 0:
            yield "o403", _WILL_TRIGGER + _ARE_YOU_SURE
        if about.replaced is None:
            yield "o10331", _STOP_RISKS + _ARE_YOU_SURE
    if ticket.cash is not None:
        yield "o10164", _CASH + _ARE_YOU_SURE
    fits = {
        "o10151": ticket.order_type in ("MKT", "MOC"), "o10152": is_stop, "o10153": ticket.order_type == "MKT",
        "o10223": ticket.cash is not None, "o2137": about.has_opposite,
    }  # fmt: skip
    texts = {
        "o10151": _MARKET_ORDER, "o10152": _STOP_VARIANT, "o10153": _CAP_PRICE, "o10223": _CASH_ORDER,
        "o2137": _CROSS_SIDE,
    }  # fmt: skip
    for message_id, text in texts.items():
        if message_id in rules.asked and fits[message_id]:
            yield message_id, text + _ARE_YOU_SURE


def is_prompted(ticket: Ticket, last: Decimal, rules: VenueRules, suppressed: set[str]) -> bool:
    """Whether a limit order that cannot trade at once is handed back with the offer to manage its price."""
    if PROMPT not in rules.asked or PROMPT in suppressed or ticket.order_type != "LMT" or ticket.price is None:
        return False
    return ticket.price < last if ticket.side == "BUY" else ticket.price > last
