"""Settlement days, against dates that brokers and FINRA published, and as properties."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.settlement import is_settlement_day, settles_on, unsettled_since

NYSE = exchange_calendar("XNYS")
DAYS = st.dates(date(2000, 1, 3), date(2026, 12, 31))


@pytest.mark.parametrize(
    ("traded", "settled"),
    [
        # the last days of a cycle and the first of the next one settled together
        ("2017-09-01", "2017-09-07"), ("2017-09-05", "2017-09-07"),
        ("2024-05-24", "2024-05-29"), ("2024-05-28", "2024-05-29"),
        # Columbus Day and Veterans Day: the exchange is open, banks are not
        ("2012-10-02", "2012-10-05"), ("2012-10-03", "2012-10-09"), ("2012-10-08", "2012-10-11"),
        ("2024-10-11", "2024-10-15"), ("2024-10-14", "2024-10-15"),
        ("2024-11-08", "2024-11-12"), ("2024-11-11", "2024-11-12"),
        ("2026-11-20", "2026-11-23"), ("2026-11-25", "2026-11-27"),  # a weekend, Thanksgiving
    ],
)  # fmt: skip
def test_a_sale_settles_on_the_published_day(traded: str, settled: str) -> None:
    assert settles_on(date.fromisoformat(traded)) == date.fromisoformat(settled)


def test_a_bank_holiday_on_a_sunday_is_kept_on_the_monday() -> None:
    days = [date(2012, 11, 12), date(2018, 11, 12), date(2023, 11, 10), date(2023, 11, 13)]
    assert [is_settlement_day(day) for day in days] == [False, False, True, True]


@given(DAYS)
def test_settlement_is_a_session_after_the_trade_and_never_before_that_of_the_day_before(day: date) -> None:
    settled = settles_on(day)
    assert day < settled <= day + timedelta(days=14)
    assert NYSE.is_session(settled)
    assert settles_on(day - timedelta(days=1)) <= settled


@given(DAYS, st.integers(0, 24 * 3600 - 1))
def test_a_sale_is_unsettled_exactly_until_its_settlement_day_begins_in_new_york(day: date, second: int) -> None:
    zone = ZoneInfo("America/New_York")
    begins = datetime(day.year, day.month, day.day, tzinfo=zone)
    now = (begins + timedelta(seconds=second)).astimezone(UTC)
    edge = unsettled_since(now)
    of_day = now.astimezone(zone).date()
    assert edge <= begins
    assert settles_on(edge.date()) > of_day >= settles_on(edge.date() - timedelta(days=1))
