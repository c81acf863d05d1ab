"""Partitions of the assets: one for each session of the exchange, its key the ISO date.

What goes here: which dates are partitions. What does not: when a session opens and closes (`market.calendar`), and
which one a run should be asked for (`defs.due`).
"""

from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.market.new_york import CLOSED_WEEKDAYS

TIME_ZONE = "America/New_York"
_CRON_WEEKDAYS = {5: "0 0 * * 6", 6: "0 0 * * 0"}


def session_partitions(mic: str, first_session: str, last_session: str | None = None) -> dg.DailyPartitionsDefinition:
    """The sessions of an exchange from `first_session` to `last_session`; without it the present day is the last one.

    Raises ConfigurationError when `first_session` is no ISO date or no session of the exchange, or `last_session` is
    no ISO date or before it.
    """
    first = _day("first_session", first_session)
    last = None if last_session is None else _day("last_session", last_session)
    if last is not None and last < first:
        raise ConfigurationError(f"market.last_session: {last} is before market.first_session {first}")
    partitions = dg.DailyPartitionsDefinition(
        start_date=first.isoformat(),
        end_date=None if last is None else (last + timedelta(days=1)).isoformat(),
        timezone=TIME_ZONE,
        end_offset=1 if last is None else 0,
        exclusions=[*_closed_weekdays(mic, first)],
    )
    if partitions.get_first_partition_key() != first.isoformat():
        raise ConfigurationError(f"market.first_session: {first} is not a session of {mic}")
    return partitions


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"market.{name}: expected an ISO date, got {text!r}") from None


def _closed_weekdays(mic: str, first: date) -> list[str | datetime]:
    """What is left out of all days: weekends as a rule, single days as midnights of the exchange."""
    this_year = datetime.now(UTC).year
    if mic == "XNYS" and min(CLOSED_WEEKDAYS) <= first.year and this_year < max(CLOSED_WEEKDAYS):
        days = [date.fromisoformat(f"{year}-{day}") for year, text in CLOSED_WEEKDAYS.items() for day in text.split()]
        return [*_CRON_WEEKDAYS.values(), *(_midnight(day) for day in days if day >= first)]
    return _computed(mic, first)


def _computed(mic: str, first: date) -> list[str | datetime]:
    from ibkr_assets.market.calendar import exchange_calendar

    calendar = exchange_calendar(mic)
    sessions = {session.day for session in calendar.sessions(max(first, calendar.first_day), calendar.last_day)}
    days = [first + timedelta(days=n) for n in range((calendar.last_day - first).days + 1)]
    never = {weekday for weekday in _CRON_WEEKDAYS if not any(day.weekday() == weekday for day in sessions)}
    closed = [day for day in days if day not in sessions and day.weekday() not in never]
    return [*(_CRON_WEEKDAYS[weekday] for weekday in sorted(never)), *(_midnight(day) for day in closed)]


def _midnight(day: date) -> datetime:
    """Dagster reads a time without a zone in the zone of the partitions."""
    return datetime.combine(day, time())
