"""Sessions of five exchanges against what they published: hours, holidays, half days, clock changes, breaks.

All times are the exchange's own, from its notices and trading calendars; New York's of both its exchanges are the same.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.grid import bars_expected
from ibkr_assets.market.places import find_places
from ibkr_assets.market.validation import find_missing, judge

ZONES = {
    "XNYS": "America/New_York", "XNAS": "America/New_York", "XLON": "Europe/London", "XETR": "Europe/Berlin",
    "XTKS": "Asia/Tokyo",
}  # fmt: skip


def local(mic: str, day: str) -> tuple[str, str]:
    """Opening and close of a session in the exchange's time."""
    session = exchange_calendar(mic).session(date.fromisoformat(day))
    opens, closes = (moment.astimezone(ZoneInfo(ZONES[mic])) for moment in (session.opens_at, session.closes_at))
    assert opens.date() == closes.date() == session.day
    return f"{opens:%H:%M}", f"{closes:%H:%M}"


@pytest.mark.parametrize(
    ("mic", "day", "hours"),
    [
        ("XNYS", "2024-06-04", ("09:30", "16:00")),
        ("XNAS", "2024-06-04", ("09:30", "16:00")),
        ("XLON", "2024-06-04", ("08:00", "16:30")),
        ("XETR", "2024-06-04", ("09:00", "17:30")),
        ("XTKS", "2024-06-04", ("09:00", "15:00")),
    ],
)
def test_ordinary_hours(mic: str, day: str, hours: tuple[str, str]) -> None:
    assert local(mic, day) == hours
    assert not exchange_calendar(mic).session(date.fromisoformat(day)).is_early_close


@pytest.mark.parametrize(
    ("mic", "day", "close"),
    [
        ("XNYS", "2024-07-03", "13:00"), ("XNYS", "2024-11-29", "13:00"), ("XNYS", "2024-12-24", "13:00"),
        ("XNAS", "2023-07-03", "13:00"), ("XNAS", "2023-11-24", "13:00"), ("XNAS", "2025-12-24", "13:00"),
        ("XLON", "2024-12-24", "12:30"), ("XLON", "2024-12-31", "12:30"), ("XLON", "2021-12-24", "12:30"),
        ("XETR", "2024-12-30", "14:00"), ("XETR", "2023-12-29", "14:00"),
    ],
)  # fmt: skip
def test_half_days(mic: str, day: str, close: str) -> None:
    assert local(mic, day)[1] == close
    assert exchange_calendar(mic).session(date.fromisoformat(day)).is_early_close


@pytest.mark.parametrize(
    ("mic", "days"),
    [
        # New Year, Martin Luther King, Good Friday, Memorial Day, Juneteenth, Independence, Labor, Thanksgiving,
        # Christmas; the mourning of 5 December 2018 and of 9 January 2025
        ("XNYS", "2024-01-01 2024-01-15 2024-03-29 2024-05-27 2024-06-19 2024-07-04 2024-09-02 2024-11-28 2024-12-25"),
        ("XNAS", "2018-12-05 2025-01-09 2023-04-07 2022-06-20 2022-12-26 2021-12-24"),
        # bank holidays, also moved ones: the jubilee of 2022, the Queen's funeral, the coronation
        ("XLON", "2022-06-02 2022-06-03 2022-09-19 2023-05-08 2024-03-29 2024-04-01 2024-05-06 2024-08-26 2024-12-26"),
        # Frankfurt trades on German Unity Day since 2014's rules changed and not on Christmas Eve or New Year's Eve
        ("XETR", "2024-01-01 2024-03-29 2024-04-01 2024-05-01 2024-12-24 2024-12-25 2024-12-26 2024-12-31"),
        # year's end and new year, Coming of Age, Golden Week, the enthronement of 2019, Olympic days of 2021
        ("XTKS", "2024-01-01 2024-01-02 2024-01-03 2024-01-08 2024-05-03 2024-05-06 2024-12-31 2019-05-01 2021-07-22"),
    ],
)
def test_holidays(mic: str, days: str) -> None:
    open_ = [day for day in days.split() if exchange_calendar(mic).is_session(date.fromisoformat(day))]
    assert open_ == []


@pytest.mark.parametrize(
    ("mic", "day"),
    [
        ("XNYS", "2024-10-14"), ("XNYS", "2024-11-11"),  # Columbus and Veterans Day are no holidays of the exchange
        ("XLON", "2024-05-01"), ("XETR", "2024-10-03"), ("XETR", "2024-05-09"), ("XTKS", "2024-12-30"),
        ("XTKS", "2024-12-25"),
    ],
)  # fmt: skip
def test_days_that_are_holidays_elsewhere(mic: str, day: str) -> None:
    assert exchange_calendar(mic).is_session(date.fromisoformat(day))


