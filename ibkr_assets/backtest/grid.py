"""Which parameters a sweep tries: grids of values, every combination of them, or a sample.

What goes here: texts to values and values to combinations. What does not: trying them (`backtest.sweep`).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from ibkr_assets.domain.errors import InputError

Params = dict[str, Any]


def parse_grid(specs: Sequence[str]) -> dict[str, list[Any]]:
    """Values by parameter from texts like `fast=5:50:5` (both ends included) or `short=true,false`.

    Steps are exact decimals. Raises InputError naming the text.
    """
    grid: dict[str, list[Any]] = {}
    for spec in specs:
        name, _, text = spec.partition("=")
        if not name or not text or name in grid:
            raise InputError(f"grid {spec!r}: expected k=a:b:step or k=v,v,... once a parameter")
        grid[name] = _range(spec, text) if ":" in text else [_plain(part) for part in text.split(",")]
    return grid


def combinations(
    grid: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any], *, sample: int = 0, seed: int = 0
) -> list[Params]:
    """Every combination, the last parameter of the grid changing fastest; or `sample` of them, where it is not 0.

    A sample is drawn by `seed`, each combination equally likely and none twice; a grid may be far larger than it.
    """
    names, count = list(grid), math.prod(len(values) for values in grid.values())
    if not sample or sample >= count:
        return [dict(fixed) | dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())]
    chosen = sorted(random.Random(seed).sample(range(count), sample))  # noqa: S311 a draw, not a secret
    return [dict(fixed) | _combination(grid, place) for place in chosen]


def _combination(grid: Mapping[str, Sequence[Any]], place: int) -> Params:
    """The combination at a place in their order."""
    found: Params = {}
    for name in reversed(list(grid)):
        place, at = divmod(place, len(grid[name]))
        found[name] = grid[name][at]
    return {name: found[name] for name in grid}


def _range(spec: str, text: str) -> list[Any]:
    try:
        first, last, step = (Decimal(part) for part in text.split(":"))
    except (InvalidOperation, ValueError):
        raise InputError(f"grid {spec!r}: expected k=a:b:step") from None
    if not (first.is_finite() and last.is_finite() and step.is_finite()) or step <= 0 or last < first:
        raise InputError(f"grid {spec!r}: a:b:step with a <= b and a positive step")
    values = [first + step * count for count in range(int((last - first) / step) + 1)]
    is_whole = all(value == value.to_integral_value() for value in values)
    return [int(value) if is_whole else float(value) for value in values]


def _plain(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
