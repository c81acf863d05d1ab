"""The calendar held against the broker's hours: of the simulated gateway, and of answers that differ. In Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ibkr_assets.adapters.ibkr.client import market_data
from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.hours import PostgresHours
from ibkr_assets.domain.errors import BrokerRefusal, UnreadableAnswer
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.hours import HoursReport, check_hours
from ibkr_assets.market.calendar import ExchangeCalendar, exchange_calendar
from ibkr_assets.market.hours import Hours, compare_hours, session_hours
from ibkr_assets_tests.adapters.ibkr.raw_server import RawServer, hand_limiter, http
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import INSTRUMENTS
from ibkr_assets_tests.gateway import start_gateway

NYSE = exchange_calendar("XNYS")
HALF, NOW = date(2012, 11, 23), datetime(2012, 11, 20, 22, tzinfo=UTC)
IBM = INSTRUMENTS["IBM"]


def told(calendar: ExchangeCalendar = NYSE) -> dict[date, Hours]:
    return {s.day: session_hours(s) for s in calendar.sessions(date(2012, 11, 20), date(2012, 11, 27))}


class Told:
    """A broker that tells what a test says."""

    def __init__(self, hours: Mapping[date, Hours] | Exception) -> None:
        self.hours = hours

    def trading_hours(self, instrument: Instrument) -> Mapping[date, Hours]:
        if isinstance(self.hours, Exception):
            raise self.hours
        return self.hours


@pytest.fixture
def register(database: Database) -> PostgresHours:
    PostgresBars(database).save_instruments([IBM])
    return PostgresHours(database)


def check(register: PostgresHours, hours: Mapping[date, Hours] | Exception) -> HoursReport:
    return check_hours(
        Told(hours), register, NYSE, instruments=[IBM], clock=FixedClock(NOW), progress=lambda _: None
    )  # fmt: skip


def test_the_gateway_s_own_hours_over_thanksgiving_are_the_calendar_s() -> None:
    with start_gateway(clock_start=NOW) as gateway:
        source = market_data(
            gateway.api_url, ca=None, clock=FixedClock(NOW), calendar=NYSE, connect_timeout_s=3.0, read_timeout_s=10.0
        )
        hours = source.trading_hours(IBM)
        source.close()
    assert date(2012, 11, 22) not in hours
    assert hours[HALF] == ((datetime(2012, 11, 23, 14, 30, tzinfo=UTC), datetime(2012, 11, 23, 18, tzinfo=UTC)),)
    assert compare_hours(NYSE, hours) == []


def test_a_half_day_that_the_broker_does_not_know_is_a_difference_of_that_day_alone(register: PostgresHours) -> None:
    hours = told()
    opens = hours[HALF][0][0]
    report = check(register, hours | {HALF: ((opens, opens + timedelta(hours=6, minutes=30)),)})
    assert list(report.differences) == ["IBM"]
    (kept,) = register.load_hours()
    assert (kept.symbol, kept.session, kept.calendar) == ("IBM", HALF, "XNYS")
    assert (kept.calendar_hours, kept.broker_hours) == ("14:30-18:00 UTC", "14:30-21:00 UTC")


@pytest.mark.parametrize(
    ("day", "hours", "ours", "theirs"),
    [
        (date(2012, 11, 26), None, "14:30-21:00 UTC", "closed"),
        (date(2012, 11, 22), "as the day before", "closed", "14:30-21:00 UTC"),
    ],
)
def test_a_day_that_only_one_of_them_has_is_a_difference(
    register: PostgresHours, day: date, hours: str | None, ours: str, theirs: str
) -> None:
    days = told()
    if hours is None:
        del days[day]
    else:
        days[day] = tuple((a + timedelta(days=1), b + timedelta(days=1)) for a, b in days[date(2012, 11, 21)])
    check(register, days)
    assert [(one.session, one.calendar_hours, one.broker_hours) for one in register.load_hours()] == [
        (day, ours, theirs)
    ]


def test_what_agrees_again_is_settled_and_stays_on_record(register: PostgresHours) -> None:
    days = told()
    del days[HALF]
    check(register, days)
    check(register, told())
    assert register.load_hours() == []
    (settled,) = register.load_hours(is_settled=True)
    assert settled.settled_at == NOW
    check(register, days)
    assert [one.settled_at for one in register.load_hours()] == [None]


@pytest.mark.parametrize("answer", [BrokerRefusal("No contract found", status=500), {}])
def test_a_broker_that_tells_nothing_is_said_and_settles_nothing(
    register: PostgresHours, answer: Mapping[date, Hours] | Exception
) -> None:
    days = told()
    del days[HALF]
    check(register, days)
    assert list(check(register, answer).untold) == ["IBM"]
    assert len(register.load_hours()) == 1


def test_a_break_at_noon_is_two_stretches() -> None:
    tokyo = exchange_calendar("XTKS")
    session = tokyo.session(date(2024, 11, 5))
    assert len(session_hours(session)) == 2
    assert compare_hours(tokyo, {session.day: session_hours(session)}) == []
    through = replace(session, breaks_at=None, resumes_at=None)
    (found,) = compare_hours(tokyo, {session.day: session_hours(through)})
    assert (found.calendar_hours, found.broker_hours) == ("00:00-02:30, 03:30-06:30 UTC", "00:00-06:30 UTC")


@pytest.fixture
def server() -> Iterator[RawServer]:
    running = RawServer()
    yield running
    running.close()


@pytest.mark.parametrize(
    ("schedules", "words"),
    [
        ({"2012112": {"liquid_hours": []}}, "'2012112' is none"),
        ({"20121121": {"liquid_hours": [{"opening": 10, "closing": 10}]}}, "no time of trading"),
        ({"20121121": {"liquid_hours": [{"opening": 10}]}}, "closing"),
    ],
)
def test_a_schedule_that_is_none_is_refused(server: RawServer, schedules: object, words: str) -> None:
    from ibkr_assets.adapters.ibkr.session import Session

    server.replies["GET contract/trading-schedule"] = http({"schedules": schedules})
    transport = server.transport(limiter=hand_limiter())
    source = IbkrMarketData(Session(transport, None, sleep=lambda _: None), FixedClock(NOW), NYSE)
    with pytest.raises(UnreadableAnswer, match=words):
        source.trading_hours(IBM)
    transport.close()
