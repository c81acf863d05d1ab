"""Minutes since the epoch, and when US stocks trade outside their session: from 04:00 New York to 4 hours after it.

A session's own hours, half days and clock changes included, are on the session; which days there are is the tape's.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ibkr_assets.domain.session import TradingSession

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
_EXTENDED_OPEN = time(4)
_AFTER_CLOSE = timedelta(hours=4)


def minute_of(moment: datetime) -> int:
    """The minute since the epoch that `moment` is in."""
    return int(moment.timestamp()) // 60


def time_of(minute: int) -> datetime:
    """The start of a minute since the epoch, aware UTC."""
    return datetime.fromtimestamp(minute * 60, UTC)


@lru_cache(maxsize=8192)
def extended_open(session: TradingSession) -> datetime:
    """When trading before the session begins: 04:00 in New York, as UTC."""
    return min(datetime.combine(session.day, _EXTENDED_OPEN, NEW_YORK).astimezone(UTC), session.opens_at)


def extended_close(session: TradingSession) -> datetime:
    """When trading after the session ends: 20:00 in New York, 17:00 on a half day, as UTC."""
    return session.closes_at + _AFTER_CLOSE
