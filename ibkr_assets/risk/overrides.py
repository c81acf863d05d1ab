"""A strategy's own limits: tighter than those in force, never looser.

What goes here: which limits a strategy may have of its own, and what is refused. What does not: the limits themselves
(`risk.limits`) and where a strategy is kept (`adapters.postgres.strategies`). Limits that are heard only when an order
leaves are the sending process's; one of a strategy's own would never be heard, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.risk.changes import raised, tighter
from ibkr_assets.risk.configuration import RiskSettings
from ibkr_assets.risk.limits import Limits
from ibkr_assets.risk.rules import APPROVAL

#: Limits that are heard before an order is approved; `sectors` has no order of strictness.
OWN = frozenset(name for rule in APPROVAL for name in rule.limits) - {"sectors"}


def check_overrides(overrides: Mapping[str, Any], limits: Limits) -> None:
    """See that every override is a limit a strategy may have of its own, and not looser than `limits`.

    Raises ConfigurationError naming the limit, its value, and the one in force.
    """
    stated = _read(overrides, limits)
    for name in raised(limits, stated):
        given, in_force = (values.as_text()[name] for values in (stated, limits))
        raise ConfigurationError(
            f"risk.{name} {given}: is looser than the {in_force} in force; a strategy's own limits are only tighter"
        )


def tightened(overrides: Mapping[str, Any], limits: Limits) -> Limits:
    """Of each limit the stricter of the strategy's and the one in force, which may have become tighter since.

    Raises ConfigurationError naming an override that is no limit a strategy may have, or no value of it.
    """
    return tighter(_read(overrides, limits), limits) if overrides else limits


def _read(overrides: Mapping[str, Any], limits: Limits) -> Limits:
    """`limits` with the overrides in place of their own."""
    for name, value in overrides.items():
        if name not in OWN:
            known = "is heard only when an order leaves" if name in RiskSettings.model_fields else "is no limit"
            raise ConfigurationError(f"risk.{name} {value!r}: {known}; a strategy may have {', '.join(sorted(OWN))}")
    try:
        stated = RiskSettings.model_validate(dict(overrides)).limits()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise ConfigurationError(f"risk.{name} {overrides[name]!r}: {first['msg']}") from None
    return replace(limits, **{name: getattr(stated, name) for name in overrides})
