"""The partitions are the sessions of the exchange, exactly."""

from datetime import datetime
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest

from ibkr_assets.defs.partitions import session_partitions
from ibkr_assets.domain.errors import ConfigurationError

NEW_YORK = ZoneInfo("America/New_York")


def test_partitions_are_the_sessions_of_the_exchange() -> None:
    keys = session_partitions("XNYS", "2012-05-18").get_partition_keys(
        current_time=datetime(2026, 11, 20, 12, tzinfo=NEW_YORK)
    )
    expected = exchange_calendars.get_calendar("XNYS", start="2012-05-18", end="2026-11-20").sessions
    assert list(keys) == [day.date().isoformat() for day in expected]


@pytest.mark.parametrize(
    ("day", "is_session"),
    [
        ("2012-10-26", True),
        ("2012-10-27", False),  # a Saturday
        ("2012-10-29", False),  # hurricane Sandy
        ("2012-10-30", False),
        ("2012-10-31", True),
        ("2012-11-22", False),  # Thanksgiving
        ("2012-11-23", True),  # a half day is a session
        ("2013-03-10", False),  # a Sunday, clocks go forward
        ("2013-03-11", True),
        ("2025-01-09", False),  # a day of mourning, announced ten days before
    ],
)
def test_a_day_is_a_partition_when_the_exchange_trades(day: str, is_session: bool) -> None:
    assert session_partitions("XNYS", "2012-05-18").has_partition_key(day) is is_session


def test_the_present_day_is_a_partition_before_its_open() -> None:
    partitions = session_partitions("XNYS", "2012-05-18")
    early = datetime(2026, 11, 20, 0, 1, tzinfo=NEW_YORK)
    assert partitions.get_partition_keys(current_time=early)[-1] == "2026-11-20"


def test_partitions_end_where_the_tape_does() -> None:
    keys = session_partitions("XNYS", "2012-05-18", "2013-03-01").get_partition_keys(
        current_time=datetime(2026, 11, 20, 12, tzinfo=NEW_YORK)
    )
    expected = exchange_calendars.get_calendar("XNYS", start="2012-05-18", end="2013-03-01").sessions
    assert list(keys) == [day.date().isoformat() for day in expected]


def test_a_last_session_before_the_first_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"market.last_session: 2012-05-17 is before"):
        session_partitions("XNYS", "2012-05-18", "2012-05-17")


def test_another_exchange_has_its_own_sessions() -> None:
    keys = session_partitions("XTAE", "2020-01-02").get_partition_keys(
        current_time=datetime(2021, 1, 1, tzinfo=NEW_YORK)
    )
    expected = exchange_calendars.get_calendar("XTAE", start="2020-01-02", end="2021-01-01").sessions
    assert [k for k in keys if k < "2021-01-01"] == [d.date().isoformat() for d in expected if d.year < 2021]


@pytest.mark.parametrize(
    ("first_session", "text"),
    [
        ("2012-05-19", "market.first_session: 2012-05-19 is not a session of XNYS"),
        ("18.05.2012", "market.first_session: expected an ISO date, got '18.05.2012'"),
    ],
)
def test_a_first_session_that_is_none_is_named(first_session: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        session_partitions("XNYS", first_session)
