"""Handlers that tell what became of orders: the live list, one order's status, the executions.

The first list of a session proves nothing, as at IBKR: no orders with `snapshot: false`, and no trades. The list is
scoped to the New York day: what works, and what ended today. What a row says is in `order_rows`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, time, timedelta
from itertools import takewhile
from typing import Any

from ibkr_assets.simulator.answers import Answer, refusal
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.face.exchange import BadRequest, Call, read_digits
from ibkr_assets.simulator.face.order_rows import live_row, status_row, trade_row
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.hours import NEW_YORK
from ibkr_assets.simulator.venue_order import Execution, VenueOrder

_MOST_ORDERS = 1000
_TRADE_DAYS = 7
_BY_TIME = "sort_by_time"
FILTERS = {
    "pre_submitted": "PreSubmitted", "submitted": "Submitted", "filled": "Filled", "cancelled": "Cancelled",
    "inactive": "Inactive", "pending_submit": "PendingSubmit", "pending_cancel": "PendingCancel",
    "pre_cancelled": "PreCancelled", "warn_state": "WarnState", _BY_TIME: "",
}  # fmt: skip


def live_orders(call: Call) -> Answer:
    """Orders of the day, oldest first. `force` empties the list and makes the next read the first again."""
    memory = call.gateway.session.memory
    names = [name for name in call.query.get("filters", "").split(",") if name]
    if any(name not in FILTERS for name in names):
        return Answer(b"", 500)
    wanted = frozenset(FILTERS[name] for name in names) - {""}
    if call.flag("force"):
        memory.order_filter = frozenset()
    elif wanted:
        memory.order_filter = wanted
    if call.flag("force") or not memory.is_orders_primed:
        # A forced read leaves the list to be filled for the next one; so does the first of a session.
        memory.is_orders_primed = True
        return Answer({"orders": [], "snapshot": False})
    rows = live_rows(call.gateway, wanted)
    if _BY_TIME in names:
        rows.sort(key=lambda row: row["lastExecutionTime_r"])
    return Answer({"orders": rows[-_MOST_ORDERS:], "snapshot": True})


def live_rows(gateway: Gateway, statuses: Collection[str] = ()) -> list[dict[str, Any]]:
    """Rows of the day's orders, oldest first; with `statuses` of those alone."""
    orders = orders_since(gateway.venue.book, _midnight(gateway.venue.now))
    return [live_row(gateway, order) for order in orders if not statuses or order.status.value in statuses]


def orders_since(book: Book, moment: datetime) -> list[VenueOrder]:
    """Live orders, and those that ended at or after `moment`, oldest first."""
    found = dict(book.live)
    for order in takewhile(lambda order: order.updated_at >= moment, reversed(book.ended)):
        found[order.order_id] = order
    return [found[order_id] for order_id in sorted(found)]


def order_status(call: Call) -> Answer:
    """One order, ended ones included. It never carries the client's own id."""
    number = read_digits(call.params["order_id"])
    order = None if number is None else call.gateway.venue.book.orders.get(number)
    return refusal(503, "Service Unavailable") if order is None else Answer(status_row(call.gateway, order))


def trades(call: Call) -> Answer:
    """Executions of today and the days before, oldest first; `[]` at a session's first call."""
    days = call.query.get("days", str(_TRADE_DAYS))
    if (count := read_digits(days)) is None or count > _TRADE_DAYS:
        raise BadRequest(f"Bad Request: days must be in 0..{_TRADE_DAYS}: {days}")
    memory = call.gateway.session.memory
    if not memory.is_trades_primed:
        memory.is_trades_primed = True
        return Answer([])
    return Answer(trade_rows(call.gateway, count))


def trade_rows(gateway: Gateway, days: int) -> list[dict[str, Any]]:
    """Rows of the executions of `days` New York days, today included, oldest first."""
    first = _midnight(gateway.venue.now, max(days - 1, 0))
    return [trade_row(gateway, execution) for execution in executions_since(gateway.venue.book, first)]


def executions_since(book: Book, moment: datetime) -> list[Execution]:
    """Executions at or after `moment` that still stand, oldest first."""
    newest_first = takewhile(lambda execution: execution.executed_at >= moment, reversed(book.executions))
    return list(newest_first)[::-1]


def _midnight(now: datetime, days_before: int = 0) -> datetime:
    """When the New York day of `now` began, or one of the days before."""
    day = now.astimezone(NEW_YORK).date() - timedelta(days=days_before)
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
