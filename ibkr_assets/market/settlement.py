"""When the proceeds of a sale in New York are cash: so many business days after the trade, by the rule of its day.

What goes here: the rule and its days. What does not: sums of money (`adapters.postgres.risk_facts`), and what must be
covered by settled cash (`risk.cash`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cache

from ibkr_assets.market.new_york import ZONE, is_listed, list_sessions

#: From which trade day on, newest first, a sale settles how many business days later.
CYCLES = ((date(2024, 5, 28), 1), (date(2017, 9, 5), 2), (date(1995, 6, 7), 3))


def cycle_days(trade_day: date) -> int:
    """Business days from the trade to its settlement: 1, 2 from 2017-09-05 on, 3 from 1995-06-07 on.

    Source: SEC rule 15c6-1(a) (17 CFR 240.15c6-1), as amended by releases 34-96930 (T+1 from 2024-05-28), 34-80295
    (T+2 from 2017-09-05) and 33-7022 (T+3 from 1995-06-07). Earlier days count as the earliest of these.
    """
    return next((days for since, days in CYCLES if trade_day >= since), CYCLES[-1][1])


def is_settlement_day(day: date) -> bool:
    """Whether trades settle on `day`: the exchange trades on it and banks are open.

    Banks rest on Columbus Day and Veterans Day, on which the exchange trades (Federal Reserve holiday schedule; FINRA
    names both as no settlement dates each year). A holiday on a Sunday is kept on the Monday after it.
    """
    return _is_session(day) and not _is_bank_holiday(day)


def settles_on(trade_day: date) -> date:
    """The day on which a sale of `trade_day` becomes cash."""
    days = (day for day in _days_after(trade_day) if is_settlement_day(day))
    for _ in range(cycle_days(trade_day) - 1):
        next(days)
    return next(days)


def unsettled_since(now: datetime) -> datetime:
    """Sales executed at this instant (aware) or later are not cash yet at `now`; those before it are.

    What settles on a day counts from that day's midnight in New York on.
    """
    return datetime.combine(_oldest_unsettled(now.astimezone(ZONE).date()), time(), ZONE)


@cache
def _oldest_unsettled(today: date) -> date:
    oldest = today
    while settles_on(oldest - timedelta(days=1)) > today:
        oldest -= timedelta(days=1)
    return oldest


def _days_after(day: date) -> Iterator[date]:
    while True:
        day += timedelta(days=1)
        yield day


@cache
def _is_session(day: date) -> bool:
    if is_listed(day, day):
        return bool(list_sessions("XNYS", day, day))
    from ibkr_assets.market.calendar import exchange_calendar

    return bool(exchange_calendar("XNYS").sessions(day, day))


def _is_bank_holiday(day: date) -> bool:
    """Columbus Day is the second Monday of October, Veterans Day the eleventh of November."""
    if day.month == 10:
        return day.weekday() == 0 and 8 <= day.day <= 14
    return day.month == 11 and (day.day == 11 or (day.day == 12 and day.weekday() == 0))
