"""What a kind of strategy is: the model of its parameters, and what is built from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ibkr_assets.strategies.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Kind:
    """A model of parameters and what is built from them."""

    params: type[BaseModel]
    build: Callable[[Any], Strategy]
