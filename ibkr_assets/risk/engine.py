"""From an intent to `Approved` or `Denied`, with every number that was used.

What goes here: the outcomes and the loop over the rules. What does not: the rules themselves (`risk.rules`)
and the facts they are given (`risk.facts`). No rule can be left out, and none stops the others from being heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.rules import APPROVAL, DEPARTURE, RULES, Rule

__all__ = [
    "Approved", "Decision", "Denied", "Exposure", "Facts", "Finding", "Limits", "Refusal", "hear", "review",
    "review_departure",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Approved:
    """Every rule passed. `facts` are what they were asked of, to be stored with the decision, as are the `limits`."""

    intent: OrderIntent
    findings: tuple[Finding, ...]
    facts: Facts | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """At least one rule failed; `code` and `text` are the first that did, `findings` are all of them.

    `is_patient` at departure: only such rules failed as pass by themselves, so the order may wait.
    """

    intent: OrderIntent
    code: str
    text: str
    findings: tuple[Finding, ...]
    facts: Facts | None = None
    limits: Limits | None = None
    is_patient: bool = False


Decision = Approved | Denied


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denial at departure, what it was told of the account's orders, and the market time (aware UTC)."""

    denied: Denied
    exposure: Exposure
    market_at: datetime


def review(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Decision:
    """Hear every rule of an approval. One that cannot be evaluated denies; nothing is raised for what is contained."""
    return _decide(intent, facts, limits, hear(APPROVAL, intent, facts, exposure, limits))


def review_departure(
    intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits, *, rules: Sequence[Rule] = DEPARTURE
) -> Decision:
    """Hear every rule of a departure, as `review` does. A failure that lasts is named before one that passes.

    With `rules` only these: what must not be asked of the broker in vain is judged after all others.
    """
    findings = hear(rules, intent, facts, exposure, limits)
    failed = named_at_departure(findings)
    if failed is None:
        return Approved(intent, findings, facts, limits)
    is_patient = RULES[DenialCode(failed.code)].is_patient
    return Denied(intent, failed.code, failed.text, findings, facts, limits, is_patient=is_patient)


def named_at_departure(findings: Sequence[Finding]) -> Finding | None:
    """The failure that a denial at departure names: the first that lasts, or else the first; None where all passed."""
    failed = [finding for finding in findings if not finding.is_passed]
    return min(failed, key=lambda finding: RULES[DenialCode(finding.code)].is_patient, default=None)


def hear(
    rules: Sequence[Rule], intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits
) -> tuple[Finding, ...]:
    """What each of these rules says, in their order."""
    findings = []
    for rule in rules:
        try:
            finding = rule(intent, facts, exposure, limits)
        except ArithmeticError as error:
            text = f"cannot be evaluated: {type(error).__name__}"
            finding = Finding(str(rule.code), is_passed=False, numbers={}, text=text)
        findings.append(finding)
    return tuple(findings)


def _decide(intent: OrderIntent, facts: Facts, limits: Limits, findings: tuple[Finding, ...]) -> Decision:
    failed = [finding for finding in findings if not finding.is_passed]
    if not failed:
        return Approved(intent, findings, facts, limits)
    return Denied(intent, failed[0].code, failed[0].text, findings, facts, limits)
