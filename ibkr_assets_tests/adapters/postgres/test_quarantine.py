"""Quarantine on the real database: what can be decided, that it holds, and exactly what rests on it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import psycopg
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.features import build_features
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.quarantine import Decided, Decision, Recompute
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
DAY, IBM = BarSize.DAY, CONIDS["IBM"]
START, END = datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)
SPIKE, SPIKE_DAY, LAST_DAY = 100, date(2012, 8, 22), date(2012, 11, 1)
SPIKE_ID = "8314-1d-20120822T133000Z-1"
SESSIONS = NYSE.sessions(date(2012, 4, 2), LAST_DAY)


@pytest.fixture
def store(database: Database) -> PostgresBars:
    """Real bars of IBM and MSFT, judged; IBM's of 22 August 2012 closes a third higher."""
    bars = real_bars("IBM", "MSFT", start=SESSIONS[0].day, end=LAST_DAY)
    spiked = (bars["conid"] == IBM) & (bars["opened_at"] == NYSE.session(SPIKE_DAY).opens_at)
    bars.loc[spiked, ["high", "close"]] *= 4 / 3
    store = PostgresBars(database)
    store.save_instruments([INSTRUMENTS["IBM"], INSTRUMENTS["MSFT"]])
    store.save_bars(bars, DAY, source="test", known_from=END)
    judge(store)
    return store


@pytest.fixture
def quarantine(store: PostgresBars, database: Database) -> PostgresQuarantine:
    return PostgresQuarantine(database)


def judge(store: PostgresBars) -> tuple[int, int]:
    report = validate_sessions(store, NYSE, instruments=store.instruments(), sessions=SESSIONS)
    assert len(report.accepted) + len(report.quarantined) == 2 * len(SESSIONS)
    return len(report.accepted), len(report.quarantined)


def validated(store: PostgresBars) -> int:
    return len(store.load_bars([IBM], DAY, START, END, is_validated=True))


def decide(quarantine: PostgresQuarantine, decision: Decision, *ids: str) -> Decided:
    return quarantine.decide(ids or [SPIKE_ID], decision, actor="anna", reason="seen on the tape of the exchange")


def test_a_kept_back_bar_is_listed_with_its_reason_and_its_values(quarantine: PostgresQuarantine) -> None:
    (case,) = quarantine.cases()
    assert (case.id, case.symbol, case.found, case.decision) == (SPIKE_ID, "IBM", "too_big_jump", None)
    assert case.values["close"] == pytest.approx(195.05 * 4 / 3, rel=0.02)
    assert quarantine.case(SPIKE_ID) == case
    assert quarantine.cases(symbol="MSFT") == []


def test_a_released_bar_is_validated_and_no_later_judgement_takes_it_back(
    store: PostgresBars, quarantine: PostgresQuarantine
) -> None:
    assert validated(store) == len(SESSIONS) - 1
    decided = decide(quarantine, Decision.RELEASE)
    assert (decided.changed, decided.unchanged) == ([SPIKE_ID], [])
    assert validated(store) == len(SESSIONS)
    assert judge(store) == (2 * len(SESSIONS), 0)
    assert validated(store) == len(SESSIONS)
    assert quarantine.cases() == []
    (case,) = quarantine.cases(is_decided=True)
    assert (case.decision, case.actor, case.reason, case.found) == (
        "release", "anna", "seen on the tape of the exchange", "too_big_jump"
    )  # fmt: skip


def test_a_rejected_bar_stays_out_and_waits_no_more(store: PostgresBars, quarantine: PostgresQuarantine) -> None:
    decided = decide(quarantine, Decision.REJECT)
    assert decided.recompute == Recompute()
    assert quarantine.cases() == []
    assert judge(store) == (2 * len(SESSIONS) - 1, 1)
    assert validated(store) == len(SESSIONS) - 1


def test_the_last_decision_holds_and_the_same_again_is_none(
    store: PostgresBars, quarantine: PostgresQuarantine, database: Database
) -> None:
    decide(quarantine, Decision.RELEASE)
    assert decide(quarantine, Decision.RELEASE) == Decided([], [SPIKE_ID], Recompute())
    back = decide(quarantine, Decision.REJECT)
    assert back.recompute.partitions["validated_bars"] == [SPIKE_DAY]
    assert validated(store) == len(SESSIONS) - 1
    with database.connect() as connection:
        rows = connection.execute("select decision, found from md.quarantine_decision order by id").fetchall()
    assert rows == [("release", "too_big_jump"), ("reject", "too_big_jump")]


def test_what_rests_on_a_released_bar_is_listed_exactly(
    store: PostgresBars, quarantine: PostgresQuarantine, database: Database
) -> None:
    wanted = [session for session in SESSIONS if session.day >= date(2012, 8, 15)]
    build_features(store, NYSE, instruments=store.instruments(), sessions=wanted)

    def features() -> dict:
        with database.connect() as connection:
            rows = connection.execute('select opened_at::date, conid, "values" from research.feature').fetchall()
        return {(day, conid): values for day, conid, values in rows}

    before = features()
    listed = decide(quarantine, Decision.RELEASE).recompute.partitions
    build_features(store, NYSE, instruments=store.instruments(), sessions=wanted)
    changed = sorted(day for (day, conid), values in features().items() if before.get((day, conid)) != values)
    assert changed[0] == SPIKE_DAY
    assert listed == {"validated_bars": [SPIKE_DAY], "enriched_features": changed}


