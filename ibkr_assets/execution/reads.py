"""The two slow reads of the broker, order list and executions, kept within IBKR's one call in five seconds.

What goes here: when each may be read again, what the newest read said, and whether it can prove an absence. What
does not: drawing conclusions (`follow`, `evidence`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.broker import BrokerOrder, OrdersRead
    from ibkr_assets.ports import Broker

#: The first read of executions in a gateway session may be empty though there are some; it proves nothing.
_PRIMING_READS = 1


class BrokerReads:
    """Reads of one gateway session. `every_s` is the least time between two reads of the same list."""

    def __init__(self, broker: Broker, monotonic: Callable[[], float], *, every_s: float) -> None:
        self._broker = broker
        self._monotonic = monotonic
        self._every_s = every_s
        self._trade_reads = 0
        self.orders: OrdersRead | None = None
        self.fills: tuple[Fill, ...] = ()
        self.orders_begun_at: float | None = None
        self.trades_begun_at: float | None = None

    @property
    def is_primed(self) -> bool:
        """True when the newest executions are not of the session's first read."""
        return self._trade_reads > _PRIMING_READS

    @property
    def is_snapshot(self) -> bool:
        """True when the newest order list is whole, so that an order's absence means something."""
        return self.orders is not None and self.orders.is_snapshot

    def may_read_orders(self) -> bool:
        """True when the order list may be read without waiting."""
        return self._age(self.orders_begun_at) >= self._every_s

    def may_read_trades(self) -> bool:
        """True when the executions may be read without waiting."""
        return self._age(self.trades_begun_at) >= self._every_s

    def orders_age_s(self) -> float:
        """Seconds since the newest read of the order list began; infinite before the first."""
        return self._age(self.orders_begun_at)

    def trades_age_s(self) -> float:
        """Seconds since the newest read of executions began; infinite before the first."""
        return self._age(self.trades_begun_at)

    def read_orders(self) -> OrdersRead:
        """The order list as it came."""
        self.orders_begun_at = self._monotonic()
        self.orders = self._broker.live_orders()
        return self.orders

    def read_trades(self) -> tuple[Fill, ...]:
        """Executions as they came."""
        self.trades_begun_at = self._monotonic()
        self.fills = self._broker.trades()
        self._trade_reads += 1
        return self.fills

    def row_of(self, client_order_id: str) -> BrokerOrder | None:
        """The newest list's row of this client order id."""
        rows = () if self.orders is None else self.orders.orders
        return next((row for row in rows if row.client_order_id == client_order_id), None)

    def _age(self, begun_at: float | None) -> float:
        return float("inf") if begun_at is None else self._monotonic() - begun_at
