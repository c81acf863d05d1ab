"""A strategy decides after the sessions that it names, by the exchange's own days."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.schedule import FORMS, parse_schedule

XNYS = exchange_calendar("XNYS")


@pytest.mark.parametrize(
    ("schedule", "day", "decides"),
    [
        ("after_close", date(2012, 11, 21), True),
        ("weekly", date(2012, 11, 21), False),  # the Wednesday before Thanksgiving; Friday is a half day
        ("weekly", date(2012, 11, 23), True),
        ("weekly", date(2012, 4, 5), True),  # the Thursday before Good Friday
        ("weekly", date(2012, 12, 28), True),
        ("monthly", date(2012, 10, 31), True),  # the first session after the storm, and the month's last
        ("monthly", date(2012, 11, 29), False),
        ("monthly:before_open", date(2012, 11, 30), True),
        ("weekly", date(2012, 12, 31), False),  # a Monday
        ("monthly", date(2012, 12, 31), True),
    ],
)
def test_it_decides_after_the_last_session_of_its_period(schedule: str, day: date, *, decides: bool) -> None:
    assert parse_schedule(schedule).decides_on(XNYS.session(day), XNYS) is decides


def test_one_that_waits_decides_in_the_morning_of_the_next_session() -> None:
    friday = XNYS.session(date(2012, 11, 16))
    evening, sunday = datetime(2012, 11, 16, 22, tzinfo=UTC), datetime(2012, 11, 18, 12, tzinfo=UTC)
    morning = datetime(2012, 11, 19, 13, tzinfo=UTC)
    waits, hurries = parse_schedule("before_open"), parse_schedule("after_close")
    assert [waits.is_time(friday, now, XNYS) for now in (evening, sunday, morning)] == [False, False, True]
    assert all(hurries.is_time(friday, now, XNYS) for now in (evening, sunday, morning))


def test_every_form_is_read_and_anything_else_is_named() -> None:
    assert len({parse_schedule(form) for form in FORMS}) == len(FORMS)
    with pytest.raises(ConfigurationError, match="schedule 'hourly': expected one of after_close, "):
        parse_schedule("hourly")
