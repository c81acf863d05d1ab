"""What the broker's questions are answered: a policy by message id, and no by default.

What goes here: judging one question about one order, purely. What does not: sending the answer (`submit`). Questions
are never suppressed: that would hide a control, and lasts only for a session.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ibkr_assets.domain.broker import Question, Quote
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.price import judge_collar

#: Questions in a row about one order; a longer chain is declined.
MAX_CHAIN = 4
_AGREEMENT = Decimal("0.01")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_ORDER_WORDS = re.compile(r"\b(BUY|SELL|BOT|SLD)\s+(\d[\d,]*(?:\.\d+)?)\s+([A-Z][A-Z0-9.]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a question, and why. `is_alarming`: no policy expects such a question."""

    is_confirmed: bool
    reason: str
    is_alarming: bool = False


@dataclass(frozen=True, slots=True)
class Standards:
    """What a confirmation is held against: the newest quote and our own limits (USD, fraction)."""

    quote: Quote | None
    max_order_value_usd: Decimal
    price_collar_fraction: Decimal


def judge(question: Question, intent: OrderIntent, standards: Standards, *, depth: int) -> Verdict:
    """Answer a question; `depth` counts the questions about this order, from 1.

    Confirmed only when every message id has a policy that says so and the text is about this very order.
    """
    if depth > MAX_CHAIN:
        return Verdict(is_confirmed=False, reason=f"more than {MAX_CHAIN} questions in a row", is_alarming=True)
    if not question.message_ids:
        return Verdict(is_confirmed=False, reason="a question without a message id", is_alarming=True)
    text = " ".join(question.texts)
    problem = _names_another_order(text, intent)
    is_alarming = problem is not None or not _POLICIES.keys() >= set(question.message_ids)
    for message_id in question.message_ids:
        policy = _POLICIES.get(message_id)
        if problem is None:
            problem = (
                f"{message_id} is not a question to confirm" if policy is None else policy(text, intent, standards)
            )
    ids = ", ".join(question.message_ids)
    if problem is not None:
        return Verdict(is_confirmed=False, reason=f"declined {ids}: {problem}", is_alarming=is_alarming)
    return Verdict(is_confirmed=True, reason=f"confirmed {ids}")


def _names_another_order(text: str, intent: OrderIntent) -> str | None:
    for side, quantity, symbol in _ORDER_WORDS.findall(text):
        said_side = {"BOT": "BUY", "SLD": "SELL"}.get(side.upper(), side.upper())
        if said_side != intent.side or _number(quantity) != intent.quantity or symbol.upper() != intent.symbol:
            return f"the question is about {side} {quantity} {symbol}"
    return None


def _within_collar(text: str, intent: OrderIntent, standards: Standards) -> str | None:
    del text
    return judge_collar(intent, standards.quote, standards.price_collar_fraction).text or None


def _value_agrees(text: str, intent: OrderIntent, standards: Standards) -> str | None:
    value = intent.quantity * (intent.limit_price or intent.reference_price)
    if not any(_agrees(number, value) for number in _numbers(text)):
        return f"the text does not name our value of {value}"
    return _within_value_limit(value, standards)


def _size_agrees(text: str, intent: OrderIntent, standards: Standards) -> str | None:
    if not any(_agrees(number, intent.quantity) for number in _numbers(text)):
        return f"the text does not name our quantity of {intent.quantity}"
    return _within_value_limit(intent.quantity * (intent.limit_price or intent.reference_price), standards)


def _within_value_limit(value: Decimal, standards: Standards) -> str | None:
    if value > standards.max_order_value_usd:
        return f"value {value} is over our own limit of {standards.max_order_value_usd}"
    return None


def _always(text: str, intent: OrderIntent, standards: Standards) -> str | None:
    del text, intent, standards
    return None


def _marketable_limit(text: str, intent: OrderIntent, standards: Standards) -> str | None:
    if intent.limit_price is None:
        return "only a limit order may fill at once"
    return _within_collar(text, intent, standards)


def _numbers(text: str) -> list[Decimal]:
    return [_number(found) for found in _NUMBER.findall(text)]


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def _agrees(said: Decimal, ours: Decimal) -> bool:
    return abs(said - ours) <= ours * _AGREEMENT


#: By IBKR's message id: None to confirm, or what speaks against it. Whatever is not here is declined: o354 (no
#: market data), o382 (tick size: our mistake), cash quantity, stop and market order warnings, allocations.
_POLICIES: dict[str, Callable[[str, OrderIntent, Standards], str | None]] = {
    "o163": _within_collar,
    "o451": _value_agrees,
    "o383": _size_agrees,
    "o403": _marketable_limit,
    "o10153": _always,
}
