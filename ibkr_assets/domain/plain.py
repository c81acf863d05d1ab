"""Values as JSON can carry them exactly, and back by the types of a dataclass's fields.

What goes here: the two ways of the same translation; numbers of money are text, instants ISO 8601 in UTC. What does
not: which values are kept, and where.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, text, numbers, booleans and None. Sets are ordered, so equal values are equal text.

    Raises TypeError for what it has no form for.
    """
    if value is None or isinstance(value, bool | int | float) or type(value) is str:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no plain form")


def from_plain(kind: Any, value: Any) -> Any:
    """What `to_plain` made of a value of this type. A field that is not there takes the dataclass's default.

    Raises TypeError for a type it has no reading of, ValueError or TypeError for a value that is none of it.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return from_plain(next(a for a in arguments if a is not type(None)), value)
    if origin in (tuple, list, set, frozenset):
        return origin(from_plain(arguments[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return {from_plain(arguments[0], key): from_plain(arguments[1], item) for key, item in value.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        known = {name: item for name, item in value.items() if name in hints}
        return kind(**{name: from_plain(hints[name], item) for name, item in known.items()})
    if kind is datetime:
        return datetime.fromisoformat(value).astimezone(UTC)
    if kind is date:
        return date.fromisoformat(value)
    if kind is Decimal or (isinstance(kind, type) and issubclass(kind, Enum)):
        return kind(value)
    if kind in (bool, int, float, str, Any):
        return value
    raise TypeError(f"{kind!r} cannot be read from its plain form")


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}
