"""The review of an order held again, on the facts, the exposure and the limits that were stored with it.

What goes here: hearing the rules that were heard then and comparing each with what it said. What does not: the stages
before (`execution.replay`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ibkr_assets.domain.lineage import Difference, first_difference
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.domain.plain import from_plain, to_plain
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.engine import hear, named_at_departure
from ibkr_assets.risk.facts import Exposure, Facts
from ibkr_assets.risk.rules import RULES
from ibkr_assets.risk.stored import read_limits

_DECIMAL = re.compile(r"-?\d+\.\d+")


def compare_review(document: Mapping[str, Any], name: str) -> Difference | None:
    """Each rule's answer with every number it used, then what came of them; `name` is the review's in the document."""
    risk = document[name]
    intent = from_plain(OrderIntent, document["order"])
    facts, exposure = from_plain(Facts, risk["facts"]), from_plain(Exposure, risk["exposure"])
    rules = [RULES[DenialCode(finding["code"])] for finding in risk["findings"]]
    findings = hear(rules, intent, facts, exposure, read_limits(risk["limits"]))
    found = [to_plain(finding) for finding in findings]
    for stored, computed in zip(risk["findings"], found, strict=True):
        different = first_difference(name, _flat(stored), _flat(computed))
        if different is not None:
            return different
    first = next((finding for finding in findings if not finding.is_passed), None)
    failed = named_at_departure(findings) if name == "departure" else first
    outcome = {
        "is_approved": failed is None,
        "code": "" if failed is None else failed.code,
        "text": "" if failed is None else _by_value(failed.text),
    }
    return first_difference(name, {**{key: risk[key] for key in outcome}, "text": _by_value(risk["text"])}, outcome)


def _flat(finding: Mapping[str, Any]) -> dict[str, Any]:
    code = finding["code"]
    numbers = {f"{code}.{name}": _by_value(value) for name, value in finding["numbers"].items()}
    return numbers | {f"{code}.is_passed": finding["is_passed"], f"{code}.text": _by_value(finding["text"])}


def _by_value(text: str) -> str:
    """Numbers in a text count by what they are worth: the ledger keeps 206 with the zeros of its column."""
    return _DECIMAL.sub(lambda number: f"{Decimal(number.group()).normalize():f}", text)
