"""The sessions of the New York exchanges of three decades, as a table: a process that needs no more computes nothing.

What goes here: days, from the exchange_calendars library, which a test compares them with. What does not: other
exchanges and other years, which `market.calendar` computes; importing what it needs takes half a second.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ibkr_assets.domain.session import TradingSession

ZONE = ZoneInfo("America/New_York")
OPENS_AT, CLOSES_AT, CLOSES_EARLY_AT = time(9, 30), time(16), time(13)

#: Month and day by year: holidays by rule, and days of mourning, storms and attacks as they came.
CLOSED_WEEKDAYS = {
    1999: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2000: "01-17 02-21 04-21 05-29 07-04 09-04 11-23 12-25",
    2001: "01-01 01-15 02-19 04-13 05-28 07-04 09-03 09-11 09-12 09-13 09-14 11-22 12-25",
    2002: "01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25",
    2003: "01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25",
    2004: "01-01 01-19 02-16 04-09 05-31 06-11 07-05 09-06 11-25 12-24",
    2005: "01-17 02-21 03-25 05-30 07-04 09-05 11-24 12-26",
    2006: "01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25",
    2007: "01-01 01-02 01-15 02-19 04-06 05-28 07-04 09-03 11-22 12-25",
    2008: "01-01 01-21 02-18 03-21 05-26 07-04 09-01 11-27 12-25",
    2009: "01-01 01-19 02-16 04-10 05-25 07-03 09-07 11-26 12-25",
    2010: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2011: "01-17 02-21 04-22 05-30 07-04 09-05 11-24 12-26",
    2012: "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25",
    2013: "01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25",
    2014: "01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25",
    2015: "01-01 01-19 02-16 04-03 05-25 07-03 09-07 11-26 12-25",
    2016: "01-01 01-18 02-15 03-25 05-30 07-04 09-05 11-24 12-26",
    2017: "01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25",
    2018: "01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25",
    2019: "01-01 01-21 02-18 04-19 05-27 07-04 09-02 11-28 12-25",
    2020: "01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25",
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2023: "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
    2028: "01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25",
    2029: "01-01 01-15 02-19 03-30 05-28 06-19 07-04 09-03 11-22 12-25",
    2030: "01-01 01-21 02-18 04-19 05-27 06-19 07-04 09-02 11-28 12-25",
}

#: Month and day by year of the half days.
HALF_DAYS = {
    1999: "11-26 12-31",
    2000: "07-03 11-24",
    2001: "07-03 11-23 12-24",
    2002: "07-05 11-29 12-24",
    2003: "07-03 11-28 12-24 12-26",
    2004: "11-26",
    2005: "11-25",
    2006: "07-03 11-24",
    2007: "07-03 11-23 12-24",
    2008: "07-03 11-28 12-24",
    2009: "11-27 12-24",
    2010: "11-26",
    2011: "11-25",
    2012: "07-03 11-23 12-24",
    2013: "07-03 11-29 12-24",
    2014: "07-03 11-28 12-24",
    2015: "11-27 12-24",
    2016: "11-25",
    2017: "07-03 11-24",
    2018: "07-03 11-23 12-24",
    2019: "07-03 11-29 12-24",
    2020: "11-27 12-24",
    2021: "11-26",
    2022: "11-25",
    2023: "07-03 11-24",
    2024: "07-03 11-29 12-24",
    2025: "07-03 11-28 12-24",
    2026: "11-27 12-24",
    2027: "11-26",
    2028: "07-03 11-24",
    2029: "07-03 11-23 12-24",
    2030: "07-03 11-29 12-24",
}


def is_listed(first: date, last: date) -> bool:
    """Whether the table has every day from `first` to `last`."""
    return min(CLOSED_WEEKDAYS) <= first.year and last.year <= max(CLOSED_WEEKDAYS)


def list_sessions(exchange: str, first: date, last: date) -> list[TradingSession]:
    """The sessions from `first` to `last`, both included, as those of `exchange`. Days must be listed."""
    years = range(first.year, last.year + 1)
    closed = {f"{year}-{day}" for year in years for day in CLOSED_WEEKDAYS[year].split()}
    halves = {f"{year}-{day}" for year in years for day in HALF_DAYS.get(year, "").split()}
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [
        TradingSession(
            exchange, day, _moment(day, OPENS_AT), _moment(day, CLOSES_EARLY_AT if is_half else CLOSES_AT),
            is_early_close=is_half,
        )
        for day in days if day.weekday() < 5 and day.isoformat() not in closed
        for is_half in (day.isoformat() in halves,)
    ]  # fmt: skip


def _moment(day: date, local: time) -> datetime:
    return datetime.combine(day, local, ZONE).astimezone(UTC)
