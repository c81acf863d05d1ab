"""What one rule answers, and how rules say it: passed, or denied in words, always with the numbers.

What goes here: the value and the few ways to make one. What does not: any rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)
Number = Decimal | int


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule said, with the numbers it used, as text so that they are stored exactly."""

    code: str
    is_passed: bool
    numbers: dict[str, str]
    text: str = ""


def show(**values: object) -> dict[str, str]:
    """Numbers as a finding keeps them."""
    return {name: str(value) for name, value in values.items()}


def answer(code: str, numbers: dict[str, str], text: str, *, is_passed: bool) -> Finding:
    """A finding; `text` is what a denial says."""
    return Finding(str(code), is_passed=is_passed, numbers=numbers, text="" if is_passed else text)


def denied(code: str, numbers: dict[str, str], text: str) -> Finding:
    """A denial."""
    return Finding(str(code), is_passed=False, numbers=numbers, text=text)


def unknown(code: str, numbers: dict[str, str]) -> Finding:
    """The denial of what cannot be judged: one of the numbers is missing or no number."""
    shown = ", ".join(f"{name} {value}" for name, value in numbers.items())
    return denied(code, numbers, f"cannot be judged: {shown}")


def known(*values: Number | None) -> tuple[Decimal, ...] | None:
    """All values, or None when one of them is missing or not finite."""
    numbers = tuple(Decimal(value) for value in values if value is not None)
    return numbers if len(numbers) == len(values) and all(number.is_finite() for number in numbers) else None
