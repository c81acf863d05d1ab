"""Limits as the ledger keeps them: one text for equal limits, its name, and the way back.

What goes here: the canonical JSON of limits. What does not: the tables (`adapters.postgres.limits`), and facts and
exposure, which are kept as any value is (`domain.plain`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from ibkr_assets.domain.errors import DataError
from ibkr_assets.risk.limits import Limits


def canonical(limits: Limits) -> str:
    """The limits as JSON, the same text for equal limits: keys in order, no spaces, numbers without idle zeros."""
    return json.dumps(limits.as_text(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(limits: Limits) -> str:
    """The name of a version of the limits: sha256 of its canonical JSON, in hex."""
    return hashlib.sha256(canonical(limits).encode()).hexdigest()


def read_limits(stored: Mapping[str, Any]) -> Limits:
    """The limits that `as_text` wrote. What was not stored has its default, what is no limit any more is left out.

    Raises DataError naming the limit that cannot be read.
    """
    defaults = Limits()
    known = {item.name: getattr(defaults, item.name) for item in fields(Limits)}
    return Limits(**{name: _read(name, known[name], stored[name]) for name in known if name in stored})


def _read(name: str, default: Any, stored: Any) -> Any:
    """A value of the kind that the default has."""
    try:
        if isinstance(default, bool):
            if isinstance(stored, bool):
                return stored
        elif isinstance(default, frozenset):
            return frozenset(str(item) for item in stored)
        elif isinstance(default, Mapping):
            return MappingProxyType({str(key): str(value) for key, value in dict(stored).items()})
        elif isinstance(default, int | Decimal):
            return type(default)(stored)
    except (ValueError, TypeError, InvalidOperation):
        pass
    raise DataError(f"{name}: cannot be read from {stored!r}")
