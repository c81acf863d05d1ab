"""Orders that hang together: children wait for their parent, and of a group one fill cancels the rest.

A child may trade as many shares as its parent got, in proportion. Cancelling a parent that got nothing cancels its
children; of one that got a part, the children stay for that part. Making and applying the changes is `desk`'s work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from ibkr_assets.simulator.account import ZERO
from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.venue_order import VenueOrder


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of an order: cancelled for a reason, or `released` shares, of no more than `quantity` in all."""

    order: VenueOrder
    cancel_reason: str | None = None
    released: Decimal = ZERO
    quantity: Decimal | None = None


def changes_after(book: Book, record: Record) -> Iterator[Change]:
    """What follows for other orders from a fill or a cancel that the book has seen."""
    order = book.orders.get(record.order_id) if record.order_id is not None else None
    if order is None or record.event not in ("fill", "cancel"):
        return
    children = [child for child in _live(book, book.children.get(order.order_id, [])) if child.released is not None]
    if record.event == "fill":
        for child in children:
            released = part_of(child.quantity, order)
            if child.released is not None and released > child.released:
                yield Change(child, released=released)
        if order.group is not None:
            for other in _live(book, book.groups[order.group]):
                if other is not order:
                    yield Change(other, f"order {order.order_id} of the same group was filled")
    else:
        for child in children:
            if child.released:
                yield Change(child, released=child.released, quantity=min(child.quantity, child.released))
            else:
                yield Change(child, f"parent order {order.order_id} was cancelled")


def _live(book: Book, order_ids: list[int]) -> list[VenueOrder]:
    return [book.orders[order_id] for order_id in order_ids if order_id in book.live]


def part_of(quantity: Decimal, parent: VenueOrder) -> Decimal:
    """How many of a child's `quantity` shares may trade after the fills that its parent has."""
    part = (quantity * parent.filled / parent.quantity).to_integral_value(ROUND_FLOOR)
    return min(part, quantity)
