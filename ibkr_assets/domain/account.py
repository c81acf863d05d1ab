"""Fills, positions and cash, and how the first gives the other two.

Everything here is exact: `Decimal` money and quantities, no clock, no I/O. The broker's own numbers are read
elsewhere and compared with these.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ibkr_assets.domain.order import Side

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `execution_id` is the broker's and counts once; `commission` is a positive cost.

    `client_order_id` is None for an execution of an order that was not placed by us. `executed_at` is aware UTC.
    """

    execution_id: str
    client_order_id: str | None
    broker_order_id: str
    conid: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    executed_at: datetime

    @property
    def cash_change(self) -> Decimal:
        """What the fill does to cash: negative for a buy, commission included."""
        return -self.side.sign * self.quantity * self.price - self.commission


@dataclass(frozen=True, slots=True)
class Position:
    """Signed quantity and average cost a share, commissions not included."""

    conid: int
    symbol: str
    quantity: Decimal
    average_cost: Decimal
    realized_pnl: Decimal = ZERO

    def after(self, fill: Fill) -> "Position":
        """The position after one more fill. Closing realises (price - average cost) x quantity closed."""
        change = fill.side.sign * fill.quantity
        total = self.quantity + change
        if self.quantity == 0 or (self.quantity > 0) == (change > 0):
            cost = (self.quantity.copy_abs() * self.average_cost + fill.quantity * fill.price) / total.copy_abs()
            return Position(self.conid, self.symbol, total, cost, self.realized_pnl)
        closed = min(self.quantity.copy_abs(), fill.quantity)
        sign = 1 if self.quantity > 0 else -1
        realized = self.realized_pnl + sign * closed * (fill.price - self.average_cost)
        if total == 0:
            return Position(self.conid, self.symbol, ZERO, ZERO, realized)
        cost = self.average_cost if (total > 0) == (self.quantity > 0) else fill.price
        return Position(self.conid, self.symbol, total, cost, realized)


def positions_of(fills: Iterable[Fill]) -> dict[int, Position]:
    """Positions by conid from fills in order of execution. An execution id seen twice counts once."""
    seen: set[str] = set()
    positions: dict[int, Position] = {}
    for fill in fills:
        if fill.execution_id in seen:
            continue
        seen.add(fill.execution_id)
        held = positions.get(fill.conid, Position(fill.conid, fill.symbol, ZERO, ZERO))
        positions[fill.conid] = held.after(fill)
    return positions
