"""The handler of past bars, with IBKR's window rules. Bars up to the market clock, or to its delay, and no further.

`startTime` is the end of the window. A daily tape has bars of a day, a week and a month; with minute bars there are
those from a minute to eight hours too. How bars are made, and what the newest one shows, is `charts`' work. Volume is
in units of `VOLUME_FACTOR` shares.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.charts import ChartBar, daily_bars, intraday_bars, monthly_bars, weekly_bars
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.formats import dashed_time, millis, money, size_text
from ibkr_assets.simulator.face.quotes import QUOTE_DELAY
from ibkr_assets.simulator.hours import extended_open
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
_LONGEST_INTRADAY = 28_800
_LOOKBACK_SESSIONS = 10


@dataclass(frozen=True, slots=True)
class _Window:
    """Days count sessions; weeks, months and years count calendar time before the end of the window."""

    count: int
    unit: str
    until: datetime

    @property
    def period_s(self) -> int:
        """Length in seconds, as IBKR's table of permitted bars reads it."""
        return self.count * _PERIODS[self.unit][1]

    def sessions(self, tape: Tape, *, is_outside: bool) -> Sequence[TradingSession]:
        """Sessions begun in the window, `until` included; a day begins at its open, or with the hours before it."""
        stop = tape.opened_index(self.until) + 1
        if is_outside and stop < len(tape.sessions) and extended_open(tape.sessions[stop]) <= self.until:
            stop += 1
        if self.unit in ("min", "h"):
            # The last hours of trading may lie in two sessions, or in more of them where few minutes have bars.
            return tape.sessions[max(stop - _LOOKBACK_SESSIONS, 0) : stop]
        if self.unit == "d":
            return tape.sessions[max(stop - self.count, 0) : stop]
        start = bisect_left(tape.sessions, self._first_day(), hi=stop, key=lambda session: session.day)
        return tape.sessions[start:stop]

    def most_bars(self, bar_s: int) -> int:
        """How many bars are told: hours and minutes count time in which there was trading."""
        return min(-(-self.period_s // bar_s), MOST_POINTS) if self.unit in ("min", "h") else MOST_POINTS

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
    availability = call.gateway.options.market_data
    delay = QUOTE_DELAY if availability.startswith("D") else timedelta(0)
    now = call.gateway.venue.now - delay
    window = _Window(count, unit, min(_read_start_time(call.query.get("startTime")) or now, now))
    is_intraday = _BARS[bar] < _DAY
    is_there = call.gateway.tape.has_minutes(conid) or not is_intraday
    is_there &= not availability.startswith("N")
    if call.query.get("direction", "-1") != "-1" or not _is_permitted(window.period_s, _BARS[bar]) or not is_there:
        return Answer({"error": _UNAVAILABLE}, 500)
    is_outside = call.flag("outsideRth")
    bars = _bars(call.gateway.tape, conid, bar, window, now, is_outside=is_outside)
    if not bars:
        return Answer({"error": "No data."}, 500)
    head = {"symbol": contract.symbol, "text": contract.company, "outsideRth": is_outside}
    feed = {"mdAvailability": "D" if delay else "S", "mktDataDelay": int(delay.total_seconds())}
    return Answer(head | _chart(period, _BARS[bar], bars) | feed)


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
    coarsest = max(period_s, _LONGEST_INTRADAY) if period_s >= _HOUR else period_s
    return finest <= bar_s <= coarsest


def _bars(tape: Tape, conid: int, size: str, window: _Window, now: datetime, *, is_outside: bool) -> list[ChartBar]:
    sessions, bar_s = window.sessions(tape, is_outside=is_outside), _BARS[size]
    if bar_s < _DAY:
        newest_first = intraday_bars(
            tape, conid, sessions, bar_s // _MINUTE, window.until, now, is_outside=is_outside
        )  # fmt: skip
        return list(islice(newest_first, window.most_bars(bar_s)))[::-1]
    if size == "1d":
        sessions = sessions[-MOST_POINTS:]
    daily = daily_bars(tape, conid, sessions, now, is_outside=is_outside)
    whole = {"1d": lambda: daily, "1w": lambda: weekly_bars(daily), "1m": lambda: monthly_bars(daily)}[size]()
    return whole[-MOST_POINTS:]


def _chart(period: str, bar_s: int, bars: list[ChartBar]) -> dict[str, Any]:
    top, bottom = max(bars, key=lambda b: b.high), min(bars, key=lambda b: b.low)
    start = bars[0].opened_at

    def extreme(price: Decimal, bar: ChartBar) -> str:
        minutes = int((bar.opened_at - start).total_seconds() // 60)
        return f"{size_text((price * PRICE_FACTOR).quantize(Decimal(1)))}/{_volume(bar)}/{minutes}"

    return {
        "serverId": "20962328", "priceFactor": PRICE_FACTOR,
        "startTime": dashed_time(start), "high": extreme(top.high, top), "low": extreme(bottom.low, bottom),
        "timePeriod": period, "barLength": bar_s,
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


def _volume(bar: ChartBar) -> float:
    return money(Decimal(bar.volume) / VOLUME_FACTOR)
