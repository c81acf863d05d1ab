"""The market clock: still, stepped by hand, or running at a speed. Monotonic seconds come in, market time goes out.

What happens when time passes is the venue's work; that it never runs backwards is kept here.
"""

from __future__ import annotations

from datetime import datetime, timedelta


class BackwardsInTime(Exception):
    """The clock was asked to go back."""


class RunningClock:
    """Market time as a function of a monotonic second count. `speed` is market seconds a real second."""

    def __init__(self, start: datetime, speed: float, mono: float) -> None:
        self._anchor = start
        self._anchored_at = mono
        self._speed = speed

    @property
    def speed(self) -> float:
        """Market seconds a real second; 0 stands still."""
        return self._speed

    def now(self, mono: float) -> datetime:
        """Market time, aware UTC."""
        return self._anchor + timedelta(seconds=self._speed * (mono - self._anchored_at))

    def set(self, moment: datetime, mono: float) -> None:
        """Jump forward. Raises BackwardsInTime."""
        now = self.now(mono)
        if moment < now:
            raise BackwardsInTime(f"the clock is at {now.isoformat()} and cannot go back to {moment.isoformat()}")
        self._anchor, self._anchored_at = moment, mono

    def run(self, speed: float, mono: float) -> None:
        """Go on from now at another speed."""
        self._anchor, self._anchored_at = self.now(mono), mono
        self._speed = speed
