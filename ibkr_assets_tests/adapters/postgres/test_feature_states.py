"""Features carried on from the session before: the bits, the lineage and the rows of a computation from the start."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.features.compute import compute_features
from ibkr_assets.features.definition import FEATURES, PRICE_FEATURES, feature_digest
from ibkr_assets.ingest.features import build_features
from ibkr_assets.ingest.impact import find_outdated
from ibkr_assets.market.adjustment import ActionKind, CorporateAction, adjust
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

DAY = BarSize.DAY
NYSE = exchange_calendar("XNYS")
WANTED = [INSTRUMENTS["AAPL"], INSTRUMENTS["IBM"]]
AAPL, IBM = CONIDS["AAPL"], CONIDS["IBM"]
START, EVENING = datetime(2000, 1, 1, tzinfo=UTC), datetime(2005, 12, 31, 22, tzinfo=UTC)
FIRST, LAST = date(2004, 9, 1), date(2005, 3, 31)
#: The first session at the new price; see docs of the tape: 2 for 1.
SPLIT = CorporateAction(AAPL, date(2005, 2, 28), ActionKind.SPLIT, Decimal(2))
LINEAGE = """
select b.opened_us, b.versions, i.actions
from research.feature f join research.feature_input i on i.sha256 = f.input_sha256,
  unnest(i.lists) with ordinality as n (sha256, place) join research.bar_list b using (sha256)
