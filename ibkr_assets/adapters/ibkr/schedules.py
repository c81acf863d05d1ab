"""When a contract trades in the next days, as IBKR tells it. What follows from it is `market.hours`' question."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ibkr_assets.adapters.ibkr import payloads
from ibkr_assets.domain.errors import UnreadableAnswer

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.session import Session
    from ibkr_assets.market.hours import Hours

PATH = "contract/trading-schedule"


class _Stretch(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    opening: int
    closing: int


class _Day(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    liquid_hours: list[_Stretch] = []


class _Schedule(BaseModel):
    """`/contract/trading-schedule`: seconds since the epoch, by day of the exchange."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schedules: dict[str, _Day]


def fetch_hours(session: Session, conid: int) -> dict[date, Hours]:
    """Regular hours by day of the exchange; a day without any is closed.

    Raises UnreadableAnswer for a day or a stretch that is none, and what `Session.read` raises.
    """
    what = f"trading schedule of {conid}"
    found = payloads.read(_Schedule, session.read(PATH, {"conid": conid}), what)
    return {_day(text, what): _hours(day, what) for text, day in found.schedules.items()}


def _day(text: str, what: str) -> date:
    try:
        day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        day = None
    if day is None or f"{day:%Y%m%d}" != text:
        raise UnreadableAnswer(f"{what}: day {text!r} is none")
    return day


def _hours(day: _Day, what: str) -> Hours:
    hours = tuple(
        (datetime.fromtimestamp(one.opening, UTC), datetime.fromtimestamp(one.closing, UTC))
        for one in sorted(day.liquid_hours, key=lambda one: one.opening)
    )
    for opens_at, closes_at in hours:
        if not opens_at < closes_at:
            raise UnreadableAnswer(f"{what}: {opens_at.isoformat()} to {closes_at.isoformat()} is no time of trading")
    return hours
