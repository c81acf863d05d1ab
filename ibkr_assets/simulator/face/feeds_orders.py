"""What `sor` and `str` tell: orders as they change and executions as they happen, at the record that made them so.

The rows are those of the REST lists (`order_rows`); an order is told whole the first time and then only what changed.
What was before a subscription is not told, but for the executions that `str` replays.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.face.order_rows import live_row, trade_row
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.stream_hub import Feed, Frame

_EASTERN = ZoneInfo("America/New_York")


class OrdersFeed(Feed):
    """`statuses` narrows the rows to orders in one of these states; empty, all. So does a filtered order list."""

    def __init__(self, gateway: Gateway, statuses: frozenset[str]) -> None:
        self._gateway = gateway
        self._statuses = statuses
        self._told: dict[int, dict[str, Any]] = {}
        self._pending: list[dict[str, Any]] = []

    def observe(self, record: Record) -> None:
        """Note what the record changed in its order."""
        order = self._gateway.venue.book.orders.get(record.order_id) if record.order_id is not None else None
        if order is None:
            return
        wanted = self._statuses or self._gateway.session.memory.order_filter
        if wanted and order.status.value not in wanted:
            return
        row = live_row(self._gateway, order)
        if row["price"]:
            row["price"] = float(row["price"])
        before = self._told.get(order.order_id)
        self._told[order.order_id] = row
        if before is None:
            self._pending.append(row)
            return
        changed = {name: value for name, value in row.items() if before.get(name) != value}
        if changed:
            self._pending.append({"acct": row["acct"], "orderId": row["orderId"], **changed})

    def look(self, mono: float) -> Iterator[Frame]:
        """All changes since the last look in one frame."""
        del mono
        if self._pending:
            yield {"topic": "sor", "args": self._pending}
            self._pending = []


class TradesFeed(Feed):
    """Replays the executions of so many New York days, today included, and then tells each one as it happens."""

    def __init__(self, gateway: Gateway, days: int, *, has_replay: bool) -> None:
        self._gateway = gateway
        self._has_begun = False
        self._pending: list[dict[str, Any]] = []
        if has_replay:
            first = gateway.venue.now.astimezone(_EASTERN).date() - timedelta(days=max(days - 1, 0))
            self._pending = [
                trade_row(gateway, execution)
                for execution in gateway.venue.book.executions
                if execution.executed_at.astimezone(_EASTERN).date() >= first
            ]

    def observe(self, record: Record) -> None:
        """Note an execution. One that is taken back is not told; the one in its place is."""
        if record.event == "fill" and record.execution_id is not None:
            execution = self._gateway.venue.book.execution(record.execution_id)
            if execution is not None:
                self._pending.append(trade_row(self._gateway, execution))

    def look(self, mono: float) -> Iterator[Frame]:
        """The first frame comes in any case and says that the subscription is there."""
        del mono
        if self._pending or not self._has_begun:
            self._has_begun = True
            yield {"topic": "str", "args": self._pending}
            self._pending = []
