"""Files into the real store and out again: nothing lost, nothing twice, and each bad row with its reason."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.bar_files import write_rows
from ibkr_assets.ingest.imports import ImportReport, import_bars
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
FIRST, LAST = date(2012, 10, 1), date(2012, 12, 31)
NOW = datetime(2013, 1, 2, 12, tzinfo=UTC)
START, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(database: Database) -> PostgresBars:
    return PostgresBars(database)


def load(store: PostgresBars, path: Path, *, size: BarSize = BarSize.DAY, now: datetime = NOW) -> ImportReport:
    def resolve(symbol: str) -> Instrument:
        if symbol not in INSTRUMENTS:
            raise InputError(f"symbol {symbol}: not known")
        return INSTRUMENTS[symbol]

    return import_bars(store, NYSE, path, size=size, resolve=resolve, clock=FixedClock(now), progress=lambda text: None)


def stored(store: PostgresBars, *, is_validated: bool = True, size: BarSize = BarSize.DAY) -> pd.DataFrame:
    return store.load_bars(list(CONIDS.values()), size, START, END, is_validated=is_validated)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_of_several_symbols_is_stored_bit_for_bit_and_a_second_time_nothing_is_written(
    store: PostgresBars, tmp_path: Path, suffix: str
) -> None:
    bars = real_bars("IBM", "MSFT", start=FIRST, end=LAST)
    bars["close"] = np.nextafter(bars["close"], bars["low"])  # digits that a careless reader loses
    file = tmp_path / f"bars{suffix}"
    write_rows(bars, file)
    report = load(store, file)
    assert (report.rows, report.inserted, report.accepted, report.gaps) == (len(bars),) * 3 + (0,)
    pd.testing.assert_frame_equal(stored(store)[list(BAR_COLUMNS)], bars, check_dtype=False)

    again = load(store, file)
    assert (again.inserted, again.revised, again.unchanged) == (0, 0, len(bars))
    exported = tmp_path / f"out{suffix}"
    write_rows(stored(store), exported)
    assert load(store, exported).unchanged == len(bars)


def test_a_date_is_the_opening_of_its_session_early_closes_and_daylight_saving_included(
    store: PostgresBars, tmp_path: Path
) -> None:
    bars = real_bars("IBM", start=FIRST, end=LAST)
    dated = bars.assign(opened_at=bars["opened_at"].dt.date).drop(columns=["symbol", "conid"])
    dated.to_csv(tmp_path / "ibm.csv", index=False)
    load(store, tmp_path / "ibm.csv")
    assert stored(store)["opened_at"].tolist() == bars["opened_at"].tolist()
    dated.to_parquet(tmp_path / "IBM.parquet", index=False)
    assert load(store, tmp_path / "IBM.parquet").unchanged == len(bars)


def test_a_correction_becomes_a_version_and_the_old_one_is_read_as_of_then(store: PostgresBars, tmp_path: Path) -> None:
    bars = real_bars("IBM", start=FIRST, end=LAST)
    write_rows(bars, tmp_path / "a.csv")
    load(store, tmp_path / "a.csv")
    write_rows(bars.assign(volume=bars["volume"] + (bars.index == 7)), tmp_path / "b.csv")
    later = datetime(2013, 1, 3, tzinfo=UTC)
    assert load(store, tmp_path / "b.csv", now=later).revised == 1
    assert stored(store)["version"].tolist() == [2 if row == 7 else 1 for row in range(len(bars))]
    then = store.load_bars([CONIDS["IBM"]], BarSize.DAY, START, END, as_of=NOW)
    assert then["volume"].tolist() == bars["volume"].tolist()


def test_every_row_that_is_no_good_bar_is_kept_with_its_reason(
    store: PostgresBars, database: Database, tmp_path: Path
) -> None:
    lines = [
        "opened_at,symbol,open,high,low,close,volume",
        "2012-10-01,IBM,10,11,9,10,100",
        "2012-10-01,IBM,10,11,9,10,100",
        "2012-10-02,IBM,10,11,9,10,100",
        "2012-10-02,IBM,10,11,9,10.5,100",
        "2012-10-03,IBM,10,x,9,10,100",
        "nonsense,IBM,10,11,9,10,100",
        ",IBM,10,11,9,10,100",
        "2012-10-04T09:30:00,IBM,10,11,9,10,100",
        "2012-10-05,IBM,10,8,9,10,100",
        "2012-10-06,IBM,10,11,9,10,100",
        "2012-10-08T13:30:00Z,IBM,10,11,9,,100",
        "2013-02-01,IBM,10,11,9,10,100",
    ]
    (tmp_path / "bars.csv").write_text("\n".join(lines) + "\n")
    report = load(store, tmp_path / "bars.csv")
    assert report.rejected == {"unreadable": 2, "missing_field": 1, "tz_ambiguous": 1, "duplicate_in_fetch": 1}
    assert report.quarantined == {"ohlc_order": 1, "outside_session": 1, "missing_field": 1, "future": 1}
    assert (report.rows, report.repeated, report.inserted, report.accepted) == (12, 1, 6, 2)
    with database.connect() as connection:
        kept = connection.execute("select raw->>'high' from md.rejected_row where reason = 'unreadable'").fetchall()
    assert ("x",) in kept, "the row is kept as the file has it"
    again = load(store, tmp_path / "bars.csv")
    assert (again.inserted, again.revised) == (0, 0)


def test_a_symbol_that_nobody_knows_stops_its_batch_before_anything_is_stored(
    store: PostgresBars, tmp_path: Path
) -> None:
    write_rows(real_bars("IBM", start=FIRST, end=LAST).assign(symbol="NOPE"), tmp_path / "x.csv")
    with pytest.raises(InputError, match="NOPE"):
        load(store, tmp_path / "x.csv")
    assert stored(store, is_validated=False).empty


def test_gaps_are_counted_by_the_calendar_and_closed_by_the_bars_that_come(store: PostgresBars, tmp_path: Path) -> None:
    bars = real_bars("IBM", start=FIRST, end=LAST)
    write_rows(bars.drop(index=[4, 30]), tmp_path / "a.parquet")
    assert load(store, tmp_path / "a.parquet").gaps == 2
    gaps = store.load_gaps(BarSize.DAY, [CONIDS["IBM"]])
    assert [gap.session for gap in gaps] == [bars["opened_at"][row].date() for row in (4, 30)]
    write_rows(bars.iloc[[4]], tmp_path / "b.parquet")
    load(store, tmp_path / "b.parquet")
    assert [gap.session for gap in store.load_gaps(BarSize.DAY, [CONIDS["IBM"]])] == [gaps[1].session]
    closed = store.load_gaps(BarSize.DAY, [CONIDS["IBM"]], is_closed=True)
    assert closed[0].closed_at is not None


def minutes(day: date) -> pd.DataFrame:
    session = NYSE.session(day)
    opened = pd.date_range(session.opens_at, session.closes_at, freq="min", inclusive="left")
    walk = 100 + np.random.default_rng(1).normal(0, 0.02, len(opened)).cumsum().round(2)
    frame = pd.DataFrame({"symbol": "IBM", "opened_at": opened, "open": walk, "close": walk, "volume": 100.0})
    return frame.assign(high=walk + 0.05, low=walk - 0.05)


def test_minute_bars_are_judged_by_the_grid_of_the_session_half_days_too(store: PostgresBars, tmp_path: Path) -> None:
    whole, half = minutes(date(2012, 11, 21)), minutes(date(2012, 11, 23))
    assert (len(whole), len(half)) == (390, 210)
    bars = pd.concat([whole, half], ignore_index=True)
    bars.loc[10, "opened_at"] += pd.Timedelta(seconds=20)
    bars.loc[599, "opened_at"] += pd.Timedelta(hours=1)
    write_rows(bars, tmp_path / "m.parquet")
    report = load(store, tmp_path / "m.parquet", size=BarSize.MINUTE)
    assert report.quarantined == {"off_grid": 1, "outside_session": 1}
    assert report.accepted == 598
    assert [g.session for g in store.load_gaps(BarSize.MINUTE, [CONIDS["IBM"]])] == [
        date(2012, 11, 21), date(2012, 11, 23)
    ]  # fmt: skip


def test_a_directory_is_read_file_by_file_by_name(store: PostgresBars, tmp_path: Path) -> None:
    for symbol in ("MSFT", "IBM"):
        write_rows(real_bars(symbol, start=FIRST, end=LAST), tmp_path / f"{symbol}.parquet")
    report = load(store, tmp_path)
    assert (report.files, report.accepted) == (2, 2 * len(NYSE.sessions(FIRST, LAST)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no \.csv or \.parquet file"):
        load(store, tmp_path / "empty")
