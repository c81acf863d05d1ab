"""Bars of the user's own - files, objects, somebody else's table - in the real store: as they lie there, or why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from psycopg import sql

from ibkr_assets.adapters.objects import S3Objects
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.foreign_bars import ForeignBars
from ibkr_assets.adapters.source_settings import SourceSettings
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import ConfigurationError, InputError, Unavailable
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.bar_files import write_rows
from ibkr_assets.ingest.bars import ingest_sessions
from ibkr_assets.ingest.feeds import Feeds
from ibkr_assets.ingest.imports import ImportReport, import_rows
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars
from ibkr_assets_tests.foreign import COLUMNS, SCHEMA, TABLE, TYPES, Foreign, foreign_database
from ibkr_assets_tests.objects import Bucket, object_store

NYSE = exchange_calendar("XNYS")
FIRST, LAST = date(2012, 10, 1), date(2012, 12, 31)
NOW = datetime(2013, 1, 2, 12, tzinfo=UTC)
START, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
BARS = real_bars("IBM", "MSFT", start=FIRST, end=LAST)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with object_store() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def theirs(postgres_server) -> Iterator[Foreign]:
    with foreign_database(postgres_server) as foreign:
        yield foreign


@pytest.fixture
def foreign(theirs: Foreign) -> Foreign:
    theirs.create()
    return theirs


@pytest.fixture
def store(database: Database) -> PostgresBars:
    return PostgresBars(database)


def feeds(**settings: object) -> Feeds:
    own = SourceSettings.model_validate(settings)
    return Feeds(own, NYSE, lambda url: S3Objects(url, own.s3, {}), lambda: ForeignBars(own.postgres), None)


def resolve(symbol: str) -> Instrument:
    if symbol not in INSTRUMENTS:
        raise InputError(f"symbol {symbol}: not known")
    return INSTRUMENTS[symbol]


def load(store: PostgresBars, source: str, rows, *, size: BarSize = BarSize.DAY, progress=print) -> ImportReport:
    return import_rows(
        store, NYSE, rows, parts="?", size=size, source=source, resolve=resolve, clock=FixedClock(NOW),
        progress=progress,
    )  # fmt: skip


def extract(store: PostgresBars, foreign: Foreign, symbols: list[str] | None = None, **changes) -> ImportReport:
    own = foreign.settings(**changes)
    source, rows = feeds(postgres=own.model_dump() | {"url": foreign.url}).extract(symbols, None, None)
    return load(store, source, rows, size=own.bar_size)


def stored(store: PostgresBars, *, is_validated: bool = True) -> pd.DataFrame:
    return store.load_bars(list(CONIDS.values()), BarSize.DAY, START, END, is_validated=is_validated)


def provenance(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return dict(connection.execute("select source, count(*) from md.bar group by 1").fetchall())


def test_objects_of_a_bucket_are_imported_whole_with_progress_and_a_second_time_nothing_is_written(
    store: PostgresBars, database: Database, bucket: Bucket, tmp_path: Path
) -> None:
    for symbol, suffix in (("IBM", ".csv"), ("MSFT", ".parquet")):
        file = tmp_path / f"{symbol}{suffix}"
        write_rows(BARS[BARS["symbol"] == symbol], file)
        bucket.put(f"daily/{symbol[0]}/{file.name}", file.read_bytes())
    bucket.put("daily/readme.txt", b"not bars")
    told: list[str] = []
    for expected in ((len(BARS), 0), (0, len(BARS))):
        with feeds(s3=bucket.settings.model_dump()).file_rows(
            f"s3://{bucket.name}/daily", BarSize.DAY, told.append
        ) as (source, parts, rows):
            report = load(store, source, rows)
        assert (parts, report.files, (report.inserted, report.unchanged)) == ("2 files", 2, expected)
    pd.testing.assert_frame_equal(stored(store)[list(BAR_COLUMNS)], BARS, check_dtype=False)
    assert provenance(database) == {"s3": len(BARS)}
    assert told[0].startswith("1 of 2 objects, 0.0 of 0.0 MB: ")
    assert told[1].endswith("/daily/M/MSFT.parquet")


def test_an_object_that_comes_broken_stores_nothing_of_itself(
    store: PostgresBars, bucket: Bucket, tmp_path: Path
) -> None:
    write_rows(BARS, tmp_path / "x.csv")
    bucket.put("broken/x.csv", (tmp_path / "x.csv").read_bytes())
    kept = bucket.stored("broken/x.csv")
    assert kept.etag
    kept._value_buffer.seek(0)
    kept._value_buffer.write(b"0")
    with (
        pytest.raises(Exception, match="its ETag"),
        feeds(s3=bucket.settings.model_dump()).file_rows(f"s3://{bucket.name}/broken", BarSize.DAY, print) as found,
    ):
        load(store, found[0], found[2])
    assert stored(store, is_validated=False).empty
    bucket.put("words/readme.txt", b"not bars")
    with (
        pytest.raises(InputError, match=r"has no \.csv or \.parquet object"),
        feeds(s3=bucket.settings.model_dump()).files(f"s3://{bucket.name}/words"),
    ):
        pass


def test_bars_of_another_database_come_as_they_lie_there_and_twice_is_once(
    store: PostgresBars, database: Database, foreign: Foreign
) -> None:
    foreign.add_bars(BARS)
    assert (extract(store, foreign).inserted, extract(store, foreign).unchanged) == (len(BARS), len(BARS))
    pd.testing.assert_frame_equal(stored(store)[list(BAR_COLUMNS)], BARS, check_dtype=False)
    assert provenance(database) == {"postgres": len(BARS)}


NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("kind", "zone", "moment"),
    [
        ("date", None, lambda opened: opened.date()),
        ("timestamp", None, lambda opened: opened.date()),
        ("timestamp", NEW_YORK, lambda opened: opened.tz_convert(NEW_YORK).tz_localize(None)),
        ("timestamptz", NEW_YORK, lambda opened: pd.Timestamp(opened.date(), tz=NEW_YORK)),
        ("timestamptz", "UTC", lambda opened: pd.Timestamp(opened.date(), tz="UTC")),
        ("text", None, lambda opened: opened.isoformat()),
        ("varchar(40)", None, lambda opened: opened.date()),
    ],
)
def test_a_time_is_the_same_instant_whatever_the_columns_type(
    store: PostgresBars, foreign: Foreign, kind: str, zone: str | None, moment: Callable
) -> None:
    foreign.create((TYPES[0], kind, "real", *TYPES[3:]))
    foreign.add_bars(BARS, [moment(opened) for opened in BARS["opened_at"]])
    assert extract(store, foreign, time_zone=zone).accepted == len(BARS)
    assert stored(store)["opened_at"].tolist() == BARS["opened_at"].tolist()


def test_rows_that_broke_the_predecessor_are_kept_with_their_reason(
    store: PostgresBars, database: Database, foreign: Foreign
) -> None:
    foreign.create(("text", "timestamp", "double precision", "double precision", "text", "numeric", "numeric"))
    good = ["2012-10-01", 10, 11, 9, 10, 100]
    foreign.add(
        [
            ["IBM", *good],
            ["IBM", "2012-10-02", "NaN", 11, 9, 10, 100],
            ["IBM", "2012-10-03", 10, "Infinity", 9, 10, 100],
            ["IBM", "2012-10-04", 10, 11, 9, "NaN", 100],
            ["IBM", "2012-10-05", 10, 11, 9, None, 100],
            ["IBM", "2012-10-08", 10, 11, 9, "1" + "0" * 400, 100],
            ["IBM", "2012-10-09", 10, 11, "nine", 10, 100],
            ["IBM", "2012-10-10 09:30:00", 10, 11, 9, 10, 100],
            ["IBM", "infinity", 10, 11, 9, 10, 100],
            ["IBM", None, 10, 11, 9, 10, 100],
            ["IBM", "0044-03-15 BC", 10, 11, 9, 10, 100],
            [None, *good],
            ["IBM", "2012-10-06", 10, 11, 9, 10, 100],
        ]
    )
    report = extract(store, foreign)
    assert report.rejected == {"unreadable": 3, "tz_ambiguous": 1, "missing_field": 2}
    assert report.quarantined == {"missing_field": 5, "outside_session": 1}
    assert (report.rows, report.inserted, report.accepted) == (13, 7, 1)
    with database.connect() as connection:
        kept = connection.execute("select raw->>'opened_at', reason, source from md.rejected_row order by 1").fetchall()
    assert ("2012-10-10 09:30:00", "tz_ambiguous", "postgres") in kept
    assert extract(store, foreign).inserted == 0
    with database.connect() as connection:
        assert connection.execute("select count(*) from md.rejected_row").fetchone() == (len(kept),)


def test_only_the_symbols_and_days_that_were_asked_for_come(foreign: Foreign) -> None:
    foreign.add_bars(BARS)
    foreign.add([["IBM", None, 1, 1, 1, 1, 1]])
    table = ForeignBars(foreign.settings())
    frames = list(table.read(["IBM"], datetime(2012, 11, 1, tzinfo=UTC), datetime(2012, 12, 1, tzinfo=UTC)))
    (frame,) = frames
    assert set(frame["symbol"]) == {"IBM"}
    assert frame["opened_at"].isna().sum() == 1, "nobody can say that it is of another month"
    days = pd.to_datetime(frame["opened_at"].dropna(), utc=True).dt.date
    assert (days.min(), days.max()) == (date(2012, 10, 31), date(2012, 11, 30))
    assert list(table.read(["NOPE'; drop table x --"])) == []


def test_their_database_is_read_in_a_transaction_that_cannot_write(foreign: Foreign) -> None:
    foreign.add_bars(BARS.head(3))
    with psycopg.connect(foreign.url) as connection:
        connection.execute("create sequence if not exists public.reads")
        connection.execute(
            sql.SQL("create or replace view public.sly as select *, nextval('public.reads') as n from {}").format(
                sql.Identifier(SCHEMA, TABLE)
            )
        )
    sly = foreign.settings(table_schema="public", table="sly", columns=COLUMNS | {"volume": "n"})
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        list(ForeignBars(sly).read())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"table": "nowhere"}, 'relation "their "data".nowhere" does not exist'),
        ({"columns": COLUMNS | {"close": "nothing"}}, 'column "nothing" does not exist'),
        ({"columns": COLUMNS | {"time": "vol %s"}}, "vol %s is bigint, not a time"),
    ],
)
def test_a_mapping_that_fits_no_table_is_a_wrong_setting(foreign: Foreign, changes: dict, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sources\.postgres") as caught:
        list(ForeignBars(foreign.settings(**changes)).read())
    assert text in str(caught.value)


def test_a_server_that_is_away_is_away_and_a_wrong_password_is_a_wrong_setting(
    foreign: Foreign, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable):
        list(ForeignBars(foreign.settings(url="postgresql://x@127.0.0.1:1/x")).read())
    secret = tmp_path / "url"
    secret.write_text(foreign.url.replace("ibkr_platform:", "ibkr_platform:no") + "\n")
    with pytest.raises(ConfigurationError, match=r"sources\.postgres\.url: Postgres at .* refuses"):
        list(ForeignBars(foreign.settings(url=None, url_file=secret)).read())


def chain_run(store: PostgresBars, own: Feeds, day: date):
    source = own.own()
    assert source is not None
    return ingest_sessions(
        source, store, NYSE, symbols=["IBM", "MSFT"], sessions=[NYSE.session(day)], warm_up_sessions=20,
        clock=FixedClock(NOW), progress=print, provenance=source.name,
    )  # fmt: skip


def test_every_source_feeds_a_run_with_the_same_bars_and_another_value_is_the_next_version(
    store: PostgresBars, database: Database, foreign: Foreign, bucket: Bucket, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_rows(BARS, own / "all.parquet")
    bucket.put("chain/all.parquet", (own / "all.parquet").read_bytes())
    corrected = BARS.assign(close=BARS["close"].where(BARS.index != 40, BARS["low"]))
    foreign.add_bars(corrected)
    ids = tmp_path / "ids.csv"
    ids.write_text("symbol,conid\n" + "".join(f"{symbol},{conid}\n" for symbol, conid in CONIDS.items()))
    day = BARS["opened_at"][40].date()
    table = foreign.settings().model_dump() | {"url": foreign.url}
    made = chain_run(store, feeds(bars="directory", directory=own, instruments=ids), day)
    assert (made.saved.inserted, made.saved.revised) == (42, 0)
    again = chain_run(
        store, feeds(bars="s3", s3=bucket.settings.model_dump() | {"url": f"s3://{bucket.name}/chain"}), day
    )
    assert (again.saved.inserted, again.saved.revised, again.saved.unchanged) == (0, 0, 2)
    assert provenance(database) == {"directory": 42}
    theirs = chain_run(store, feeds(bars="postgres", postgres=table), day)
    assert (theirs.saved.inserted, theirs.saved.revised, theirs.saved.unchanged) == (0, 1, 1)
    assert provenance(database) == {"directory": 42, "postgres": 1}


def test_rows_of_a_source_that_are_no_bars_come_with_their_reason(foreign: Foreign) -> None:
    foreign.add_bars(BARS)
    foreign.add([["IBM", None, 1, 1, 1, 1, 1], ["MSFT", "infinity", 1, 1, 1, 1, 1]])
    table = foreign.settings().model_dump() | {"url": foreign.url}
    source = feeds(bars="postgres", postgres=table).own()
    assert source is not None
    got = source.fetch_bars(INSTRUMENTS["IBM"], BarSize.DAY, START, END)
    assert got["reason"].tolist() == [""] * (len(BARS) // 2) + ["missing_field"]
    assert got["raw"].iloc[-1]["open"] == "1.0"
    assert isinstance(got["opened_at"].dtype, pd.DatetimeTZDtype)
    pd.testing.assert_frame_equal(
        got.iloc[:-1][list(BAR_COLUMNS)].reset_index(drop=True),
        BARS[BARS["symbol"] == "IBM"].reset_index(drop=True),
        check_dtype=False,
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bars": "directory"}, "directory is not set"),
        ({"bars": "s3"}, "s3.url is not set"),
        ({"bars": "postgres"}, "neither postgres.url nor postgres.url_file is set"),
        ({"bars": "postgres", "postgres": {"url": "x", "bar_size": "1min"}}, "raw_bars are daily"),
        ({"postgres": {"url": "x", "url_file": "y"}}, "set one of them"),
        ({"postgres": {"time_zone": "Mars/Olympus"}}, "not a time zone"),
        ({"s3": {"access_key": "x"}}, "set together"),
    ],
)
def test_a_source_that_is_not_whole_is_refused_before_it_is_asked(settings: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace(".", r"\.")):
        SourceSettings.model_validate(settings)
