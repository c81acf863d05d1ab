"""The bar store in Postgres: the contract of every bar store, and what only a shared database has to keep."""

from __future__ import annotations

import hashlib
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ports import BarsSaved
from ibkr_assets_tests.contracts.bar_store import BarStoreContract

DAY = BarSize.DAY
START, END = datetime(2012, 10, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)
EVENING = datetime(2012, 11, 1, 21, tzinfo=UTC)
IBM = Instrument(8314, "IBM", "NYSE")
MSFT = Instrument(272093, "MSFT", "NASDAQ")


class TestPostgresBars(BarStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> PostgresBars:
        return PostgresBars(database)


@pytest.fixture
def store(database: Database) -> PostgresBars:
    bars = PostgresBars(database)
    bars.save_instruments([IBM, MSFT])
    return bars


def made_up(count: int, *, conid: int = IBM.conid, close: float = 10.0) -> pd.DataFrame:
    opened = pd.date_range("2012-10-01 13:30", periods=count, freq="D", tz="UTC")
    return pd.DataFrame(
        {"conid": conid, "symbol": "IBM", "opened_at": opened, "open": 10.0, "high": 11.0, "low": 9.0}
        | {"close": close, "volume": 1000.0}
    )


def test_two_saves_of_the_same_bars_at_once_store_them_once(store: PostgresBars) -> None:
    bars = made_up(60)
    barrier = threading.Barrier(6)

    def save(_: int) -> BarsSaved:
        barrier.wait(10)
        return store.save_bars(bars, DAY, source="test", known_from=EVENING)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(save, range(6)))

    assert sorted((r.inserted, r.revised, r.unchanged) for r in results) == [(0, 0, 60)] * 5 + [(60, 0, 0)]
    assert list(store.load_bars([IBM.conid], DAY, START, END)["version"]) == [1] * 60


def test_different_values_at_once_leave_one_current_version_each_and_a_chain_without_holes(
    store: PostgresBars, database: Database
) -> None:
    batches = [pd.concat([made_up(5, close=c), made_up(5, conid=MSFT.conid, close=c)]) for c in (9.5, 10.0, 10.5, 11.0)]
    barrier = threading.Barrier(4)

    def save(batch: pd.DataFrame) -> BarsSaved:
        barrier.wait(10)
        return store.save_bars(batch.sample(frac=1, random_state=1), DAY, source="test", known_from=EVENING)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(save, batches))

    assert sum(r.inserted for r in results) == 10
    assert sum(r.revised for r in results) == 30
    with database.connect() as connection:
        chains = connection.execute(
            "select array_agg(version order by version), count(*) filter (where known_to is null) from md.bar "
            "group by conid, opened_at"
        ).fetchall()
    assert chains == [([1, 2, 3, 4], 1)] * 10


def test_a_batch_of_more_instruments_than_a_server_has_locks_is_stored_and_judged(
    store: PostgresBars, database: Database
) -> None:
    conids = range(1, 20_001)
    with database.connect() as connection:
        (room,) = connection.execute(
            "select current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int"
        ).fetchone() or (0,)
    assert room < len(conids)
    store.save_instruments([Instrument(conid, f"S{conid}", "NYSE") for conid in conids])
    bars = made_up(1).loc[[0] * len(conids)].assign(conid=conids, symbol=[f"S{conid}" for conid in conids])

    saved = store.save_bars(bars, DAY, source="test", known_from=EVENING)
    store.save_verdicts(DAY, bars.assign(version=1), bars.head(0).assign(version=1, reason=""))

    assert saved.inserted == len(conids)
    assert len(store.load_bars(conids, DAY, START, END, is_validated=True)) == len(conids)


def test_what_was_known_at_an_instant_can_be_read_again(store: PostgresBars) -> None:
    first, second = made_up(2, close=10.0), made_up(2, close=10.5)
    later = EVENING + timedelta(days=1)
    store.save_bars(first, DAY, source="test", known_from=EVENING)
    store.save_bars(second, DAY, source="test", known_from=later)

    def closes(as_of: datetime | None) -> list[float]:
        return list(store.load_bars([IBM.conid], DAY, START, END, as_of=as_of)["close"])

    assert closes(EVENING - timedelta(seconds=1)) == []
    assert closes(EVENING) == closes(later - timedelta(microseconds=1)) == [10.0, 10.0]
    assert closes(later) == closes(None) == [10.5, 10.5]


def test_a_correction_that_claims_to_be_older_does_not_turn_time_around(
    store: PostgresBars, database: Database
) -> None:
    store.save_bars(made_up(1), DAY, source="test", known_from=EVENING)
    store.save_bars(made_up(1, close=9.5), DAY, source="test", known_from=EVENING - timedelta(days=3))
    with database.connect() as connection:
        rows = connection.execute("select version, known_from, known_to from md.bar order by version").fetchall()
    assert rows == [(1, EVENING, EVENING), (2, EVENING, None)]


