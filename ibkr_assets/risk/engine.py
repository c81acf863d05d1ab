"""From an intent to `Approved` or `Denied`, with every number that was used.

What goes here: the two outcomes and the loop over the rules. What does not: the rules themselves (`risk.rules`)
and the facts they are given (`risk.facts`). No rule can be left out, and none stops the others from being heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.rules import RULES

__all__ = ["Approved", "Decision", "Denied", "Exposure", "Facts", "Finding", "Limits", "review"]


@dataclass(frozen=True, slots=True)
class Approved:
    """Every rule passed."""

    intent: OrderIntent
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """At least one rule failed; `code` and `text` are the first that did, `findings` are all of them."""

    intent: OrderIntent
    code: str
    text: str
    findings: tuple[Finding, ...]


Decision = Approved | Denied


def review(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Decision:
    """Hear every rule. A rule that cannot be evaluated denies; nothing is raised for what an intent contains."""
    findings = []
    for code, rule in RULES.items():
        try:
            finding = rule(intent, facts, exposure, limits)
        except ArithmeticError as error:
            finding = Finding(code, is_passed=False, numbers={}, text=f"cannot be evaluated: {type(error).__name__}")
        findings.append(finding)
    failed = next((finding for finding in findings if not finding.is_passed), None)
    if failed is None:
        return Approved(intent, tuple(findings))
    return Denied(intent, failed.code, failed.text, tuple(findings))
