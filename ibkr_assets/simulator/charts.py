"""Bars of any length out of a tape: minutes into hours, days into weeks and months, the newest still forming.

Which bars a request is given, and how they are written, is `face.history`'s work. Bars of a day are as long as its
regular hours, or with the hours around them; bars of minutes and hours begin at multiples of their length on New
York's clock, the first of a day at its first minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import groupby

from ibkr_assets.domain.session import TradingSession
from ibkr_assets.simulator.bars import TapeBar, extended
from ibkr_assets.simulator.hours import NEW_YORK, extended_close, extended_open, minute_of, time_of
from ibkr_assets.simulator.tape import Tape


@dataclass(frozen=True, slots=True)
class ChartBar:
    """Prices in USD, volume in shares; `opened_at` is the stamp, `day` the last session in the bar."""

    opened_at: datetime
    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


def daily_bars(
    tape: Tape, conid: int, sessions: Sequence[TradingSession], now: datetime, *, is_outside: bool
) -> list[ChartBar]:
    """One bar a session, as far as it is known at `now`. `is_outside` adds the hours around it and their stamp."""
    found = []
    for session in sessions:
        bar = tape.known_bar(conid, session, now)
        stamp = session.opens_at
        if is_outside and tape.has_minutes(conid):
            bar = _with_surroundings(tape, conid, session, bar, now)
        if is_outside:
            stamp = extended_open(session)
        if bar is not None:
            found.append(_chart_bar(stamp, session, bar))
    return found


def weekly_bars(daily: Sequence[ChartBar]) -> list[ChartBar]:
    """Calendar weeks, stamped with their first session."""
    return [_merge(list(group)) for _, group in groupby(daily, key=lambda bar: bar.day.isocalendar()[:2])]


def monthly_bars(daily: Sequence[ChartBar]) -> list[ChartBar]:
    """Calendar months, stamped with their first day at 00:00 UTC."""
    return [
        _merge(list(group), stamp=datetime.combine(date(*month, 1), time(), UTC))
        for month, group in groupby(daily, key=lambda bar: (bar.day.year, bar.day.month))
    ]


def intraday_bars(
    tape: Tape,
    conid: int,
    sessions: Sequence[TradingSession],
    minutes: int,
    until: datetime,
    now: datetime,
    *,
    is_outside: bool,
) -> Iterator[ChartBar]:
    """Bars of `minutes` that begin at or before `until`, newest first; the minute of `now` shows its open alone."""
    for session in reversed(sessions):
        first = extended_open(session) if is_outside else session.opens_at
        stop = extended_close(session) if is_outside else session.closes_at
        midnight = minute_of(datetime.combine(session.day, time(), NEW_YORK).astimezone(UTC))
        begins, ends = minute_of(first), minute_of(stop)
        newest = min(minute_of(until), ends - 1)
        start = newest - (newest - midnight) % minutes
        while start + minutes > begins:
            bar = _known_between(tape, conid, max(start, begins), min(start + minutes, ends), now)
            if bar is not None:
                yield _chart_bar(time_of(max(start, begins)), session, bar)
            start -= minutes


def _known_between(tape: Tape, conid: int, first: int, stop: int, now: datetime) -> TapeBar | None:
    """What is known at `now` of the minutes in [first, stop) as one bar."""
    current = minute_of(now)
    over = min(stop, current)
    bars, i, j = tape.minutes_between(conid, time_of(first), time_of(over))
    return extended(bars.merged(i, j), bars.open_at(current) if first <= current < stop else None)


def _with_surroundings(
    tape: Tape, conid: int, session: TradingSession, regular: TapeBar | None, now: datetime
) -> TapeBar | None:
    before = _known_between(tape, conid, minute_of(extended_open(session)), minute_of(session.opens_at), now)
    after = _known_between(tape, conid, minute_of(session.closes_at), minute_of(extended_close(session)), now)
    parts = [part for part in (before, regular, after) if part is not None]
    if not parts:
        return None
    return TapeBar(
        parts[0].open, max(part.high for part in parts), min(part.low for part in parts), parts[-1].close,
        sum(part.volume for part in parts),
    )  # fmt: skip


def _chart_bar(stamp: datetime, session: TradingSession, bar: TapeBar) -> ChartBar:
    return ChartBar(stamp, session.day, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _merge(bars: Sequence[ChartBar], stamp: datetime | None = None) -> ChartBar:
    return ChartBar(
        stamp or bars[0].opened_at, bars[-1].day, bars[0].open, max(b.high for b in bars), min(b.low for b in bars),
        bars[-1].close, sum(b.volume for b in bars),
    )  # fmt: skip
