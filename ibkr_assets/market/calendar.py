"""Which days an exchange trades, and when it opens and closes, as `TradingSession` values.

Days and hours come from the exchange_calendars library, early closes and unplanned closures included; nothing here
is a list of our own. What time it is now is the clock's work, and what a bar must look like is `market.validation`'s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.session import TradingSession

#: Sessions are known from here on (later where the library's own history starts later).
FIRST_DAY = "1999-01-01"


class ExchangeCalendar:
    """The sessions of one exchange in order of time, ending about one year ahead of the machine's date.

    Every method raises InputError, naming the exchange and the day, for a day the calendar does not reach.
    """

    def __init__(self, mic: str, sessions: Sequence[TradingSession]) -> None:
        self.mic = mic
        self._sessions = tuple(sessions)
        self._days = [s.day for s in self._sessions]
        self._opens = [s.opens_at for s in self._sessions]
        self._closes = [s.closes_at for s in self._sessions]

    @property
    def first_day(self) -> date:
        """The first session's day."""
        return self._days[0]

    @property
    def last_day(self) -> date:
        """The last session's day."""
        return self._days[-1]

    def session(self, day: date) -> TradingSession:
        """The session of `day`. Raises InputError when the exchange does not trade on it."""
        self._check(day)
        index = bisect_left(self._days, day)
        if self._days[index] != day:
            before, after = self._days[index - 1], self._days[index]
            raise InputError(f"day {day}: not a session of {self.mic}; the sessions around it are {before} and {after}")
        return self._sessions[index]

    def is_session(self, day: date) -> bool:
        """True when the exchange trades on `day`."""
        self._check(day)
        return self._days[bisect_left(self._days, day)] == day

    def sessions(self, start_day: date, end_day: date) -> list[TradingSession]:
        """Sessions from `start_day` to `end_day`, both included; empty when none lies between them."""
        self._check(start_day)
        self._check(end_day)
        if end_day < start_day:
            raise InputError(f"end_day {end_day}: before start_day {start_day}")
        return list(self._sessions[bisect_left(self._days, start_day) : bisect_right(self._days, end_day)])

    def next_session(self, day: date) -> TradingSession:
        """The first session after `day`, which need not be a session itself."""
        self._check(day)
        index = bisect_right(self._days, day)
        if index == len(self._days):
            raise InputError(f"day {day}: the calendar of {self.mic} ends on {self.last_day}")
        return self._sessions[index]

    def previous_session(self, day: date) -> TradingSession:
        """The last session before `day`, which need not be a session itself."""
        return self.sessions_before(day, 1)[0]

    def sessions_before(self, day: date, count: int) -> list[TradingSession]:
        """The `count` sessions before `day` (not included), in order of time."""
        self._check(day)
        if count < 0:
            raise InputError(f"count {count}: must not be negative")
        index = bisect_left(self._days, day)
        if index < count:
            raise InputError(
                f"day {day}: {self.mic} has only {index} sessions before it, {count} asked for; "
                f"the calendar starts on {self.first_day}"
            )
        return list(self._sessions[index - count : index])

    def sessions_up_to(self, moment: datetime, count: int) -> list[TradingSession]:
        """The `count` sessions that opened before `moment` (aware), fewer where the calendar starts later."""
        index = bisect_left(self._opens, moment)
        return list(self._sessions[max(0, index - count) : index])

    def sessions_between(self, start: datetime, end: datetime) -> list[TradingSession]:
        """Sessions open at or after `start` that opened by `end` (both aware), as far as the calendar reaches."""
        return list(self._sessions[bisect_right(self._closes, start) : bisect_right(self._opens, end)])

    def last_closed(self, moment: datetime) -> TradingSession:
        """The newest session whose close is at or before `moment` (aware)."""
        index = bisect_right(self._closes, self._aware(moment))
        if index == 0:
            raise InputError(f"moment {moment.isoformat()}: before the first close {self._closes[0]} of {self.mic}")
        return self._sessions[index - 1]

    def session_at(self, moment: datetime) -> TradingSession | None:
        """The session open at `moment` (aware), opening included, close excluded; None outside of sessions."""
        index = bisect_right(self._opens, self._aware(moment)) - 1
        if index < 0:
            return None
        session = self._sessions[index]
        return session if session.is_open_at(moment) else None

    def _aware(self, moment: datetime) -> datetime:
        if moment.tzinfo is None:
            raise InputError(f"moment {moment!r}: must carry a time zone")
        self._check(moment.astimezone(UTC).date())
        return moment

    def _check(self, day: date) -> None:
        if isinstance(day, datetime) or not isinstance(day, date):
            raise InputError(f"day {day!r}: must be a date, got {type(day).__name__}")
        if not self.first_day <= day <= self.last_day:
            raise InputError(
                f"day {day}: outside the calendar of {self.mic}, which reaches from {self.first_day} to {self.last_day}"
            )


@cache
def exchange_calendar(mic: str) -> ExchangeCalendar:
    """The calendar of an exchange by its ISO 10383 MIC, such as `XNYS`; built once a process (about half a second).

    Raises InputError when the library does not know the name.
    """
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    try:
        try:
            calendar = exchange_calendars.get_calendar(mic, start=FIRST_DAY)
        except ValueError:  # a few exchanges have no history that long; theirs starts where the library's does
            calendar = exchange_calendars.get_calendar(mic)
    except CalendarError:
        raise InputError(f"mic {mic!r}: no exchange calendar of this name") from None

    early = {moment.date() for moment in calendar.early_closes}
    return ExchangeCalendar(
        mic,
        [
            TradingSession(
                mic,
                day.date(),
                _utc(opens_at),
                _utc(closes_at),
                day.date() in early,
                _instant(breaks),
                _instant(resumes),
            )
            for day, opens_at, closes_at, breaks, resumes in zip(
                calendar.sessions.to_pydatetime(),
                calendar.opens.to_list(),
                calendar.closes.to_list(),
                calendar.break_starts.to_list(),
                calendar.break_ends.to_list(),
                strict=True,
            )
        ],
    )


def _utc(stamp: Any) -> datetime:
    moment: datetime = stamp.to_pydatetime()
    return moment.astimezone(UTC)


def _instant(stamp: Any) -> datetime | None:
    """None for a session without a break."""
    return None if stamp is None or stamp != stamp else _utc(stamp)
