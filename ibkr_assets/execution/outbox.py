"""What the process that sends alerts is given: its door to the outbox, and the ways to reach somebody.

What goes here: the two interfaces. What does not: those who carry them out (`adapters.postgres.alert_outbox`,
`adapters.channels`), and the order of effects (`execution.alert_sender`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, datetime, timedelta

    from ibkr_assets.domain.alert import Channel, Delivery, Severity, Unplanned


class Target(Protocol):
    """One way to reach somebody."""

    name: str

    def send(self, title: str, body: str, severity: Severity) -> None:
        """Hand a message over once. Raises Unavailable when it was not taken."""


class Outbox(Protocol):
    """The sender's door to the database; all methods raise Unavailable and LedgerConflict."""

    def exclusive(self) -> AbstractContextManager[Callable[[], bool]]:
        """The right to send, of one process at a time; what it gives says whether it is this one's, still."""

    def take_over(self, channels: Sequence[Channel], now: datetime) -> None:
        """Register channels, end tries that another process left open."""

    def unplanned(self, remind_before: datetime) -> list[Unplanned]:
        """What somebody must be told of and is not planned yet."""

    def plan(self, wanted: Sequence[tuple[Unplanned, datetime]], now: datetime) -> None:
        """When each is due."""

    def plan_digest(self, day: date, at: datetime, now: datetime) -> None:
        """The digest of a day."""

    def due(self, channel: str, now: datetime) -> list[Delivery]:
        """What a channel is to be told now."""

    def sent_since(self, channel: str, since: datetime) -> int:
        """How many messages it was handed."""

    def begin_try(self, channel: str, deliveries: Sequence[int], now: datetime) -> int:
        """Before a message leaves."""

    def end_try(
        self, try_id: int, channel: str, deliveries: Sequence[int], now: datetime, *, problem: str, retry_in: timedelta
    ) -> None:
        """When its end is known."""

    def failing(self) -> dict[str, datetime]:
        """Since when each channel that fails does."""

    def beat(
        self, holder: str, channels: int, now: datetime, *, heartbeat_at: datetime | None, heartbeat_problem: str
    ) -> None:
        """That this process looks."""

    def watchdog_age_s(self) -> float | None:
        """How long ago the watchdog looked."""
