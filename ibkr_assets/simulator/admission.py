"""Whether an order can be taken now: its cOID, its prices, the hours of its kind, and the account's funds.

What a malformed request is, is decided in `face.tickets`; what is asked before an order is taken, in `questions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from ibkr_assets.simulator.book import Book
from ibkr_assets.simulator.funds import available_funds, opening_cost
from ibkr_assets.simulator.tickets import COID_LIFE, DuplicateCoid, Refused, Ticket
from ibkr_assets.simulator.ticks import tick_at
from ibkr_assets.simulator.venue_order import VenueOrder


class Admission:
    """The checks, over one book. `last_price` gives the newest price of a contract in USD, zero where there is none."""

    def __init__(
        self, book: Book, last_price: Callable[[int], Decimal], *, can_short: bool, initial_margin: Decimal
    ) -> None:
        self._book = book
        self._last_price = last_price
        self._can_short = can_short
        self._initial_margin = initial_margin

    def check(self, ticket: Ticket, *, replacing: VenueOrder | None = None) -> None:
        """Raise Refused (or DuplicateCoid) when the order cannot be taken now."""
        if replacing is None:
            self.check_coid(ticket)
        for name, price in (("price", ticket.price), ("auxPrice", ticket.aux_price)):
            if price is not None and (price <= 0 or price % tick_at(price)):
                raise Refused(
                    f"We cannot accept an order at the limit price you specified ({name} {price}): the price does not "
                    "conform to the minimum price variation for this contract."
                )
        if not self._is_closing_child(ticket, replacing):
            self._check_funds(ticket, replacing)

    def check_coid(self, ticket: Ticket) -> None:
        """Raise DuplicateCoid when the cOID was used less than 24 hours ago."""
        used_at = self._book.coids.get(ticket.coid) if ticket.coid is not None else None
        if used_at is not None and self._book.now - used_at < COID_LIFE:
            raise DuplicateCoid(f"Order couldn't be submitted: Local order ID={ticket.coid} is already registered.")

    def available(self, without: VenueOrder | None = None) -> Decimal:
        """Funds for opening trades, in USD: cash and positions, less the margin of positions and live orders."""
        return available_funds(self._book.account, self._reserving(without), self._last_price, self._initial_margin)

    def _check_funds(self, ticket: Ticket, replacing: VenueOrder | None) -> None:
        left = ticket if replacing is None else replace(ticket, quantity=ticket.quantity - replacing.filled)
        live = self._reserving(replacing)
        cost = opening_cost(self._book.account, left, live, self._last_price, self._initial_margin)
        if ticket.side == "SELL" and cost and not self._can_short:
            raise Refused("YOUR ORDER IS NOT ACCEPTED. SHORT SALES ARE NOT ALLOWED IN THIS ACCOUNT.")
        available = self.available(without=replacing)
        if cost > available:
            raise Refused(
                "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR AVAILABLE FUNDS "
                f"[{available:.2f} USD] MUST EXCEED THE INITIAL MARGIN [{cost:.2f} USD]"
            )

    def _reserving(self, without: VenueOrder | None) -> list[VenueOrder]:
        """Live orders that take funds: children only close what their parents open."""
        return [o for o in self._book.live.values() if o is not without and o.parent_id is None]

    def _is_closing_child(self, ticket: Ticket, replacing: VenueOrder | None) -> bool:
        parent_id = ticket.parent_id if replacing is None else replacing.parent_id
        parent = None if parent_id is None else self._book.orders[parent_id]
        return parent is not None and parent.side != ticket.side and ticket.quantity <= parent.quantity
