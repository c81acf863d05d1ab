"""How much worse than the bar's price an order at the market fills.

What goes here: the models and how they are written. What does not: which orders are at the market (`backtest.engine`):
openings, closings and stops are; a target is a limit order and never fills worse than its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.frame import Floats

FORMS = "none, bps:N, spread:USD or volume:IMPACT"


class Slippage(Protocol):
    """A model."""

    def fill_price(self, price: float, side: int, shares: float, volume: float) -> float:
        """The price of a buy (`side` +1) or sale (-1) of `shares` in a bar of `volume` shares."""

    def fill_prices(self, prices: Floats, sides: Floats, shares: Floats, volumes: Floats) -> Floats:
        """The same of many orders at once."""

    def describe(self) -> str:
        """For people who read the result."""


@dataclass(frozen=True, slots=True)
class BasisPointsWorse:
    """So many hundredths of a percent of the price; 0 is none."""

    basis_points: float

    def fill_price(self, price: float, side: int, shares: float, volume: float) -> float:  # noqa: ARG002
        """Price x (1 +- rate)."""
        return price * (1 + side * self.basis_points / 10_000) if self.basis_points else price

    def fill_prices(self, prices: Floats, sides: Floats, shares: Floats, volumes: Floats) -> Floats:  # noqa: ARG002
        """Prices x (1 +- rate)."""
        return prices * (1 + sides * self.basis_points / 10_000) if self.basis_points else prices

    def describe(self) -> str:
        """Its rate."""
        return f"{self.basis_points:g} basis points of the price" if self.basis_points else "none"


@dataclass(frozen=True, slots=True)
class HalfSpread:
    """Half of a spread of so many USD; never down to nothing."""

    spread_usd: float

    def fill_price(self, price: float, side: int, shares: float, volume: float) -> float:  # noqa: ARG002
        """Price +- half the spread, at least a hundredth of the price."""
        return max(price + side * self.spread_usd / 2, price / 100)

    def fill_prices(self, prices: Floats, sides: Floats, shares: Floats, volumes: Floats) -> Floats:  # noqa: ARG002
        """Prices +- half the spread, at least a hundredth of each."""
        worse: Floats = np.maximum(prices + sides * self.spread_usd / 2, prices / 100)
        return worse

    def describe(self) -> str:
        """Its spread."""
        return f"half of a spread of USD {self.spread_usd:g}"


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """Impact x (order's share of the bar's volume) squared, as a fraction of the price; the form of zipline's model.

    A share is at most 1, and an order in a bar without volume has it. No order is cut.
    """

    impact: float

    def fill_price(self, price: float, side: int, shares: float, volume: float) -> float:
        """Price x (1 +- impact x share squared)."""
        share = min(1.0, shares / volume) if volume > 0 else 1.0
        return price * (1 + side * self.impact * share * share)

    def fill_prices(self, prices: Floats, sides: Floats, shares: Floats, volumes: Floats) -> Floats:
        """Prices x (1 +- impact x share squared)."""
        part = np.minimum(1.0, np.divide(shares, volumes, out=np.ones_like(shares), where=volumes > 0))
        worse: Floats = prices * (1 + sides * self.impact * part * part)
        return worse

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
