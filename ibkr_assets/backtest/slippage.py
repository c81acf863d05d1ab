"""How much worse than the bar's price an order at the market fills.

What goes here: the models and how they are written. What does not: their arithmetic (`backtest.formulas`), and which
orders are at the market: openings, closings and stops are; a target is a limit order and never fills worse than it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ibkr_assets.backtest.formulas import HALF_SPREAD, VOLUME_SHARE, WORSE
from ibkr_assets.domain.errors import InputError

FORMS = "none, bps:N, spread:USD or volume:IMPACT"


class Slippage(Protocol):
    """A model."""

    @property
    def number(self) -> tuple[int, float]:
        """Which formula of `backtest.formulas`, and its parameter."""

    def describe(self) -> str:
        """For people who read the result."""


@dataclass(frozen=True, slots=True)
class BasisPointsWorse:
    """So many hundredths of a percent of the price; 0 is none."""

    basis_points: float

    @property
    def number(self) -> tuple[int, float]:
        """Its formula and parameter."""
        return WORSE, float(self.basis_points)

    def describe(self) -> str:
        """Its rate."""
        return f"{self.basis_points:g} basis points of the price" if self.basis_points else "none"


@dataclass(frozen=True, slots=True)
class HalfSpread:
    """Half of a spread of so many USD; never down to nothing."""

    spread_usd: float

    @property
    def number(self) -> tuple[int, float]:
        """Its formula and parameter."""
        return HALF_SPREAD, float(self.spread_usd)

    def describe(self) -> str:
        """Its spread."""
        return f"half of a spread of USD {self.spread_usd:g}"


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """Impact x (order's share of the bar's volume) squared, as a fraction of the price; the form of zipline's model.

    A share is at most 1, and an order in a bar without volume has it. No order is cut.
    """

    impact: float

    @property
    def number(self) -> tuple[int, float]:
        """Its formula and parameter."""
        return VOLUME_SHARE, float(self.impact)

    def describe(self) -> str:
        """Its impact."""
        return f"{self.impact:g} x the squared share of the bar's volume, as a fraction of the price"


def parse_slippage(spec: str) -> Slippage:
    """Read one of FORMS. Raises InputError naming the text."""
    if spec == "none":
        return BasisPointsWorse(0.0)
    kind, _, text = spec.partition(":")
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if kind == "bps" and 0 <= number < 10_000:
        return BasisPointsWorse(number)
    if kind == "spread" and 0 <= number < float("inf"):
        return HalfSpread(number)
    if kind == "volume" and 0 <= number < 1:
        return VolumeShare(number)
    raise InputError(f"slippage {spec!r}: expected {FORMS}")
