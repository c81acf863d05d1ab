"""How far what is held lies from what was decided: fills that did not come, orders that were denied, shares by hand.

What goes here: the measure. What does not: reading it (`adapters.postgres.drift`), and what follows (an alert). Only
decisions whose session of trading is over count: until then an order may still fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Holding:
    """Signed shares of one strategy in one instrument: decided and held; `price_usd` is the decision's own."""

    strategy_id: str
    conid: int
    symbol: str
    wanted: Decimal
    held: Decimal
    price_usd: Decimal

    @property
    def gap_usd(self) -> Decimal:
        """What it would take to hold what was decided; negative where too much is held."""
        return (self.wanted - self.held) * self.price_usd


@dataclass(frozen=True, slots=True)
class Drift:
    """All holdings of an account, the widest gap first."""

    holdings: tuple[Holding, ...]
    nav_usd: Decimal

    @property
    def fraction(self) -> Decimal:
        """All gaps without their signs, as a part of the net asset value."""
        return sum((abs(one.gap_usd) for one in self.holdings), Decimal(0)) / self.nav_usd


def measure_drift(holdings: Sequence[Holding], nav_usd: Decimal) -> Drift:
    """The drift of an account whose net asset value is above zero. Raises ValueError otherwise."""
    if nav_usd <= 0:
        raise ValueError(f"nav_usd: above zero, got {nav_usd}")
    return Drift(tuple(sorted(holdings, key=lambda one: (-abs(one.gap_usd), one.strategy_id, one.conid))), nav_usd)
