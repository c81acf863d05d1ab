"""Parameters of a fault: what a value may be, and the words that refuse another one.

A fault names its parameters in its line of the table; the board checks what is given with `read` before anything is
armed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class UnfitValue(Exception):
    """A value that a field cannot take; the text says what it must be."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`read` gives the value as the fault uses it, or raises UnfitValue saying what it must be."""

    default: Any
    read: Callable[[Any], Any]


def number(default: float | None, *, least: float = 0.0, most: float = float("inf")) -> Parameter:
    """A number in `least`..`most`."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise UnfitValue(f"must be a number in {least:g}..{most:g}")
        return float(value)

    return Parameter(default, read)


def whole(default: int | None, *, least: int = 0, most: int | None = None) -> Parameter:
    """A whole number from `least`, up to `most` where that is given."""

    def read(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            raise UnfitValue(f"must be a whole number in {least}..{'' if most is None else most}")
        return value

    return Parameter(default, read)


def flag(*, default: bool) -> Parameter:
    """True or false."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise UnfitValue("must be true or false")
        return value

    return Parameter(default, read)


def word(default: str, *choices: str) -> Parameter:
    """One of the given words; `default` is one of them."""

    def read(value: Any) -> str:
        if value not in choices:
            raise UnfitValue(f"must be one of {', '.join(choices)}")
        return str(value)

    return Parameter(default, read)


def text(default: str | None) -> Parameter:
    """Any text."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitValue("must be text")
        return value

    return Parameter(default, read)


def texts(default: tuple[str, ...]) -> Parameter:
    """A list of texts."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UnfitValue("must be a list of texts")
        return tuple(value)

    return Parameter(default, read)


def zone(default: str) -> Parameter:
    """A time zone by its IANA name."""

    def read(value: Any) -> str:
        try:
            return ZoneInfo(value).key
        except (TypeError, ValueError, ZoneInfoNotFoundError):
            raise UnfitValue("must be a time zone such as America/New_York") from None

    return Parameter(default, read)


def time_of_day(default: str) -> Parameter:
    """Hours and minutes, `HH:MM`."""

    def read(value: Any) -> time:
        try:
            return time.fromisoformat(value)
        except (TypeError, ValueError):
            raise UnfitValue("must be a time of day such as 01:00") from None

    return Parameter(read(default), read)


def instant() -> Parameter:
    """A moment, ISO 8601 with a zone; read as UTC. None where it is not given."""

    def read(value: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise UnfitValue("must be ISO 8601") from None
        if moment.tzinfo is None:
            raise UnfitValue("must carry a time zone")
        return moment.astimezone(UTC)

    return Parameter(None, read)


def day() -> Parameter:
    """A day, `YYYY-MM-DD`. None where it is not given."""

    def read(value: Any) -> date:
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            raise UnfitValue("must be a day such as 2012-10-01") from None

    return Parameter(None, read)
