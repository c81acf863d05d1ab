"""What the store knows of a bar beside its values, and what follows from it, in Postgres."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.validation import ValidationReport, validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.quarantine import Decision
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
SESSIONS = NYSE.sessions(date(2012, 10, 1), date(2012, 10, 12))
LAST = SESSIONS[-1]
LATER = datetime(2012, 10, 20, tzinfo=UTC)
IBM = INSTRUMENTS["IBM"]


@pytest.fixture
def store(database: Database) -> PostgresBars:
    store = PostgresBars(database)
    store.save_instruments([IBM])
    return store


def tape() -> pd.DataFrame:
    return real_bars("IBM", start=SESSIONS[0].day, end=LAST.day)


def save(store: PostgresBars, at: datetime, bars: pd.DataFrame | None = None) -> None:
    store.save_bars(tape() if bars is None else bars, BarSize.DAY, source="test", known_from=at)


def delay(store: PostgresBars, at: datetime, *, word: str = "D", seconds: float = 900.0, rows: int = 1) -> None:
    marked = tape().tail(rows)[["conid", "opened_at"]].assign(availability=word, delay_s=seconds)
    store.save_delays(marked, BarSize.DAY, now=at)


def judge(store: PostgresBars) -> ValidationReport:
    return validate_sessions(store, NYSE, instruments=[IBM], sessions=SESSIONS)


def quarantined(store: PostgresBars) -> dict[date, str]:
    bad = judge(store).quarantined
    return {row.opened_at.date(): row.reason for row in bad.itertuples()}


def test_without_evidence_every_bar_is_accepted_and_none_is_lost(store: PostgresBars) -> None:
    save(store, LATER)
    report = judge(store)
    assert (len(report.accepted), len(report.quarantined)) == (10, 0)


@pytest.mark.parametrize(("early", "found"), [(timedelta(seconds=1), {LAST.day: "partial_bar"}), (timedelta(0), {})])
def test_a_bar_that_was_stored_before_its_session_was_over_is_partial_for_ever_after(
    store: PostgresBars, early: timedelta, found: dict[date, str]
) -> None:
    save(store, LATER, tape().head(9))
    save(store, LAST.closes_at - early, tape().tail(1))
    assert quarantined(store) == found
    assert quarantined(store) == found


def test_a_bar_that_was_stored_before_its_session_began_is_of_the_future_for_ever_after(store: PostgresBars) -> None:
    save(store, LATER, tape().head(9))
    save(store, LAST.opens_at - timedelta(seconds=1), tape().tail(1))
    assert quarantined(store) == {LAST.day: "future"}


def test_the_whole_bar_that_comes_after_a_partial_one_is_accepted(store: PostgresBars) -> None:
    half = tape().tail(1)
    save(store, LATER, tape().head(9))
    save(store, LAST.closes_at - timedelta(hours=1), half.assign(volume=half["volume"] / 2))
    assert quarantined(store) == {LAST.day: "partial_bar"}
    save(store, LATER)
    assert quarantined(store) == {}


def test_a_bar_whose_values_were_altered_behind_the_platform_s_back_fails_its_checksum(
    store: PostgresBars, database: Database
) -> None:
    save(store, LATER)
    assert quarantined(store) == {}
    with database.connect() as connection:
        connection.execute(
            "update md.bar set close = close + 0.01 where opened_at = %s and known_to is null", (LAST.opens_at,)
        )
    assert quarantined(store) == {LAST.day: "checksum"}
    case = PostgresQuarantine(database).cases()[0]
    assert (case.found, case.symbol) == ("checksum", "IBM")
    assert case.values["close"] == pytest.approx(float(tape()["close"].iloc[-1]) + 0.01)


def test_bars_of_days_before_the_listing_are_none_of_the_instrument_s(store: PostgresBars) -> None:
    save(store, LATER)
    store.save_listings({IBM.conid: SESSIONS[2].day})
    assert quarantined(store) == {SESSIONS[0].day: "before_listing", SESSIONS[1].day: "before_listing"}


def test_a_bar_of_a_delayed_feed_is_kept_back_until_the_feed_could_have_had_all_of_it(store: PostgresBars) -> None:
    at = LAST.closes_at + timedelta(minutes=14, seconds=59)
    save(store, at)
    delay(store, at, rows=10)
    assert quarantined(store) == {LAST.day: "delayed_feed"}
    delay(store, LAST.closes_at + timedelta(minutes=15), rows=10)
    assert quarantined(store) == {}


def test_a_feed_that_does_not_say_how_late_it_is_settles_nothing_until_another_gives_the_same(
    store: PostgresBars,
) -> None:
    save(store, LATER)
    delay(store, LATER, word="N", seconds=float("nan"), rows=2)
    assert set(quarantined(store).values()) == {"delayed_feed"}
    delay(store, LATER, word="")
    assert quarantined(store) == {SESSIONS[-2].day: "delayed_feed"}


def test_a_correction_has_no_mark_of_the_version_before_it(store: PostgresBars) -> None:
    save(store, LATER)
    delay(store, LATER, word="N", seconds=float("nan"))
    bars = tape()
    save(store, LATER, bars.assign(volume=bars["volume"] + 1))
    assert quarantined(store) == {}


def test_what_came_early_and_was_right_can_be_released_and_what_was_altered_cannot(
    store: PostgresBars, database: Database
) -> None:
    save(store, LAST.closes_at - timedelta(hours=1))
    judge(store)
    quarantine = PostgresQuarantine(database)
    quarantine.decide([quarantine.cases()[0].id], Decision.RELEASE, actor="ann", reason="as on the exchange's page")
    assert quarantined(store) == {}
