"""When a strategy decides: after which sessions, and in the evening after them or in the morning of the next.

What goes here: how that is written, and whether a session is one of them. What does not: who asks (`defs.due`). All
days are the exchange's own: the last session of a week may be a Thursday.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ibkr_assets.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar

#: What a schedule may say; the first is what a strategy has that says nothing.
FORMS = ("after_close", "before_open", "weekly", "weekly:before_open", "monthly", "monthly:before_open")
_ZONE = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Schedule:
    """After each session, or after the last of each `week` or `month`; `waits` for the morning of the next session."""

    period: str
    waits: bool

    def decides_on(self, session: TradingSession, calendar: ExchangeCalendar) -> bool:
        """Whether the close of `session` is one to decide at."""
        following = calendar.next_session(session.day).day
        if self.period == "weekly":
            return session.day.isocalendar()[:2] != following.isocalendar()[:2]
        if self.period == "monthly":
            return (session.day.year, session.day.month) != (following.year, following.month)
        return True

    def is_time(self, session: TradingSession, now: datetime, calendar: ExchangeCalendar) -> bool:
        """Whether, at the market's time `now`, it may be decided on a `session` that has closed."""
        return not self.waits or now.astimezone(_ZONE).date() >= calendar.next_session(session.day).day


def parse_schedule(text: str) -> Schedule:
    """Read one of FORMS. Raises ConfigurationError naming the text."""
    if text not in FORMS:
        raise ConfigurationError(f"schedule {text!r}: expected one of {', '.join(FORMS)}")
    period, _, moment = text.partition(":")
    return Schedule(period, waits="before_open" in (period, moment))
