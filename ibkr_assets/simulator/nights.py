"""What IBKR's nights do to a gateway: the reset at midnight of its region, and the maintenance after it.

Pure functions of market time. What ends at a reset is decided in `sessions`, what is answered meanwhile in `face`.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

#: Where a region's midnight is, after the "Session" section of IBKR's Web API page.
REGIONS = {
    "america": ZoneInfo("America/New_York"),
    "europe": ZoneInfo("Europe/Zurich"),
    "asia": ZoneInfo("Asia/Hong_Kong"),
}
_MAINTENANCE_FROM, _MAINTENANCE_TO = time(1, 0), time(1, 10)


class NightlyReset(StrEnum):
    """What midnight ends: nothing, the brokerage session, or the login with it, as for users of the real gateway."""

    OFF = "off"
    BROKERAGE = "brokerage"
    LOGIN = "login"


def next_midnight(after: datetime, zone: ZoneInfo) -> datetime:
    """The first midnight of the zone after an instant, aware UTC."""
    day = after.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def is_maintenance(now: datetime, zone: ZoneInfo) -> bool:
    """True in the ten minutes from 01:00 of the zone; in the earlier ones where the clock goes back."""
    local = now.astimezone(zone)
    return local.fold == 0 and _MAINTENANCE_FROM <= local.time() < _MAINTENANCE_TO
