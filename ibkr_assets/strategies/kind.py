"""What a kind of strategy is: the model of its parameters, and what is built from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from ibkr_assets.strategies.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Kind:
    """A model of parameters and what is built from them.

    With `scores` the way to registered models is given too; with `asks` how another kind is built, and the analyst.
    """

    params: type[BaseModel]
    build: Callable[..., Strategy]
    scores: bool = False
    asks: bool = False
