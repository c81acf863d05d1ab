"""Midnights and maintenance of a region, and what they do to sessions; market time is a value here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.simulator.nights import REGIONS, NightlyReset, is_maintenance, next_midnight
from ibkr_assets.simulator.sessions import Brokerage, GatewaySession, SessionRules

NEW_YORK = REGIONS["america"]
NOON = datetime(2012, 10, 1, 16, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("region", "after", "midnight"),
    [
        ("america", "2012-10-01 16:00", "2012-10-02 04:00"),  # summer time
        ("america", "2012-12-03 16:00", "2012-12-04 05:00"),
        ("america", "2012-10-02 04:00", "2012-10-03 04:00"),  # midnight itself is over
        ("america", "2012-03-11 06:00", "2012-03-12 04:00"),  # the clock goes forward
        ("america", "2012-11-04 05:00", "2012-11-05 05:00"),  # and back
        ("europe", "2012-10-01 16:00", "2012-10-01 22:00"),
        ("asia", "2012-10-01 16:00", "2012-10-02 16:00"),
    ],
)
def test_midnight_is_the_region_s(region: str, after: str, midnight: str) -> None:
    assert next_midnight(utc(after), REGIONS[region]) == utc(midnight)


@given(st.integers(946_684_800, 1_893_456_000), st.sampled_from(sorted(REGIONS)))
def test_a_midnight_is_ahead_by_a_day_at_most_and_shows_no_hours(second: int, region: str) -> None:
    after = datetime.fromtimestamp(second, UTC)
    midnight = next_midnight(after, REGIONS[region])
    assert timedelta(0) < midnight - after <= timedelta(hours=25)
    assert midnight.astimezone(REGIONS[region]).strftime("%H:%M:%S") == "00:00:00"


@pytest.mark.parametrize(
    ("at", "is_shut"),
    [
        ("2012-10-02 04:59", False), ("2012-10-02 05:00", True), ("2012-10-02 05:09", True),
        ("2012-10-02 05:10", False), ("2012-11-04 05:05", True), ("2012-11-04 06:05", False),
    ],
)  # fmt: skip
def test_maintenance_is_ten_minutes_a_night(at: str, is_shut: bool) -> None:
    assert is_maintenance(utc(at), NEW_YORK) is is_shut


def session(**rules: object) -> GatewaySession:
    names = iter(f"session {i}" for i in range(1_000_000))
    return GatewaySession(lambda: next(names), SessionRules(360.0, NEW_YORK, **rules), 0.0, NOON)  # type: ignore[arg-type]


def test_a_night_ends_the_brokerage_session_and_an_init_brings_it_back() -> None:
    gateway = session(reset=NightlyReset.BROKERAGE)
    gateway.advance(1.0, utc("2012-10-02 03:59"))
    assert gateway.is_ready
    gateway.advance(2.0, utc("2012-10-02 04:00"))
    assert (gateway.is_logged_in, gateway.brokerage) == (True, Brokerage.LOST)
    gateway.init(may_compete=False)
    assert gateway.is_ready


def test_a_night_can_end_the_login_and_somebody_logs_in_after_a_while() -> None:
    gateway = session(reset=NightlyReset.LOGIN, auto_login_after=timedelta(minutes=15))
    before = gateway.id
    gateway.advance(1.0, utc("2012-10-02 04:14"))
    gateway.init(may_compete=True)
    assert (gateway.is_logged_in, gateway.login_left_ms) == (False, 0)
    gateway.advance(2.0, utc("2012-10-02 04:15"))
    assert gateway.is_ready
    assert gateway.id != before
    assert gateway.login_count == 1


def test_a_login_lives_for_a_day_from_when_it_was_made() -> None:
    gateway = session(login_life=timedelta(hours=24))
    gateway.advance(1.0, NOON + timedelta(hours=23, minutes=59, seconds=59))
    assert gateway.login_left_ms == 1_000
    gateway.advance(1.0, NOON + timedelta(hours=24))
    assert not gateway.is_logged_in
    gateway.log_in()
    gateway.advance(1.0, NOON + timedelta(hours=47, minutes=59))
    assert gateway.is_logged_in


def test_nothing_ends_by_itself_unless_it_was_asked_for() -> None:
    gateway = session()
    gateway.advance(1.0, NOON + timedelta(days=400))
    assert gateway.is_ready
    assert not gateway.is_in_maintenance


def test_a_long_jump_ends_in_the_state_of_its_last_night() -> None:
    gateway = session(
        reset=NightlyReset.LOGIN, auto_login_after=timedelta(minutes=5), login_life=timedelta(hours=24),
        has_maintenance=True,
    )  # fmt: skip
    gateway.advance(1.0, utc("2012-10-09 05:05"))
    assert gateway.is_logged_in
    assert gateway.is_in_maintenance
    assert gateway.login_count == 8


def test_silence_is_measured_in_real_seconds() -> None:
    gateway = session()
    gateway.advance(360.0, NOON)
    assert gateway.is_ready
    gateway.touch()
    gateway.advance(720.0, NOON + timedelta(days=1))
    assert gateway.is_ready
    gateway.advance(720.1, NOON + timedelta(days=1))
    assert gateway.brokerage is Brokerage.LOST


def test_a_fresh_login_is_refused_for_a_moment_and_a_fresh_bridge_is_not_there() -> None:
    gateway = session(grace_s=3.0, bridge_delay_s=1.0)
    gateway.lose(Brokerage.LOST)
    gateway.init(may_compete=False)
    assert (gateway.is_authenticated, gateway.is_ready) == (True, False)
    gateway.advance(1.0, NOON)
    assert gateway.is_ready
    gateway.log_out()
    gateway.log_in()
    assert not gateway.is_admitted
    gateway.advance(4.0, NOON)
    assert gateway.is_admitted
    assert gateway.is_ready


def test_every_change_is_told_to_whoever_watches() -> None:
    gateway = session(reset=NightlyReset.BROKERAGE)
    told: list[Brokerage] = []
    gateway.watch(lambda: told.append(gateway.brokerage))
    gateway.advance(1.0, utc("2012-10-02 12:00"))
    gateway.init(may_compete=False)
    gateway.log_out()
    assert told == [Brokerage.LOST, Brokerage.READY, Brokerage.LOST]
