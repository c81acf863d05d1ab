"""The rule in disguise: what the stand-in says about the facts that it finds in a prompt.

What goes here: reading facts and a fixed rule over them. What does not: the form of an answer (`forms`) and how it may
go wrong (`profiles`). It looks at no picture and at no outside text, and understands nothing: it agrees with what it
is told a rule wants as far as the last changes of the close point the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

#: A fact on a line of its own, as JSON.
_LINE = re.compile(r'^\{"id": ?".*\}$', re.MULTILINE)
#: Too far gone to follow, by the relative strength index.
_TOO_HIGH, _TOO_LOW = 80.0, 20.0


def text_of(messages: Sequence[Mapping[str, Any]], *roles: str) -> str:
    """What messages of these roles say, without pictures."""
    said: list[str] = []
    for message in messages:
        content = message.get("content")
        if message.get("role") not in roles or content is None:
            continue
        parts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
        said += parts
    return "\n".join(said)


def read_facts(text: str) -> dict[str, str | float]:
    """Values by id, from lines of JSON with `id` and `value`; the first of an id counts."""
    facts: dict[str, str | float] = {}
    for match in _LINE.finditer(text):
        try:
            line = json.loads(match.group())
        except json.JSONDecodeError:
            continue
        value = line.get("value")
        if isinstance(line.get("id"), str) and isinstance(value, str | float | int) and not isinstance(value, bool):
            facts.setdefault(line["id"], value)
    return facts


def judge(facts: Mapping[str, str | float]) -> dict[str, Any]:
    """An answer as values by name: direction, strength, confidence, horizon_days, reasons and evidence."""
    wanted = facts.get("rule_direction")
    sign = {"long": 1, "short": -1}.get(str(wanted), 0)
    changes = {name: value for name, value in _numbers(facts).items() if name.startswith("close_change_")}
    if not sign or not changes:
        used = [*facts][:1]
        return _answer("flat", 0.0, 0.0, "There is no direction to agree with.", used)
    index = next((item for item in _numbers(facts).items() if item[0].startswith("rsi_")), None)
    if index is not None and (index[1] > _TOO_HIGH if sign > 0 else index[1] < _TOO_LOW):
        said = f"The relative strength index is {index[1]:g}: too far gone to follow."
        return _answer("flat", 0.0, 0.7, said, ["rule_direction", index[0]])
    agreeing = [name for name, value in changes.items() if value * sign > 0]
    share = round(len(agreeing) / len(changes), 2)
    if not agreeing:
        said = "No change of the close points the way the rule wants."
        return _answer("flat", 0.0, 0.6, said, ["rule_direction", *changes])
    said = f"{', '.join(agreeing)} {'points' if len(agreeing) == 1 else 'point'} the way the rule wants."
    return _answer(str(wanted), sign * share, round(0.4 + 0.4 * share, 2), said, ["rule_direction", *agreeing])


def _numbers(facts: Mapping[str, str | float]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in facts.items():
        try:
            numbers[name] = float(value)
        except ValueError:
            continue
    return numbers


def _answer(direction: str, strength: float, confidence: float, reasons: str, evidence: list[str]) -> dict[str, Any]:
    return {
        "direction": direction,
        "strength": strength,
        "confidence": confidence,
        "horizon_days": 5,
        "reasons": reasons,
        "evidence": evidence,
    }
