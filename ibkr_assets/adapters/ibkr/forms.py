"""The many forms in which IBKR writes one thing: numbers, times, ids, absence.

What goes here: text or number to `Decimal`, instant or id. What a field means goes to `payloads` and `parse`.
Everything raises ValueError naming the value, and nothing is guessed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.domain.text import visible

#: No price, quantity or sum of money is larger; what is larger was misread.
LARGEST = Decimal(10) ** 15
#: IBKR's texts are sentences; what is longer is not read by anybody.
LONGEST_TEXT = 1000
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SCALES = {"K": Decimal(10) ** 3, "M": Decimal(10) ** 6, "B": Decimal(10) ** 9}
_ABSENT = frozenset({"", "null", "N/A"})
#: Counts of seconds stay below this until the year 5138; counts of milliseconds have been above it since 1973.
_FIRST_MILLISECOND = 10**11


def is_absent(value: Any) -> bool:
    """True for what IBKR writes where there is nothing: no key, null, "", "null", "N/A"."""
    return value is None or (isinstance(value, str) and value.strip() in _ABSENT)


def number(value: Any) -> Decimal:
    """A number, or its text with thousands separators or a K, M or B behind it. Refuses NaN and Infinity."""
    if isinstance(value, str):
        text = value.strip()
        scale = _SCALES.get(text[-1:], Decimal(1))
        digits = text[:-1] if text[-1:] in _SCALES else text
        if not _NUMBER.fullmatch(digits) or not any(c.isdigit() for c in digits):
            raise ValueError(f"not a number: {value[:40]!r}")
        read = Decimal(digits.replace(",", "")) * scale
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        read = Decimal(value)
    elif isinstance(value, float):
        read = Decimal(repr(value))
    else:
        raise ValueError(f"not a number: a {type(value).__name__}")  # noqa: TRY004  (pydantic wants it so)
    if not read.is_finite() or read.copy_abs() >= LARGEST:
        raise ValueError(f"not a number that can be meant: {read}")
    return read


def optional_number(value: Any) -> Decimal | None:
    """A number, or None where there is nothing."""
    return None if is_absent(value) else number(value)


def marked_price(value: Any) -> tuple[Decimal | None, bool]:
    """A price of a snapshot, and whether it is marked as halted (`H`). `C` marks a previous close.

    None where there is nothing, for which a feed also writes -1.
    """
    if is_absent(value):
        return None, False
    mark = value.strip()[0] if isinstance(value, str) else ""
    price = number(value.strip()[1:] if mark in ("C", "H") else value)
    return (None if price == -1 else price), mark == "H"


def moment(value: Any) -> datetime:
    """An instant, aware UTC: milliseconds, seconds, "YYMMDDHHmmss" or "YYYYMMDD-HH:mm:ss"."""
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\d{8}-\d{2}:\d{2}:\d{2}", text, re.ASCII):
            return datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
        if re.fullmatch(r"\d{12}", text, re.ASCII):
            return datetime.strptime(text, "%y%m%d%H%M%S").replace(tzinfo=UTC)
        if not re.fullmatch(r"\d{10}|\d{13}", text, re.ASCII):
            raise ValueError(f"not a time: {value[:40]!r}")
        value = int(text)
    count = number(value)
    if count <= 0 or count >= _FIRST_MILLISECOND * 10**3:
        raise ValueError(f"not a time: {count}")
    seconds, milliseconds = divmod(count, 1000) if count >= _FIRST_MILLISECOND else (count, Decimal(0))
    return datetime.fromtimestamp(int(seconds), tz=UTC).replace(microsecond=int(milliseconds) * 1000)


def whole(value: Any) -> int:
    """An id written as a number or as its digits; a contract with its exchange ("265598@ARCA") is its id."""
    text = value.split("@")[0].strip() if isinstance(value, str) else value
    read = number(text)
    if read != read.to_integral_value():
        raise ValueError(f"not an id: {read}")
    return int(read)


def words(value: Any) -> str:
    """A text that is not empty, fit to be stored and shown; cut where nobody would read it."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"not a text: a {type(value).__name__}")
    return visible(value, most=LONGEST_TEXT)


def text_or_none(value: Any) -> str | None:
    """A text as `words` gives it, or None where there is nothing."""
    return None if is_absent(value) else words(value)


def utc_text(instant: datetime) -> str:
    """An instant as IBKR wants it in a request: UTC, "YYYYMMDD-HH:mm:ss"."""
    return instant.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")