@pytest.mark.parametrize(
    ("mic", "before", "after", "hours"),
    [
        ("XNYS", "2024-03-08", "2024-03-11", (14.5, 13.5)), ("XNYS", "2024-11-01", "2024-11-04", (13.5, 14.5)),
        ("XNAS", "2025-03-07", "2025-03-10", (14.5, 13.5)), ("XLON", "2024-03-28", "2024-04-02", (8.0, 7.0)),
        ("XLON", "2024-10-25", "2024-10-28", (7.0, 8.0)), ("XETR", "2024-03-28", "2024-04-02", (8.0, 7.0)),
        ("XETR", "2024-10-25", "2024-10-28", (7.0, 8.0)), ("XTKS", "2024-03-08", "2024-04-02", (0.0, 0.0)),
    ],
)  # fmt: skip
def test_clock_changes_move_the_opening_in_utc_and_nowhere_else(
    mic: str, before: str, after: str, hours: tuple[float, float]
) -> None:
    sessions = [exchange_calendar(mic).session(date.fromisoformat(day)) for day in (before, after)]
    assert [session.opens_at.hour + session.opens_at.minute / 60 for session in sessions] == list(hours)
    assert local(mic, before)[0] == local(mic, after)[0]


def test_between_the_clock_changes_new_york_opens_an_hour_nearer_to_london() -> None:
    """Three weeks in March and one in autumn: America changes its clocks on other Sundays than Europe."""
    apart = {
        day: exchange_calendar("XNYS").session(date.fromisoformat(day)).opens_at
        - exchange_calendar("XLON").session(date.fromisoformat(day)).opens_at
        for day in ("2024-03-06", "2024-03-13", "2024-04-03", "2024-10-23", "2024-10-30", "2024-11-06")
    }
    usual, near = timedelta(hours=6, minutes=30), timedelta(hours=5, minutes=30)
    assert list(apart.values()) == [usual, near, usual, usual, near, usual]


def test_tokyo_trades_half_an_hour_longer_since_the_fifth_of_november_2024() -> None:
    assert local("XTKS", "2024-11-01") == ("09:00", "15:00")
    assert local("XTKS", "2024-11-05") == ("09:00", "15:30")


def test_tokyo_rests_at_noon_and_no_bar_of_a_minute_belongs_there() -> None:
    session = exchange_calendar("XTKS").session(date(2024, 11, 5))
    assert session.breaks_at == datetime(2024, 11, 5, 2, 30, tzinfo=UTC)
    assert session.resumes_at == datetime(2024, 11, 5, 3, 30, tzinfo=UTC)
    assert bars_expected(session, BarSize.MINUTE) == 150 + 180
    assert bars_expected(exchange_calendar("XTKS").session(date(2024, 11, 1)), BarSize.MINUTE) == 300
    times = ["00:00", "02:29", "02:30", "03:00", "03:29", "03:30", "06:29", "06:30"]
    moments = np.array([f"2024-11-05T{time}" for time in times], dtype="datetime64[ns]").astype(np.int64)
    is_inside, ends = find_places(moments, exchange_calendar("XTKS"), BarSize.MINUTE)
    assert is_inside.tolist() == [True, True, False, False, False, True, True, False]
    assert (ends - moments == 60_000_000_000).all()


@pytest.mark.parametrize("mic", ["XNYS", "XNAS", "XLON", "XETR"])
def test_the_others_do_not_rest(mic: str) -> None:
    assert exchange_calendar(mic).session(date(2024, 6, 4)).breaks_at is None


def test_a_whole_day_of_tokyo_s_minutes_is_accepted_one_at_noon_is_not_and_does_not_stand_for_a_missing_one() -> None:
    tokyo, toyota = exchange_calendar("XTKS"), Instrument(7203, "7203", "TSEJ", "JPY")
    session = tokyo.session(date(2024, 11, 5))
    morning = pd.date_range("2024-11-05T00:00Z", "2024-11-05T02:29Z", freq="1min")
    afternoon = pd.date_range("2024-11-05T03:30Z", "2024-11-05T06:29Z", freq="1min")
    opened = morning.append(afternoon)
    close = 2600.0 + np.arange(len(opened)) % 7
    bars = pd.DataFrame({
        "conid": 7203, "symbol": "7203", "opened_at": opened, "open": close, "high": close, "low": close,
        "close": close, "volume": 100.0 + np.arange(len(opened)),
    })  # fmt: skip
    whole = judge(bars, calendar=tokyo, sessions=[session], instruments=[toyota], size=BarSize.MINUTE)
    assert (len(whole.accepted), len(whole.quarantined), whole.missing) == (330, 0, [])
    moved = bars.copy()
    moved.loc[149, "opened_at"] = pd.Timestamp("2024-11-05T03:00Z")
    got = judge(moved, calendar=tokyo, sessions=[session], instruments=[toyota], size=BarSize.MINUTE)
    assert got.quarantined["reason"].tolist() == ["outside_session"]
    assert got.missing == [("7203", session.day)]
    moments = moved["opened_at"].to_numpy(dtype="datetime64[ns]").astype(np.int64)
    assert find_missing(moved["conid"], moments, [session], [toyota], BarSize.MINUTE) == [("7203", session.day)]
