"""What an order costs: nothing, basis points, or IBKR's schedules for US stocks, with the day they were read.

What goes here: rates and their arithmetic. What does not: third parties' fees (SEC and FINRA on sales; exchanges and
clearing on the tiered schedule), which are not charged. Amounts are not rounded to the cent: IBKR books fractions.

Sources: interactivebrokers.co.uk/en/pricing/commissions-stocks.php, United States, columns Fixed and Tiered: fixed
USD 0.005 a share, at least USD 1.00 an order; tiered by shares a month, at least USD 0.35 an order; neither more than
1 % of the order's value, and where that is below the minimum, it is what is charged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np

from ibkr_assets.domain.errors import InputError
from ibkr_assets.features.frame import Floats

#: The day the rates were read. Bars of any year are charged these.
RATES_OF = date(2026, 11, 21)
VALUE_MAXIMUM = 0.01
FIXED_PER_SHARE_USD, FIXED_MINIMUM_USD = 0.005, 1.0
TIERED_MINIMUM_USD = 0.35
#: USD a share for the shares of a calendar month up to each number; a rate is for the shares within its own tier.
TIERS: tuple[tuple[float, float], ...] = (
    (300_000, 0.0035), (3_000_000, 0.002), (20_000_000, 0.0015), (100_000_000, 0.001), (float("inf"), 0.0005),
)  # fmt: skip
FORMS = "none, bps:N, ibkr-fixed or ibkr-tiered"

#: Shares of one order, its price, and the month of its fill as any number that differs between months -> USD.
Charge = Callable[[float, float, int], float]


class Commission(Protocol):
    """A schedule. `begin` gives the function that charges the orders of one run, in their order."""

    @property
    def counts_months(self) -> bool:
        """Whether the month of a fill is looked at."""

    def begin(self) -> Charge:
        """A run's own, because a tiered schedule counts shares."""

    def describe(self) -> str:
        """For people who read the result."""


@dataclass(frozen=True, slots=True)
class BasisPoints:
    """So many hundredths of a percent of each order's value; 0 is no commission."""

    basis_points: float
    counts_months: bool = False

    def begin(self) -> Charge:
        """Value x rate."""
        rate = self.basis_points / 10_000
        return lambda shares, price, _month: shares * price * rate

    def charges(self, shares: Floats, prices: Floats) -> Floats:
        """Value x rate."""
        return shares * prices * (self.basis_points / 10_000)

    def describe(self) -> str:
        """Its rate."""
        return f"{self.basis_points:g} basis points of each order's value" if self.basis_points else "none"


class IbkrFixed:
    """IBKR Pro, fixed."""

    counts_months = False

    def begin(self) -> Charge:
        """Shares x rate within the limits."""
        return lambda shares, price, _month: _limited(shares * FIXED_PER_SHARE_USD, FIXED_MINIMUM_USD, shares * price)

    def charges(self, shares: Floats, prices: Floats) -> Floats:
        """Shares x rate within the limits; the maximum of an order of no shares is 0."""
        least = np.maximum(shares * FIXED_PER_SHARE_USD, FIXED_MINIMUM_USD)
        charged: Floats = np.minimum(least, shares * prices * VALUE_MAXIMUM)
        return charged

    def describe(self) -> str:
        """Its rates and their day."""
        return (
            f"IBKR fixed as of {RATES_OF}: USD {FIXED_PER_SHARE_USD} a share, at least {FIXED_MINIMUM_USD:.2f} an "
            "order, at most 1 % of its value; fees of third parties not charged"
        )


class IbkrTiered:
    """IBKR Pro, tiered, the commission alone."""

    counts_months = True

    def begin(self) -> Charge:
        """Counts the shares of each month."""
        done: dict[int, float] = {}

        def charge(shares: float, price: float, month: int) -> float:
            before = done.get(month, 0.0)
            done[month] = before + shares
            return _limited(_tiered(before, before + shares), TIERED_MINIMUM_USD, shares * price)

        return charge

    def describe(self) -> str:
        """Its rates and their day."""
        return (
            f"IBKR tiered as of {RATES_OF}: USD {TIERS[0][1]} a share and less beyond {TIERS[0][0]:,.0f} a month, at "
            f"least {TIERED_MINIMUM_USD} an order, at most 1 % of its value; fees of third parties not charged"
        )


def parse_commission(spec: str) -> Commission:
    """Read one of FORMS. Raises InputError naming the text."""
    if spec == "none":
        return BasisPoints(0.0)
    if spec == "ibkr-fixed":
        return IbkrFixed()
    if spec == "ibkr-tiered":
        return IbkrTiered()
    kind, _, number = spec.partition(":")
    try:
        rate = float(number)
    except ValueError:
        rate = -1.0
    if kind != "bps" or not 0 <= rate <= 10_000:
        raise InputError(f"commission {spec!r}: expected {FORMS}")
    return BasisPoints(rate)


def _limited(charged: float, minimum: float, value: float) -> float:
    return min(max(charged, minimum), value * VALUE_MAXIMUM)


def _tiered(first: float, last: float) -> float:
    """For the shares of a month from `first` to `last`, each at the rate of its tier."""
    charged, floor = 0.0, 0.0
    for ceiling, rate in TIERS:
        charged += max(0.0, min(last, ceiling) - max(first, floor)) * rate
        floor = ceiling
    return charged
