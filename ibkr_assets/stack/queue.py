"""Dagster's run queue, looked at twice a second instead of once.

What goes here: how often the daemon looks. What does not: the limits that the queue keeps (`stack.instance`). Half
a second is the least: the daemon's loop sleeps in steps of it, and does not sleep at all for less than nothing.
"""

from __future__ import annotations

from dagster._core.run_coordinator import QueuedRunCoordinator

from ibkr_assets.stack.instance import SHORTEST_INTERVAL_S


class PromptRunCoordinator(QueuedRunCoordinator):
    """The queue of runs; Dagster's own accepts whole seconds only, half of which each run waits."""

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]
        """Seconds between two looks; the daemon's loop reads it once, when it starts."""
        return SHORTEST_INTERVAL_S