where f.conid = %s and f.opened_at = %s order by n.place
"""


def accept(store: PostgresBars, bars: pd.DataFrame) -> None:
    store.save_bars(bars, DAY, source="tape", known_from=EVENING)
    start, end = bars["opened_at"].min().to_pydatetime(), bars["opened_at"].max().to_pydatetime()
    stored = store.load_bars([AAPL, IBM], DAY, start, end + pd.Timedelta(seconds=1))
    stored = stored.merge(bars[["conid", "opened_at"]], on=["conid", "opened_at"])
    store.save_verdicts(DAY, stored, stored.head(0).assign(reason=""))


@pytest.fixture
def store(database: Database) -> PostgresBars:
    """Bars of half a year to 2005-02-15, accepted, with features of the last session."""
    store = PostgresBars(database)
    store.save_instruments(WANTED)
    accept(store, real_bars("AAPL", "IBM", start=FIRST, end=date(2005, 2, 15)))
    build(store, NYSE.sessions(date(2005, 2, 15), date(2005, 2, 15)))
    return store


def build(store: PostgresBars, sessions: Sequence[TradingSession]) -> tuple[pd.DataFrame, int]:
    """The rows, and how many instruments were carried on."""
    lines: list[str] = []
    rows = build_features(store, NYSE, instruments=WANTED, sessions=sessions, progress=lines.append)
    return rows, int(lines[-1].split()[-5])


def next_sessions(store: PostgresBars, first: date, last: date) -> Iterator[TradingSession]:
    for session in NYSE.sessions(first, last):
        accept(store, real_bars("AAPL", "IBM", start=session.day, end=session.day))
        yield session


def from_the_start(
    store: PostgresBars, session: TradingSession, actions: Sequence[CorporateAction] = ()
) -> pd.DataFrame:
    bars = store.load_bars([AAPL, IBM], DAY, START, session.closes_at, is_validated=True)
    found = compute_features(adjust(bars, actions, as_of=session.day))
    return found[found["opened_at"] == session.opens_at].reset_index(drop=True)


def lineage(database: Database, conid: int, opened_at: datetime) -> list[tuple[int, int]]:
    """Opening and version of the bars that a stored row rests on."""
    with database.connect() as connection:
        rows = connection.execute(LINEAGE, (conid, opened_at)).fetchall()
    until = round(opened_at.timestamp() * 1_000_000)
    return [pair for us, versions, _ in rows for pair in zip(us, versions, strict=True) if pair[0] <= until]


def accepted(store: PostgresBars, conid: int, until: datetime) -> list[tuple[int, int]]:
    bars = store.load_bars([conid], DAY, START, until + pd.Timedelta(seconds=1), is_validated=True)
    moments = [round(moment.timestamp() * 1_000_000) for moment in bars["opened_at"]]
    return list(zip(moments, bars["version"].tolist(), strict=True))


def test_a_new_bar_is_carried_on_to_the_bits_and_the_lineage_of_the_whole_past(
    store: PostgresBars, database: Database
) -> None:
    for session in next_sessions(store, date(2005, 2, 16), date(2005, 2, 25)):
        rows, carried = build(store, [session])
        assert carried == 2
        pd.testing.assert_frame_equal(rows, from_the_start(store, session), check_exact=True)
        for conid in (AAPL, IBM):
            assert lineage(database, conid, session.opens_at) == accepted(store, conid, session.opens_at)


def test_a_new_year_is_carried_on_as_well(database: Database) -> None:
    store = PostgresBars(database)
    store.save_instruments(WANTED)
    accept(store, real_bars("AAPL", "IBM", start=date(2003, 11, 3), end=date(2004, 12, 30)))
    build(store, [NYSE.session(date(2004, 12, 30))])
    for session in next_sessions(store, date(2004, 12, 31), date(2005, 1, 4)):
        rows, carried = build(store, [session])
        assert carried == 2
        pd.testing.assert_frame_equal(rows, from_the_start(store, session), check_exact=True)
        assert lineage(database, IBM, session.opens_at) == accepted(store, IBM, session.opens_at)


def test_many_sessions_at_once_are_carried_on(store: PostgresBars, database: Database) -> None:
    sessions = list(next_sessions(store, date(2005, 2, 16), date(2005, 2, 25)))
    rows, carried = build(store, sessions)
    assert carried == 2
    for session in sessions:
        own = rows[rows["opened_at"] == session.opens_at].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, from_the_start(store, session), check_exact=True)
        assert lineage(database, AAPL, session.opens_at) == accepted(store, AAPL, session.opens_at)


@pytest.mark.parametrize("change", ["corrected", "quarantined", "late"])
def test_what_changes_an_older_bar_starts_its_instrument_anew_and_no_other(
    store: PostgresBars, database: Database, change: str
) -> None:
    sessions = NYSE.sessions(date(2005, 2, 16), date(2005, 2, 18))
    accept(store, real_bars("AAPL", "IBM", start=sessions[0].day, end=sessions[0].day))
    if change == "late":
        accept(store, real_bars("AAPL", start=sessions[1].day, end=sessions[1].day))
        accept(store, real_bars("AAPL", "IBM", start=sessions[2].day, end=sessions[2].day))
        build(store, [sessions[2]])
        accept(store, real_bars("IBM", start=sessions[1].day, end=sessions[1].day))
        sessions = list(next_sessions(store, date(2005, 2, 22), date(2005, 2, 22)))
    else:
        build(store, sessions[:1])
        old = real_bars("IBM", start=date(2004, 10, 1), end=date(2004, 10, 1))
        if change == "corrected":
            accept(store, old.assign(close=old["close"] + 0.25, high=old["high"] + 0.25))
        else:
            at = old["opened_at"].iloc[0].to_pydatetime()
            stored = store.load_bars([IBM], DAY, at, at + pd.Timedelta(seconds=1))
            store.save_verdicts(DAY, stored.head(0), stored.assign(reason="too_big_jump"))
        accept(store, real_bars("AAPL", "IBM", start=sessions[1].day, end=sessions[1].day))
        sessions = sessions[1:2]
    rows, carried = build(store, sessions)
    assert carried == 1
    pd.testing.assert_frame_equal(rows, from_the_start(store, sessions[-1]), check_exact=True)
    assert lineage(database, IBM, sessions[-1].opens_at) == accepted(store, IBM, sessions[-1].opens_at)
    after = next(next_sessions(store, NYSE.next_session(sessions[-1].day).day, NYSE.next_session(sessions[-1].day).day))
    assert build(store, [after])[1] == 2


def test_a_split_changes_rows_from_its_day_on_and_averages_go_on_in_the_new_shares(
    store: PostgresBars, database: Database
) -> None:
    before = list(next_sessions(store, date(2005, 2, 16), date(2005, 2, 25)))
    old, _ = build(store, before)
    PostgresCorporateActions(database).save(SPLIT, source="tape", actor="a test", known_from=EVENING)
    for number, session in enumerate(next_sessions(store, date(2005, 2, 28), date(2005, 3, 7))):
        rows, carried = build(store, [session])
        assert carried == (1 if number == 0 else 2)  # the averages of the day before were in the old shares
        pd.testing.assert_frame_equal(rows, from_the_start(store, session, [SPLIT]), check_exact=True)
    again, _ = build(store, before)
    pd.testing.assert_frame_equal(again, old, check_exact=True)

    stored = store.load_features([AAPL], DAY, START, EVENING, feature_digest=feature_digest())
    on = int(np.flatnonzero(stored["opened_at"] == NYSE.session(SPLIT.day).opens_at)[0])
    for name in FEATURES:
        ratio = stored[name].iloc[on] / stored[name].iloc[on - 1]
        if name in ("sma_10", "sma_20", "sma_50", "ema_12", "ema_26", "bb_middle", "atr_14"):
            assert name in PRICE_FEATURES
            assert ratio == pytest.approx(0.5, abs=0.05), name
    assert 60 < stored["rsi_14"].iloc[on] < 90
    assert abs(stored["return_1"].iloc[on]) < 0.05
    assert stored["volatility_20"].iloc[on] < 0.05


def test_the_same_range_at_once_has_the_split_in_the_same_rows(store: PostgresBars, database: Database) -> None:
    PostgresCorporateActions(database).save(SPLIT, source="tape", actor="a test", known_from=EVENING)
    sessions = list(next_sessions(store, date(2005, 2, 16), date(2005, 3, 7)))
    rows, _ = build(store, sessions)
    for session in sessions:
        own = rows[rows["opened_at"] == session.opens_at].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, from_the_start(store, session, [SPLIT]), check_exact=True)


def test_a_session_again_writes_nothing_alone_or_in_a_range(store: PostgresBars, database: Database) -> None:
    sessions = list(next_sessions(store, date(2005, 2, 16), date(2005, 2, 25)))
    build(store, sessions)

    def marks() -> list[tuple[object, ...]]:
        with database.connect() as connection:
            return connection.execute("select ctid::text, input_sha256 from research.feature order by 1").fetchall()

    written = marks()
    for again in (sessions, sessions[2:3], sessions[-1:], sessions[1:4]):
        build(store, again)
        assert marks() == written


def test_a_split_that_becomes_known_outdates_the_rows_from_its_day_on_until_they_are_computed_again(
    store: PostgresBars, database: Database
) -> None:
    sessions = list(next_sessions(store, date(2005, 2, 16), date(2005, 3, 4)))
    build(store, sessions)
    assert find_outdated(store, NYSE, AAPL, since=FIRST) == []
    PostgresCorporateActions(database).save(SPLIT, source="issuer", actor="test", known_from=EVENING)
    outdated = find_outdated(store, NYSE, AAPL, since=FIRST)
    assert outdated == [session.day for session in sessions if session.day >= SPLIT.day]
    assert find_outdated(store, NYSE, AAPL, since=outdated[1]) == outdated[1:]
    assert find_outdated(store, NYSE, IBM, since=FIRST) == []
    build(store, [session for session in sessions if session.day in outdated])
    assert find_outdated(store, NYSE, AAPL, since=FIRST) == []
