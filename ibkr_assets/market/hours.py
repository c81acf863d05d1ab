"""Hours of a session as the exchange's calendar has them and as the broker tells them, and where the two differ.

What goes here: comparing. What does not: asking the broker (`adapters.ibkr.schedules`), and keeping what was found
(`adapters.postgres.hours`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar

#: Stretches of trading, each from its opening to its close (aware UTC), in order.
Hours = tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class HoursDifference:
    """One day on which they do not agree, both in words; `closed` where one of them has no session."""

    day: date
    calendar_hours: str
    broker_hours: str


def session_hours(session: TradingSession) -> Hours:
    """The stretches of a session: one, or two around a break."""
    if session.breaks_at is None or session.resumes_at is None:
        return ((session.opens_at, session.closes_at),)
    return ((session.opens_at, session.breaks_at), (session.resumes_at, session.closes_at))


def compare_hours(calendar: ExchangeCalendar, told: Mapping[date, Hours]) -> list[HoursDifference]:
    """Days from the first to the last that the broker told of which calendar and broker do not have the same hours.

    A day between them that it does not tell of is closed, as IBKR leaves holidays out. Raises InputError for days that
    the calendar does not reach.
    """
    if not told:
        return []
    first, last = min(told), max(told)
    known = {session.day: session_hours(session) for session in calendar.sessions(first, last)}
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [
        HoursDifference(day, describe_hours(known.get(day, ())), describe_hours(told.get(day, ())))
        for day in days
        if known.get(day, ()) != told.get(day, ())
    ]


def describe_hours(hours: Hours) -> str:
    """For people: `14:30-21:00 UTC`."""
    if not hours:
        return "closed"
    return ", ".join(f"{a.astimezone(UTC):%H:%M}-{b.astimezone(UTC):%H:%M}" for a, b in hours) + " UTC"
