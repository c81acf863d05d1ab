"""Reading the fields of an admin call's body: each refusal names the field and its value.

What the fields mean is the work of `admin` and its neighbours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from ibkr_assets.simulator.face.exchange import BadRequest


def check_fields(body: dict[str, Any], known: set[str]) -> None:
    """Raise BadRequest for a field that no call has."""
    unknown = set(body) - known
    if unknown:
        raise BadRequest(f"{min(unknown)}: unknown field; known are {', '.join(sorted(known))}")


def read_moment(value: Any) -> datetime:
    """An instant, aware UTC. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise BadRequest(f"set: is not ISO 8601: {value!r}") from None
    if moment.tzinfo is None:
        raise BadRequest(f"set: must carry a time zone, got {value!r}")
    return moment.astimezone(UTC)


def read_number(body: dict[str, Any], name: str) -> Decimal:
    """A finite number. Raises BadRequest."""
    try:
        number = Decimal(str(body.get(name)))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise BadRequest(f"{name}: must be a number, got {body.get(name)!r}")
    return number


def read_positive(body: dict[str, Any], name: str) -> Decimal:
    """A number above zero. Raises BadRequest."""
    number = read_number(body, name)
    if number <= 0:
        raise BadRequest(f"{name}: must be positive, got {number}")
    return number


def read_span(body: dict[str, Any], name: str) -> float:
    """Seconds, zero or more. Raises BadRequest."""
    seconds = float(read_number(body, name))
    if seconds < 0:
        raise BadRequest(f"{name}: must not be negative, got {seconds}")
    return seconds
