"""The handler of past bars, with IBKR's window rules. Bars up to the market clock and no further.

`startTime` is the end of the window. A daily tape has bars of a day, a week and a month; the bar of a session that
is still open shows its open and nothing else. Volume is in units of `VOLUME_FACTOR` shares.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.formats import dashed_time, millis, money, size_text
from ibkr_assets.simulator.tape import Tape

VOLUME_FACTOR = 40
PRICE_FACTOR = 100
MOST_POINTS = 1000
_UNAVAILABLE = "Chart data unavailable"

_MINUTE, _HOUR, _DAY, _WEEK, _MONTH, _YEAR = 60, 3_600, 86_400, 604_800, 2_678_400, 31_536_000
_BARS = {
    "1min": _MINUTE, "2min": 120, "3min": 180, "5min": 300, "10min": 600, "15min": 900, "30min": 1_800, "1h": _HOUR,
    "2h": 7_200, "3h": 10_800, "4h": 14_400, "8h": 28_800, "1d": _DAY, "1w": _WEEK, "1m": _MONTH,
}  # fmt: skip
_PERIODS = {
    "min": (30, _MINUTE), "h": (8, _HOUR), "d": (1000, _DAY), "w": (792, _WEEK), "m": (182, _MONTH), "y": (15, _YEAR),
}  # fmt: skip
#: The finest bar of a period, from the period's length on; IBKR's table of permitted combinations.
_FINEST_BAR = (
    (_MINUTE, _MINUTE), (_WEEK, 600), (_MONTH, _HOUR), (3 * _MONTH, 7_200), (6 * _MONTH, 14_400), (_YEAR, 28_800),
    (2 * _YEAR, _DAY), (15 * _YEAR, _WEEK),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Bar:
    """Prices in USD, volume in shares; `opened_at` is the stamp, `day` the last session in the bar."""

    opened_at: datetime
    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


@dataclass(frozen=True, slots=True)
class _Window:
    """Days count sessions; weeks, months and years count calendar time before the end of the window."""

    count: int
    unit: str
    until: datetime

    def sessions(self, tape: Tape) -> Sequence[TradingSession]:
        """Sessions opened in the window, `until` included."""
        stop = tape.opened_index(self.until) + 1
        if self.unit in ("min", "h", "d"):
            length = self.count if self.unit == "d" else 1
            return tape.sessions[max(stop - length, 0) : stop]
        return [s for s in tape.sessions_between(self._first_day(), self.until.date()) if s.opens_at <= self.until]

    def _first_day(self) -> date:
        end = self.until.date()
        if self.unit == "w":
            return end - timedelta(weeks=self.count) + timedelta(days=1)
        months = end.year * 12 + end.month - 1 - self.count * (12 if self.unit == "y" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(end.day, 28)) + timedelta(days=1)


def history(call: Call) -> Answer:
    """Bars of one contract, oldest first."""
    conid = call.conid(call.query.get("conid"))
    period, bar = call.query.get("period", "1w"), call.query.get("bar", "")
    count, unit = _read_period(period)
    if bar not in _BARS:
        raise BadRequest(f"Bad Request: bar is not one of {', '.join(_BARS)}: {bar}")
    contract = call.gateway.tape.contracts.get(conid)
    if contract is None:
        return refusal(500, f"No data. conid {conid}")
    if call.query.get("direction", "-1") != "-1" or not _is_permitted(count * _PERIODS[unit][1], _BARS[bar]):
        return Answer({"error": _UNAVAILABLE}, 500)
    now = call.gateway.venue.now
    until = min(_read_start_time(call.query.get("startTime")) or now, now)
    bars = _bars(call.gateway.tape, conid, bar, _Window(count, unit, until), now)[-MOST_POINTS:]
    if not bars:
        return Answer({"error": "No data."}, 500)
    head = {"symbol": contract.symbol, "text": contract.company, "outsideRth": call.flag("outsideRth")}
    return Answer(head | _chart(period, _BARS[bar], bars))


def _read_period(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+)(min|h|d|w|m|y)", text)
    if match is None or not 1 <= int(match[1]) <= _PERIODS[match[2]][0]:
        raise BadRequest(f"Bad Request: period cannot be read: {text}")
    return int(match[1]), match[2]


def _read_start_time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise BadRequest(f"Bad Request: startTime is not YYYYMMDD-HH:mm:ss: {text}") from None


def _is_permitted(period_s: int, bar_s: int) -> bool:
    finest = max((bar for length, bar in _FINEST_BAR if length <= period_s), default=_MINUTE)
    return finest <= bar_s <= period_s and bar_s >= _DAY


def _bars(tape: Tape, conid: int, size: str, window: _Window, now: datetime) -> list[_Bar]:
    daily = []
    for session in window.sessions(tape):
        bar = tape.bar(conid, session.day)
        if bar is None:
            continue
        if now < session.closes_at:
            daily.append(_Bar(session.opens_at, session.day, bar.open, bar.open, bar.open, bar.open, 0))
        else:
            daily.append(_Bar(session.opens_at, session.day, bar.open, bar.high, bar.low, bar.close, bar.volume))
    if size == "1w":
        return [_merge(list(group)) for _, group in groupby(daily, key=lambda bar: bar.day.isocalendar()[:2])]
    if size == "1m":
        return [
            _merge(list(group), stamp=datetime.combine(date(*month, 1), time(), UTC))
            for month, group in groupby(daily, key=lambda bar: (bar.day.year, bar.day.month))
        ]
    return daily


def _merge(bars: Sequence[_Bar], stamp: datetime | None = None) -> _Bar:
    return _Bar(
        stamp or bars[0].opened_at, bars[-1].day, bars[0].open, max(b.high for b in bars), min(b.low for b in bars),
        bars[-1].close, sum(b.volume for b in bars),
    )  # fmt: skip


def _chart(period: str, bar_s: int, bars: list[_Bar]) -> dict[str, Any]:
    top, bottom = max(bars, key=lambda b: b.high), min(bars, key=lambda b: b.low)
    start = bars[0].opened_at

    def extreme(price: Decimal, bar: _Bar) -> str:
        minutes = int((bar.opened_at - start).total_seconds() // 60)
        return f"{size_text((price * PRICE_FACTOR).quantize(Decimal(1)))}/{_volume(bar)}/{minutes}"

    return {
        "serverId": "20962328", "priceFactor": PRICE_FACTOR,
        "startTime": dashed_time(start), "high": extreme(top.high, top), "low": extreme(bottom.low, bottom),
        "timePeriod": period, "barLength": bar_s, "mdAvailability": "S", "mktDataDelay": 0,
        "tradingDayDuration": 390, "volumeFactor": VOLUME_FACTOR,
        "priceDisplayRule": 1, "priceDisplayValue": "2", "negativeCapable": False, "messageVersion": 2,
        "data": [
            {
                "o": money(bar.open), "c": money(bar.close), "h": money(bar.high), "l": money(bar.low),
                "v": _volume(bar), "t": millis(bar.opened_at),
            }
            for bar in bars
        ],
        "points": len(bars) - 1, "travelTime": 3,
    }  # fmt: skip


def _volume(bar: _Bar) -> float:
    return money(Decimal(bar.volume) / VOLUME_FACTOR)