def test_a_bar_that_is_wrong_in_itself_cannot_be_released_but_corrected(
    store: PostgresBars, quarantine: PostgresQuarantine
) -> None:
    bar = store.load_bars([IBM], DAY, NYSE.session(LAST_DAY).opens_at, END)
    store.save_bars(bar.assign(high=1.0), DAY, source="test", known_from=END)
    judge(store)
    with pytest.raises(InputError, match="ohlc_order; such a bar is wrong in itself"):
        decide(quarantine, Decision.RELEASE, SPIKE_ID, "8314-1d-20121101T133000Z-2")
    assert validated(store) == len(SESSIONS) - 2, "one that is refused stops the others"
    store.save_bars(bar, DAY, source="test", known_from=END)
    with pytest.raises(InputError, match="corrected since"):
        decide(quarantine, Decision.REJECT, "8314-1d-20121101T133000Z-2")


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ("8314-1d-20120822T133000Z-7", "no such bar"),
        ("8314-1d-20120823T133000Z-1", "not in quarantine"),
        ("row-99", "no such row"),
        ("IBM", "expected one as"),
        ("8314-1d-20121322T133000Z-1", "expected one as"),
    ],
)
def test_what_is_not_in_quarantine_cannot_be_decided_on(
    quarantine: PostgresQuarantine, identity: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        decide(quarantine, Decision.REJECT, identity)


def test_a_row_that_was_no_bar_can_only_be_rejected(store: PostgresBars, quarantine: PostgresQuarantine) -> None:
    bar = store.load_bars([IBM], DAY, NYSE.session(LAST_DAY).opens_at, END)
    store.save_bars(pd.concat([bar.assign(close=1.0), bar]), DAY, source="test", known_from=END)
    (row,) = [case for case in quarantine.cases() if case.id.startswith("row-")]
    assert (row.symbol, row.found, row.values["close"]) == ("IBM", "duplicate_in_fetch", "1.0")
    with pytest.raises(InputError, match="no bar"):
        decide(quarantine, Decision.RELEASE, row.id)
    decide(quarantine, Decision.REJECT, row.id)
    assert [case.id for case in quarantine.cases()] == [SPIKE_ID]


def test_a_decision_is_never_changed_and_needs_a_reason(quarantine: PostgresQuarantine, database: Database) -> None:
    with pytest.raises(InputError, match="reason: empty"):
        quarantine.decide([SPIKE_ID], Decision.RELEASE, actor="anna", reason=" ")
    decide(quarantine, Decision.RELEASE)
    with pytest.raises(psycopg.errors.IntegrityError, match="never changed"), database.connect() as connection:
        connection.execute("delete from md.quarantine_decision")


def test_those_who_decide_on_signals_may_decide_on_bars(quarantine: PostgresQuarantine, database_url_of) -> None:
    app = Database(database_url_of("ibkr_app"))
    assert decide(PostgresQuarantine(app), Decision.RELEASE).changed == [SPIKE_ID]
    app.close()


def test_an_instrument_with_too_many_bad_bars_is_held_until_it_is_lifted(
    store: PostgresBars, quarantine: PostgresQuarantine
) -> None:
    assert quarantine.holds() == []
    bars = store.load_bars([IBM], DAY, START, END)
    store.save_bars(bars.iloc[[3, 5, 50]].assign(volume=-1.0), DAY, source="test", known_from=END)
    judge(store)
    (hold,) = quarantine.holds()
    assert (hold.symbol, hold.reason, hold.actor) == (
        "IBM", "too_many_quarantined: IBM of 2012-08-22, version 1", "validation"
    )  # fmt: skip
    assert quarantine.lift(IBM, actor="anna", reason="the feed is mended") == 1
    judge(store)
    assert quarantine.holds() == [], "judging the same bars again does not overrule the operator"
    store.save_bars(bars.iloc[[130]].assign(volume=-1.0), DAY, source="test", known_from=END)
    judge(store)
    assert [hold.reason for hold in quarantine.holds()] == [
        f"too_many_quarantined: IBM of {SESSIONS[130].day}, version 2"
    ]


def test_a_person_may_hold_an_instrument_and_what_is_not_held_cannot_be_lifted(quarantine: PostgresQuarantine) -> None:
    with pytest.raises(InputError, match="not held"):
        quarantine.lift(IBM, actor="anna", reason="why not")
    quarantine.hold(IBM, actor="anna", reason="merger")
    assert [(hold.conid, hold.reason) for hold in quarantine.holds()] == [(IBM, "merger")]
    assert quarantine.lift(IBM, actor="ben", reason="called off") == 1
    assert quarantine.holds() == []