def test_the_row_hash_is_sha256_over_the_documented_bytes(store: PostgresBars) -> None:
    bar = made_up(1).assign(open=-0.0)
    bar["volume"] = np.nan
    store.save_bars(bar, DAY, source="test", known_from=EVENING)

    micros = int(datetime(2012, 10, 1, 13, 30, tzinfo=UTC).timestamp()) * 1_000_000
    numbers = struct.pack(">qqdddd", IBM.conid, micros, 0.0, 11.0, 9.0, 10.0) + bytes.fromhex("7ff8000000000000")
    expected = hashlib.sha256(b"1d" + numbers).hexdigest()
    assert list(store.load_bars([IBM.conid], DAY, START, END)["row_sha"]) == [expected]


def test_a_number_that_is_not_finite_is_stored_as_missing(store: PostgresBars, database: Database) -> None:
    bars = made_up(3)
    bars["high"] = [np.inf, -np.inf, np.nan]
    store.save_bars(bars, DAY, source="test", known_from=EVENING)
    with database.connect() as connection:
        assert connection.execute("select high from md.bar").fetchall() == [(None,)] * 3
        for word in ("NaN", "Infinity", "-Infinity"):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute("update md.bar set high = %s::double precision", (word,))


def test_rows_that_are_no_bars_are_kept_with_their_reason_and_only_once(
    store: PostgresBars, database: Database
) -> None:
    good = made_up(2)
    nameless = made_up(1).astype({"conid": "float64"}).assign(conid=np.nan)
    timeless = made_up(1).assign(opened_at=pd.Series([pd.NaT]).dt.tz_localize("UTC"))
    contradiction = made_up(1, close=10.7)
    batch = pd.concat([contradiction, good, good, nameless, timeless], ignore_index=True)

    saved = [store.save_bars(batch, DAY, source="test", known_from=EVENING) for _ in range(2)]

    assert saved == [BarsSaved(2, 0, 0), BarsSaved(0, 0, 2)]
    with database.connect() as connection:
        rows = connection.execute(
            "select reason, conid, raw->>'close' from md.rejected_row order by reason, conid"
        ).fetchall()
    assert rows == [
        ("duplicate_in_fetch", 8314, "10.7"),
        ("missing_field", 8314, "10.0"),
        ("missing_field", None, "10.0"),
    ]
    assert list(store.load_bars([IBM.conid], DAY, START, END)["close"]) == [10.0, 10.0]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda b: b.drop(columns="low"), r"columns \['low'\] are missing"),
        (lambda b: b.assign(opened_at=b["opened_at"].dt.tz_localize(None)), "opened_at must be aware"),
        (lambda b: b.assign(conid=5), r"no instrument is known for \[5\]"),
    ],
)
def test_a_batch_that_cannot_be_understood_is_refused_whole(store: PostgresBars, spoil, words: str) -> None:
    with pytest.raises(DataError, match=words):
        store.save_bars(spoil(made_up(2)), DAY, source="test", known_from=EVENING)
    assert store.load_bars([IBM.conid, 5], DAY, START, END).empty


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_instant_is_the_same_in_every_zone_and_unit(store: PostgresBars, zone: str, unit: str) -> None:
    store.save_bars(made_up(3), DAY, source="test", known_from=EVENING)
    other = made_up(3)
    other["opened_at"] = other["opened_at"].dt.tz_convert(zone).dt.as_unit(unit)
    assert store.save_bars(other, DAY, source="test", known_from=EVENING) == BarsSaved(0, 0, 3)


def test_a_bar_is_current_once_whoever_writes(store: PostgresBars, database: Database) -> None:
    store.save_bars(made_up(1), DAY, source="test", known_from=EVENING)
    store.save_bars(made_up(1, close=9.5), DAY, source="test", known_from=EVENING)
    columns = "conid, bar_size, opened_at, open, source, row_sha"
    again = f"insert into md.bar ({columns}, version, known_from) select {columns}, %s, known_from from md.bar limit 1"
    for version in (3, 4):  # version 2 is current, and version 3 is not there
        with pytest.raises(psycopg.errors.IntegrityError, match="still current"), database.connect() as connection:
            connection.execute(again, (version,))
    with pytest.raises(psycopg.errors.IntegrityError, match="never changed"), database.connect() as connection:
        connection.execute("update md.bar set known_to = null where version = 1")


