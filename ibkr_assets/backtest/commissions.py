"""What an order costs: nothing, basis points, or IBKR's schedules for US stocks, with the day they were read.

What goes here: how schedules are written and described, and the shares of a month. What does not: rates and their
arithmetic (`backtest.formulas`), and third parties' fees (SEC and FINRA on sales; exchanges and clearing on the tiered
schedule), which are not charged. Amounts are not rounded to the cent: IBKR books fractions.

Sources: interactivebrokers.co.uk/en/pricing/commissions-stocks.php, United States, columns Fixed and Tiered: fixed
USD 0.005 a share, at least USD 1.00 an order; tiered by shares a month, at least USD 0.35 an order; neither more than
1 % of the order's value, and where that is below the minimum, it is what is charged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from ibkr_assets.backtest.formulas import (
    BASIS_POINTS,
    FIXED_MINIMUM_USD,
    FIXED_PER_SHARE_USD,
    IBKR_FIXED,
    IBKR_TIERED,
    TIERED_MINIMUM_USD,
    TIERS,
    fee_of,
)
from ibkr_assets.domain.errors import InputError

#: The day the rates were read. Bars of any year are charged these.
RATES_OF = date(2026, 11, 21)
FORMS = "none, bps:N, ibkr-fixed or ibkr-tiered"

#: Shares of one order, its price, and the month of its fill as any number that differs between months -> USD.
Charge = Callable[[float, float, int], float]


class Commission(Protocol):
    """A schedule. `begin` gives the function that charges the orders of one run, in their order."""

    @property
    def counts_months(self) -> bool:
        """Whether the month of a fill is looked at."""

    @property
    def number(self) -> tuple[int, float]:
        """Which formula, and its rate."""

    def begin(self) -> Charge:
        """A run's own, because a tiered schedule counts shares."""

    def describe(self) -> str:
        """For people who read the result."""


@dataclass(frozen=True, slots=True)
class BasisPoints:
    """So many hundredths of a percent of each order's value; 0 is no commission."""

    basis_points: float
    counts_months: bool = False

    @property
    def number(self) -> tuple[int, float]:
        """Value x rate."""
        return BASIS_POINTS, float(self.basis_points)

    def begin(self) -> Charge:
        """Value x rate."""
        return lambda shares, price, _month: fee_of(*self.number, shares, price, 0.0)

    def describe(self) -> str:
        """Its rate."""
        return f"{self.basis_points:g} basis points of each order's value" if self.basis_points else "none"


class IbkrFixed:
    """IBKR Pro, fixed."""

    counts_months = False
    number = IBKR_FIXED, 0.0

    def begin(self) -> Charge:
        """Shares x rate within the limits."""
        return lambda shares, price, _month: fee_of(*self.number, shares, price, 0.0)

    def describe(self) -> str:
        """Its rates and their day."""
        return (
            f"IBKR fixed as of {RATES_OF}: USD {FIXED_PER_SHARE_USD} a share, at least {FIXED_MINIMUM_USD:.2f} an "
            "order, at most 1 % of its value; fees of third parties not charged"
        )


class IbkrTiered:
    """IBKR Pro, tiered, the commission alone."""

    counts_months = True
    number = IBKR_TIERED, 0.0

    def begin(self) -> Charge:
        """Counts the shares of each month."""
        done: dict[int, float] = {}

        def charge(shares: float, price: float, month: int) -> float:
            before = done.get(month, 0.0)
            done[month] = before + shares
            return fee_of(*self.number, shares, price, before)

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
