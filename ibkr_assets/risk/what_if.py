"""Past decisions reviewed again by other limits, from the facts that were stored with each.

What goes here: the second review and what it comes to. What does not: reading the ledger (`adapters.postgres.limits`).
Each decision is judged alone, everything before it taken as it happened: an order that other limits would have denied
still counts in the exposure of those after it. Only the rules that were heard then are heard again. Nothing is made up:
where they do not find again, by the stored facts and limits, what was decided then, the decision cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.domain.plain import from_plain
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.engine import hear
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.rules import RULES, Heard
from ibkr_assets.risk.stored import read_limits


class Answer(StrEnum):
    """What other limits would have made of a decision."""

    SAME = "as it was"
    DENIED = "would be denied"
    APPROVED = "would be approved"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision of the ledger. `limits`, `facts` and `exposure` are as stored JSON; None where none were stored.

    `heard` is when: before approval, or right before the order would have left.
    """

    intent: OrderIntent
    client_order_id: str
    is_approved: bool
    findings: tuple[Finding, ...]
    limits: Any
    facts: Any
    exposure: Any
    heard: Heard = Heard.APPROVAL


@dataclass(frozen=True, slots=True)
class SecondReview:
    """What came of it. `code` and `text` are of the denial that would be new, that would go, or of what is missing."""

    past: PastDecision
    answer: Answer
    code: str
    text: str

    @property
    def notional_usd(self) -> Decimal:
        """Quantity at the limit price, or at the reference price of an order without one."""
        intent = self.past.intent
        return intent.quantity * (intent.limit_price or intent.reference_price)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many decisions of one answer and code, and what they were worth."""

    answer: Answer
    code: str
    decisions: int
    notional_usd: Decimal


def review_again(past: PastDecision, change: Callable[[Limits], Limits]) -> SecondReview:
    """Review a past decision by the limits that `change` makes of those it was made by."""
    for name in ("limits", "facts", "exposure"):
        if getattr(past, name) is None:
            return SecondReview(past, Answer.UNKNOWN, "not_stored", f"the {name} of this decision were not stored")
    try:
        limits = read_limits(past.limits)
        facts, exposure = from_plain(Facts, past.facts), from_plain(Exposure, past.exposure)
    except (DataError, ValueError, TypeError, InvalidOperation) as error:
        return SecondReview(past, Answer.UNKNOWN, "not_stored", f"what was stored cannot be read: {error}")
    gone = sorted(finding.code for finding in past.findings if finding.code not in RULES)
    if gone:
        return SecondReview(past, Answer.UNKNOWN, "other_rules", f"there are no such rules any more: {', '.join(gone)}")
    heard = [RULES[DenialCode(finding.code)] for finding in past.findings]
    by_its_own = hear(heard, past.intent, facts, exposure, limits)
    differing = sorted(_failed(by_its_own) ^ _failed(past.findings))
    if differing:
        text = f"by its own limits today's rules find it otherwise: {', '.join(differing)}"
        return SecondReview(past, Answer.UNKNOWN, "other_rules", text)
    again = hear(heard, past.intent, facts, exposure, change(limits))
    first = next((finding for finding in again if not finding.is_passed), None)
    if first is not None:
        return SecondReview(past, Answer.DENIED if past.is_approved else Answer.SAME, first.code, first.text)
    if past.is_approved:
        return SecondReview(past, Answer.SAME, "", "")
    lifted = next(finding for finding in past.findings if not finding.is_passed)
    return SecondReview(past, Answer.APPROVED, lifted.code, lifted.text)


def sum_up(reviews: Iterable[SecondReview]) -> list[Sum]:
    """Counts and worth by answer and code, in the order of the answers, then of the codes."""
    totals: dict[tuple[Answer, str], tuple[int, Decimal]] = {}
    for found in reviews:
        key = (found.answer, found.code)
        decisions, worth = totals.get(key, (0, Decimal(0)))
        totals[key] = decisions + 1, worth + found.notional_usd
    order = list(Answer)
    return [Sum(*key, *totals[key]) for key in sorted(totals, key=lambda key: (order.index(key[0]), key[1]))]


def parse_changes(texts: Iterable[str]) -> Callable[[Limits], Limits]:
    """Changes of limits from texts like `max_order_value_usd=5000`; symbols by comma, sectors as `IBM:tech,...`.

    Raises InputError naming the text.
    """
    known = {item.name for item in fields(Limits)}
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise InputError(f"set {text!r}: expected LIMIT=VALUE, with a limit of {', '.join(sorted(known))}")
        changes[name] = _value(name, value)
    try:
        read = read_limits(changes)
    except DataError as error:
        raise InputError(f"set: {error}") from None
    values = {name: getattr(read, name) for name in changes}
    for name, value in values.items():
        if isinstance(value, Decimal | int) and not (Decimal(value).is_finite() and value >= 0):
            raise InputError(f"set {name}={value}: must be a number, not below zero")
    return lambda limits: replace(limits, **values)


def _value(name: str, text: str) -> Any:
    if name == "allowed_symbols":
        return [symbol.strip().upper() for symbol in text.split(",") if symbol.strip()]
    if name == "sectors":
        return dict(pair.split(":", 1) for pair in text.split(",") if ":" in pair)
    return {"true": True, "false": False}.get(text.lower(), text)


def _failed(findings: Iterable[Finding]) -> set[str]:
    return {finding.code for finding in findings if not finding.is_passed}
