"""Handlers that tell when a contract can be traded, in IBKR's older form and in its newer one. Sessions are the tape's.

Stocks trade from 04:00 to 20:00 New York time around their session, until 17:00 after an early close.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.formats import seconds
from ibkr_assets.simulator.listings import Contract

_EASTERN = ZoneInfo("America/New_York")
_DAYS_AHEAD = 7
_EXCEPTIONS_AHEAD = 60
_NO_CONTRACT = "No contract found"
_EXTENDED_OPEN, _EXTENDED_CLOSE, _EARLY_EXTENDED_CLOSE = time(4), time(20), time(17)
#: In the older form a day of the first week of 2000 stands for every such weekday. It began on a Saturday.
_EVERY_WEEK = [date(2000, 1, 1) + timedelta(days=day) for day in range(7)]
_SATURDAY = 5


def trading_schedule(call: Call) -> Answer:
    """Sessions of the next days in seconds since the epoch, by New York day; a holiday is not there."""
    if call.conid(call.query.get("conid")) not in call.gateway.tape.contracts:
        return refusal(500, _NO_CONTRACT)
    schedules = {
        f"{session.day:%Y%m%d}": {
            "liquid_hours": [{"opening": seconds(session.opens_at), "closing": seconds(session.closes_at)}],
            "extended_hours": [_extended(session)],
        }
        for session in _sessions(call, _DAYS_AHEAD).values()
    }
    return Answer({"exchange_time_zone": "US/Eastern", "schedules": schedules})


def _extended(session: TradingSession) -> dict[str, Any]:
    closing = _EARLY_EXTENDED_CLOSE if session.is_early_close else _EXTENDED_CLOSE
    return {
        "cancel_daily_orders": True,
        "opening": seconds(datetime.combine(session.day, _EXTENDED_OPEN, _EASTERN)),
        "closing": seconds(datetime.combine(session.day, closing, _EASTERN)),
    }


def schedule(call: Call) -> Answer:
    """The older form: times of day for every weekday, then the days that are different."""
    contract = _asked(call)
    if contract is None:
        return refusal(500, _NO_CONTRACT)
    venue = {
        "id": f"p{contract.conid}", "tradeVenueId": f"v{contract.conid}", "exchange": contract.exchange,
        "description": contract.exchange, "timezone": "America/New_York",
    }  # fmt: skip
    return Answer([venue | {"schedules": list(_days(call))}])


def _asked(call: Call) -> Contract | None:
    tape, conid = call.gateway.tape, call.query.get("conid")
    if conid is not None:
        return tape.contracts.get(call.conid(conid))
    if not call.query.get("symbol"):
        raise BadRequest("Bad Request: symbol is required")
    if call.query.get("assetClass", "STK") != "STK":
        return None
    return tape.by_symbol.get(call.query["symbol"])


def _days(call: Call) -> Iterator[dict[str, Any]]:
    for day in _EVERY_WEEK:
        yield _closed(day) if day.weekday() >= _SATURDAY else _open(day, time(9, 30), time(16), _EXTENDED_CLOSE)
    sessions = _sessions(call, _EXCEPTIONS_AHEAD)
    today = call.gateway.venue.now.astimezone(_EASTERN).date()
    for day in (today + timedelta(days=ahead) for ahead in range(_EXCEPTIONS_AHEAD + 1)):
        session = sessions.get(day)
        if session is not None and session.is_early_close:
            closes = session.closes_at.astimezone(_EASTERN).time()
            yield _open(day, session.opens_at.astimezone(_EASTERN).time(), closes, _EARLY_EXTENDED_CLOSE)
        elif session is None and day.weekday() < _SATURDAY:
            yield _closed(day)


def _open(day: date, opens: time, closes: time, ends: time) -> dict[str, Any]:
    session = {"openingTime": f"{opens:%H%M}", "closingTime": f"{closes:%H%M}", "prop": "LIQUID"}
    trading = {"openingTime": f"{_EXTENDED_OPEN:%H%M}", "closingTime": f"{ends:%H%M}", "cancelDayOrders": "Y"}
    return {
        "clearingCycleEndTime": f"{ends:%H%M}", "tradingScheduleDate": f"{day:%Y%m%d}", "sessions": [session],
        "tradingtimes": [trading],
    }  # fmt: skip


def _closed(day: date) -> dict[str, Any]:
    return {
        "clearingCycleEndTime": "0000", "tradingScheduleDate": f"{day:%Y%m%d}", "sessions": [], "tradingtimes": [],
    }  # fmt: skip


def _sessions(call: Call, days: int) -> dict[date, TradingSession]:
    today = call.gateway.venue.now.astimezone(_EASTERN).date()
    return {s.day: s for s in call.gateway.tape.sessions_between(today, today + timedelta(days=days))}
