"""Orders whose requests were cut off and that reach the venue late, at a market time of their own.

What goes here: the wait, and taking or refusing them in the order they arrive. An order that is still on its way when
the gateway's process ends is lost with it.
"""

from __future__ import annotations

from datetime import datetime

from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.tickets import DuplicateCoid, Refused, Ticket
from ibkr_assets.simulator.venue import Venue


class LateOrders:
    """Tickets on their way, by the market time of their arrival."""

    def __init__(self) -> None:
        self._waiting: list[tuple[datetime, Ticket]] = []

    def send(self, due_at: datetime, ticket: Ticket) -> None:
        """Let an order arrive at `due_at` (aware market time)."""
        self._waiting.append((due_at, ticket))

    def arrive(self, venue: Venue, until: datetime) -> None:
        """Let those arrive that are due by `until`, each after everything that happens before it."""
        due = sorted((entry for entry in self._waiting if entry[0] <= until), key=lambda entry: entry[0])
        self._waiting = [entry for entry in self._waiting if entry[0] > until]
        for due_at, ticket in due:
            venue.advance(max(due_at, venue.now))
            try:
                venue.submit(ticket)
            except Refused as refused:
                event = "dup_refused" if isinstance(refused, DuplicateCoid) else "reject"
                venue.record(
                    Record(
                        event, venue.now, ticket.coid, None, venue.book.account.name, ticket.conid, ticket.side,
                        ticket.quantity, ticket.price, detail={"text": str(refused)},
                    )
                )  # fmt: skip
