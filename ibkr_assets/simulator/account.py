"""Cash, positions and accrued dividends of the one account, changed by executions and corporate actions.

All figures are exact. When something happens is the venue's work; this module only does the sums, with code of its
own: the platform's books are compared with these, so the two must not share any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(slots=True)
class Holding:
    """Signed shares, their average price a share without commissions, and profit already taken, in USD."""

    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realized: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Accrual:
    """A dividend that is owed. `pays_on` is the session at whose open it becomes cash; None: not on this tape."""

    conid: int
    amount: Decimal
    pays_on: date | None


@dataclass(slots=True)
class Account:
    """The account `name`. Positive commissions are costs; a short position owes dividends."""

    name: str
    cash: Decimal
    holdings: dict[int, Holding] = field(default_factory=dict)
    accruals: list[Accrual] = field(default_factory=list)

    def holding(self, conid: int) -> Holding:
        """The holding of a contract, which may be zero shares."""
        return self.holdings.setdefault(conid, Holding())

    def quantity(self, conid: int) -> Decimal:
        """Signed shares held now."""
        held = self.holdings.get(conid)
        return held.quantity if held else ZERO

    def trade(self, conid: int, signed_quantity: Decimal, price: Decimal, commission: Decimal) -> None:
        """Buy (positive) or sell (negative) shares at a price."""
        self.cash -= signed_quantity * price + commission
        self._move(self.holding(conid), signed_quantity, price)

    def undo_trade(self, conid: int, signed_quantity: Decimal, price: Decimal, commission: Decimal) -> None:
        """Take an execution back: the cash it moved, commission included, and its shares."""
        self.cash += signed_quantity * price + commission
        held = self.holding(conid)
        left = held.quantity - signed_quantity
        was_opening = held.quantity * signed_quantity > 0
        if left == 0:
            held.average_price = ZERO
        elif was_opening and left * held.quantity > 0:
            held.average_price = (held.quantity * held.average_price - signed_quantity * price) / left
        held.quantity = left

    def transfer(self, conid: int, signed_quantity: Decimal, price: Decimal) -> None:
        """Shares come in or go out without cash; `price` is their cost."""
        self._move(self.holding(conid), signed_quantity, price)

    def split(self, conid: int, ratio: Decimal) -> None:
        """`ratio` new shares for each old one."""
        held = self.holding(conid)
        held.quantity *= ratio
        held.average_price /= ratio

    def accrue(self, accrual: Accrual) -> None:
        """A dividend goes ex."""
        self.accruals.append(accrual)

    def pay(self, conid: int, day: date) -> None:
        """What is owed for `conid` on `day` becomes cash."""
        due = [a for a in self.accruals if a.pays_on == day and a.conid == conid]
        self.accruals = [a for a in self.accruals if a not in due]
        self.cash += sum((a.amount for a in due), ZERO)

    @property
    def accrued_dividends(self) -> Decimal:
        """Dividends owed and not yet paid, in USD."""
        return sum((accrual.amount for accrual in self.accruals), ZERO)

    def stock_value(self, price_of: Callable[[int], Decimal]) -> Decimal:
        """Value of all positions, short ones negative, in USD."""
        return sum((h.quantity * price_of(conid) for conid, h in self.holdings.items() if h.quantity), ZERO)

    def gross_value(self, price_of: Callable[[int], Decimal]) -> Decimal:
        """Value of all positions, each taken positive, in USD."""
        return sum((abs(h.quantity) * price_of(conid) for conid, h in self.holdings.items() if h.quantity), ZERO)

    def unrealized(self, price_of: Callable[[int], Decimal]) -> Decimal:
        """Profit not yet taken, in USD."""
        return sum(
            (h.quantity * (price_of(conid) - h.average_price) for conid, h in self.holdings.items() if h.quantity),
            ZERO,
        )

    def net_liquidation(self, price_of: Callable[[int], Decimal]) -> Decimal:
        """Cash, accrued dividends and positions at the given prices, in USD."""
        return self.cash + self.accrued_dividends + self.stock_value(price_of)

    @staticmethod
    def _move(held: Holding, change: Decimal, price: Decimal) -> None:
        before = held.quantity
        after = before + change
        if before * change >= 0:
            held.average_price = (before * held.average_price + change * price) / after if after else ZERO
        else:
            closed = min(abs(before), abs(change)) * (1 if before > 0 else -1)
            held.realized += closed * (price - held.average_price)
            if after == 0:
                held.average_price = ZERO
            elif after * before < 0:
                held.average_price = price
        held.quantity = after
