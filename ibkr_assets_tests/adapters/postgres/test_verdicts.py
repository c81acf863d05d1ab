"""Verdicts in Postgres beyond every store's contract: in bulk, at once, again, and of bars that are not there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.instrument import Instrument

DAY = BarSize.DAY
START, END = datetime(2012, 10, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
EVENING = datetime(2014, 1, 1, 21, tzinfo=UTC)
CONIDS = [3, 1, 2]
DAYS = 40


@pytest.fixture
def store(database: Database) -> PostgresBars:
    """Forty bars of each of three instruments, without verdicts."""
    bars = PostgresBars(database)
    bars.save_instruments([Instrument(conid, f"S{conid}", "XNYS") for conid in CONIDS])
    opened = pd.date_range("2012-10-01 13:30", periods=DAYS, freq="D", tz="UTC")
    for conid in CONIDS:
        frame = pd.DataFrame({"conid": conid, "symbol": f"S{conid}", "opened_at": opened})
        bars.save_bars(
            frame.assign(open=10.0, high=11.0, low=9.0, close=10.5, volume=7.0), DAY, source="test", known_from=EVENING
        )
    return bars


def stored(database: Database) -> list[tuple[object, ...]]:
    """Every verdict, with the transaction that wrote it."""
    with database.connect() as connection:
        return connection.execute(
            "select conid, opened_at, version, verdict, reason, xmin::text from md.bar_verdict order by 1, 2, 3"
        ).fetchall()


def test_verdicts_in_any_order_are_stored_each_with_its_bar(store: PostgresBars, database: Database) -> None:
    raw = store.load_bars(CONIDS, DAY, START, END)
    bad = raw.iloc[[3, 50, 90]].assign(reason=["stuck", "ohlc_order", "not_positive"])
    good = raw.drop(index=bad.index).sample(frac=1, random_state=3)
    store.save_verdicts(DAY, good, bad.iloc[::-1])
    expected = {(row.conid, row.opened_at): ("quarantined", row.reason) for row in bad.itertuples()}
    found = {(conid, opened): (verdict, reason) for conid, opened, _, verdict, reason, _ in stored(database)}
    assert found == {
        (row.conid, row.opened_at): expected.get((row.conid, row.opened_at), ("accepted", ""))
        for row in raw.itertuples()
    }


def test_the_same_verdicts_again_write_no_row(store: PostgresBars, database: Database) -> None:
    raw = store.load_bars(CONIDS, DAY, START, END)
    bad = raw.iloc[[7]].assign(reason="stuck")
    store.save_verdicts(DAY, raw.drop(index=7), bad)
    before = stored(database)
    store.save_verdicts(DAY, raw.drop(index=7), bad)
    assert stored(database) == before


def test_only_verdicts_that_differ_are_written_beside_new_ones(store: PostgresBars, database: Database) -> None:
    raw = store.load_bars(CONIDS, DAY, START, END)
    nothing = raw.head(0).assign(reason="")
    store.save_verdicts(DAY, raw[raw["conid"] == 1].head(20), nothing)
    before = {row[:2]: row[-1] for row in stored(database)}
    second = raw[raw["conid"] == 1].iloc[[5]]
    store.save_verdicts(DAY, raw.drop(index=second.index), second.assign(reason="too_big_jump"))
    after = {row[:2]: row for row in stored(database)}
    assert len(after) == len(CONIDS) * DAYS
    assert [key for key, xmin in before.items() if after[key][-1] != xmin] == [(1, second["opened_at"].iloc[0])]
    assert after[1, second["opened_at"].iloc[0]][3:5] == ("quarantined", "too_big_jump")


def test_a_version_that_is_accepted_and_refused_is_refused(store: PostgresBars, database: Database) -> None:
    raw = store.load_bars([1], DAY, START, END)
    twice = pd.concat([raw.iloc[[4]].assign(reason="stuck"), raw.iloc[[4]].assign(reason="off_grid")])
    store.save_verdicts(DAY, raw, twice)
    verdicts = [row[3:5] for row in stored(database)]
    assert verdicts[4] == ("quarantined", "stuck")
    assert verdicts.count(("accepted", "")) == DAYS - 1


@pytest.mark.parametrize("judged_before", [0, DAYS])
def test_a_verdict_on_a_bar_that_is_not_stored_is_refused_with_all_others(
    store: PostgresBars, database: Database, judged_before: int
) -> None:
    raw = store.load_bars([1], DAY, START, END)
    nothing = raw.head(0).assign(reason="")
    store.save_verdicts(DAY, raw.head(judged_before), nothing)
    before = stored(database)
    later = raw.assign(version=[1] * 9 + [2] + [1] * (DAYS - 10))
    with pytest.raises(DataError, match="1-1d-20121010T133000Z-2: judged, and not stored"):
        store.save_verdicts(DAY, later, nothing)
    assert stored(database) == before


def test_many_judges_of_the_same_bars_at_once_leave_one_verdict_each(store: PostgresBars, database: Database) -> None:
    raw = store.load_bars(CONIDS, DAY, START, END)
    barrier = threading.Barrier(4)

    def judge(place: int) -> None:
        barrier.wait(10)
        own = raw.sample(frac=1, random_state=place)
        store.save_verdicts(DAY, own, own.head(0).assign(reason=""))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(judge, range(4)))
    assert [row[3:5] for row in stored(database)] == [("accepted", "")] * len(CONIDS) * DAYS


def test_the_count_of_changes_goes_up_once_a_statement_and_only_for_what_came_late(
    store: PostgresBars, database: Database
) -> None:
    def epochs() -> dict[int, tuple[int, datetime]]:
        with database.connect() as connection:
            rows = connection.execute("select conid, epoch, newest from md.bar_epoch").fetchall()
        return {conid: (epoch, newest) for conid, epoch, newest in rows}

    raw = store.load_bars(CONIDS, DAY, START, END)
    nothing = raw.head(0).assign(reason="")
    first = raw["opened_at"].iloc[0].to_pydatetime()
    is_late = raw["opened_at"] == first + timedelta(days=2)
    early = raw["opened_at"] < first + timedelta(days=10)
    store.save_verdicts(DAY, raw[early & ~(is_late & (raw["conid"] == 2))], nothing)
    assert epochs() == dict.fromkeys([1, 2, 3], (0, first + timedelta(days=9)))
    store.save_verdicts(DAY, raw[~early], nothing)
    assert epochs() == dict.fromkeys([1, 2, 3], (0, first + timedelta(days=DAYS - 1)))
    store.save_verdicts(DAY, raw[is_late & (raw["conid"] == 2)], nothing)
    assert {conid: epoch for conid, (epoch, _) in epochs().items()} == {1: 0, 2: 1, 3: 0}
    store.save_verdicts(DAY, raw.head(0), raw[raw["conid"] == 3].head(5).assign(reason="stuck"))
    assert {conid: epoch for conid, (epoch, _) in epochs().items()} == {1: 0, 2: 1, 3: 1}
    assert {newest for _, newest in epochs().values()} == {first + timedelta(days=DAYS - 1)}
