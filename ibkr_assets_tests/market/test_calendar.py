"""Sessions of real exchanges, checked against dates that the exchanges published."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.errors import InputError
from ibkr_assets.market.calendar import exchange_calendar

NYSE = exchange_calendar("XNYS")
DAYS = st.dates(date(1999, 6, 1), date(2026, 12, 31))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_summer_session_opens_and_closes_in_utc() -> None:
    session = NYSE.session(date(2012, 10, 1))
    assert (session.opens_at, session.closes_at) == (at("2012-10-01 13:30"), at("2012-10-01 20:00"))
    assert session.opens_at.tzinfo is UTC
    assert not session.is_early_close


def test_the_clock_change_moves_the_session_in_utc() -> None:
    assert NYSE.session(date(2012, 11, 2)).opens_at == at("2012-11-02 13:30")
    assert NYSE.session(date(2012, 11, 5)).opens_at == at("2012-11-05 14:30")


@pytest.mark.parametrize("day", [date(2012, 11, 23), date(2012, 12, 24), date(2026, 11, 27)])
def test_half_days_end_at_one_in_new_york_and_are_flagged(day: date) -> None:
    session = NYSE.session(day)
    assert session.is_early_close
    assert session.closes_at == datetime(day.year, day.month, day.day, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    "day", [date(2012, 10, 29), date(2012, 10, 30), date(2001, 9, 11), date(2012, 11, 22), date(2012, 11, 24)]
)
def test_closed_days_are_refused_by_name(day: date) -> None:
    assert not NYSE.is_session(day)
    with pytest.raises(InputError, match=f"{day}.*XNYS"):
        NYSE.session(day)


def test_the_storm_closure_is_skipped_in_both_directions() -> None:
    assert NYSE.next_session(date(2012, 10, 26)).day == date(2012, 10, 31)
    assert NYSE.previous_session(date(2012, 10, 31)).day == date(2012, 10, 26)
    assert NYSE.next_session(date(2012, 10, 29)).day == date(2012, 10, 31)


def test_sessions_include_both_ends() -> None:
    days = [s.day for s in NYSE.sessions(date(2012, 10, 26), date(2012, 11, 1))]
    assert days == [date(2012, 10, 26), date(2012, 10, 31), date(2012, 11, 1)]
    assert NYSE.sessions(date(2012, 10, 29), date(2012, 10, 30)) == []


def test_the_day_before_the_start_is_not_among_the_sessions_before_it() -> None:
    days = [s.day for s in NYSE.sessions_before(date(2012, 10, 31), 3)]
    assert days == [date(2012, 10, 24), date(2012, 10, 25), date(2012, 10, 26)]
    assert NYSE.sessions_before(date(2012, 10, 31), 0) == []


def test_a_session_counts_as_closed_from_its_close_on() -> None:
    close = NYSE.session(date(2012, 11, 23)).closes_at
    assert NYSE.last_closed(close).day == date(2012, 11, 23)
    assert NYSE.last_closed(close - timedelta(microseconds=1)).day == date(2012, 11, 21)


def test_a_session_is_open_from_its_opening_to_just_before_its_close() -> None:
    session = NYSE.session(date(2012, 11, 23))
    assert NYSE.session_at(session.opens_at) == session
    assert NYSE.session_at(session.closes_at) is None
    assert NYSE.session_at(session.closes_at - timedelta(microseconds=1)) == session
    assert NYSE.session_at(session.opens_at - timedelta(microseconds=1)) is None


@pytest.mark.parametrize("day", [date(1998, 12, 31), date(2099, 1, 4)])
def test_a_day_beyond_the_calendar_is_refused_with_its_reach(day: date) -> None:
    with pytest.raises(InputError, match=f"{day}.*XNYS.*1999-01-04"):
        NYSE.session(day)


def test_the_last_session_has_no_next_one() -> None:
    with pytest.raises(InputError, match="ends on"):
        NYSE.next_session(NYSE.last_day)


def test_more_sessions_than_there_are_before_a_day_are_refused() -> None:
    with pytest.raises(InputError, match="only 1 sessions before"):
        NYSE.sessions_before(date(1999, 1, 5), 2)


def test_a_moment_without_zone_and_a_datetime_for_a_day_are_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        NYSE.last_closed(datetime(2012, 10, 1, 12))  # noqa: DTZ001
    with pytest.raises(InputError, match="must be a date"):
        NYSE.session(at("2012-10-01 00:00"))


@pytest.mark.parametrize("mic", ["NOPE", "", "xnys"])
def test_an_unknown_exchange_is_refused_by_name(mic: str) -> None:
    with pytest.raises(InputError, match=f"'{mic}'"):
        exchange_calendar(mic)


def test_a_calendar_is_built_once() -> None:
    assert exchange_calendar("XNYS") is NYSE


@pytest.mark.parametrize("mic", ["XNAS", "XLON", "XETR", "XTKS", "XSAU"])
def test_other_exchanges_have_their_own_hours_under_their_own_name(mic: str) -> None:
    session = exchange_calendar(mic).session(date(2024, 6, 4))
    assert session.exchange == mic
    assert session.opens_at < session.closes_at


@given(DAYS)
@settings(max_examples=200, deadline=None)
def test_next_and_previous_are_each_others_inverse(day: date) -> None:
    after = NYSE.next_session(day)
    assert after.day > day
    assert NYSE.previous_session(after.day).day <= day
    assert NYSE.next_session(NYSE.previous_session(after.day).day) == after


@given(DAYS, st.integers(0, 86_399))
@settings(max_examples=200, deadline=None)
def test_every_moment_is_in_a_session_or_between_two(day: date, second: int) -> None:
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)
    closed = NYSE.last_closed(moment)
    following = NYSE.next_session(closed.day)
    assert closed.closes_at <= moment < following.closes_at
    assert NYSE.session_at(moment) == (following if moment >= following.opens_at else None)