def test_a_batch_of_new_and_known_instruments_with_holes_is_one_save(store: PostgresBars) -> None:
    store.save_bars(made_up(5), DAY, source="test", known_from=EVENING)
    both = pd.concat([made_up(6, close=10.5), made_up(4, conid=MSFT.conid).assign(symbol="MSFT", open=np.nan)])
    assert store.save_bars(both, DAY, source="test", known_from=EVENING) == BarsSaved(5, 5, 0)
    read = store.load_bars([MSFT.conid, IBM.conid], DAY, START, END)
    assert read["version"].tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    assert read["symbol"].tolist() == ["IBM"] * 6 + ["MSFT"] * 4
    assert read["open"].isna().tolist() == [False] * 6 + [True] * 4


def test_a_symbol_cannot_belong_to_two_instruments(store: PostgresBars) -> None:
    with pytest.raises(DataError, match=r"\(symbol\)=\(IBM\) already exists"):
        store.save_instruments([Instrument(99, "IBM", "NYSE")])


def test_a_quarantined_bar_is_shown_with_its_reason_until_it_is_corrected(
    store: PostgresBars, database: Database
) -> None:
    store.save_bars(made_up(2), DAY, source="test", known_from=EVENING)
    bars = store.load_bars([IBM.conid], DAY, START, END)
    store.save_verdicts(DAY, bars.iloc[:1], bars.iloc[1:].assign(reason="ohlc_order"))

    def shown() -> list[tuple]:
        with database.connect() as connection:
            return connection.execute("select symbol, version, reason from md.quarantine").fetchall()

    assert shown() == [("IBM", 1, "ohlc_order")]
    store.save_bars(made_up(2, close=10.2), DAY, source="test", known_from=EVENING)
    assert shown() == []


def test_a_quarantine_without_a_reason_is_refused(store: PostgresBars) -> None:
    store.save_bars(made_up(1), DAY, source="test", known_from=EVENING)
    bars = store.load_bars([IBM.conid], DAY, START, END)
    with pytest.raises(DataError, match="needs a reason"):
        store.save_verdicts(DAY, bars.head(0), bars.assign(reason=""))


def test_a_gap_is_registered_once_closed_when_filled_and_opened_again(store: PostgresBars, database: Database) -> None:
    days = [date(2012, 10, 1), date(2012, 10, 2)]
    conids = [IBM.conid, MSFT.conid]

    def gaps(missing: list[tuple[str, date]], sessions: list[date] = days) -> list[tuple]:
        store.save_gaps(DAY, missing, conids=conids, sessions=sessions)
        with database.connect() as connection:
            return connection.execute(
                "select conid, session_date, closed_at is null from md.gap order by conid, session_date"
            ).fetchall()

    assert gaps([("IBM", days[0]), ("MSFT", days[1])]) == [(8314, days[0], True), (272093, days[1], True)]
    assert gaps([("IBM", days[0])]) == [(8314, days[0], True), (272093, days[1], False)]
    assert gaps([], sessions=days[1:]) == [(8314, days[0], True), (272093, days[1], False)]
    assert gaps([("MSFT", days[1])]) == [(8314, days[0], False), (272093, days[1], True)]


def test_a_digest_cannot_change_its_names(store: PostgresBars) -> None:
    features = made_up(1)[["conid", "opened_at"]].assign(sma=1.0)
    store.save_features(features, DAY, feature_digest="d")
    with pytest.raises(DataError, match=r"digest d names \['sma'\], got \['ema'\]"):
        store.save_features(features.rename(columns={"sma": "ema"}), DAY, feature_digest="d")


def test_those_who_decide_may_add_bars_but_not_change_or_delete_them(database_url_of, store: PostgresBars) -> None:
    app = Database(database_url_of("ibkr_app"))
    user = PostgresBars(app)
    assert user.save_bars(made_up(2), DAY, source="test", known_from=EVENING) == BarsSaved(2, 0, 0)
    assert user.save_bars(made_up(2, close=9.9), DAY, source="test", known_from=EVENING) == BarsSaved(0, 2, 0)
    bars = user.load_bars([IBM.conid], DAY, START, END)
    user.save_verdicts(DAY, bars, bars.head(0).assign(reason=""))
    user.save_features(bars[["conid", "opened_at"]].assign(x=1.0), DAY, feature_digest="d")
    user.save_gaps(DAY, [("IBM", date(2012, 10, 3))], conids=[IBM.conid], sessions=[date(2012, 10, 3)])
    for statement in ("update md.bar set close = 1", "delete from md.bar", "truncate md.bar"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), app.connect() as connection:
            connection.execute(statement)
    app.close()
    submitter = Database(database_url_of("ibkr_submitter"))
    assert len(PostgresBars(submitter).load_bars([IBM.conid], DAY, START, END)) == 2
    submitter.close()
