"""Which kinds of strategy there are, and one of them built from its parameters.

A kind is a class and the model of its parameters; a new kind is one more row here. Strategies as the database
keeps them, with symbols and sizing, are `ports.StrategyRecord`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.strategies.sma_cross import SmaCross, SmaCrossParams
from ibkr_assets.strategies.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Kind:
    """A model of parameters and what is built from them."""

    params: type[BaseModel]
    build: Callable[[Any], Strategy]


KINDS: dict[str, Kind] = {
    "sma_cross": Kind(SmaCrossParams, SmaCross),
}


def build_strategy(kind: str, params: Mapping[str, Any]) -> Strategy:
    """A strategy of this kind. Raises ConfigurationError naming the kind, or the parameter and its value."""
    if kind not in KINDS:
        raise ConfigurationError(f"kind {kind!r}: no such kind of strategy; there are {sorted(KINDS)}")
    known = KINDS[kind]
    try:
        return known.build(known.params.model_validate(dict(params)))
    except ValidationError as error:
        raise ConfigurationError(f"strategy of kind {kind!r}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if not name:
        return first["msg"].removeprefix("Value error, ")
    return f"{name}: {first['msg']}, got {first['input']!r}"
