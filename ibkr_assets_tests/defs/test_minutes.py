"""Minutes are collected while the exchange is open: final ones alone, each once, over the wire and into Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.adapters.ibkr.client import market_data
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.defs.minutes import due_for_minutes, minutes_while_open
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError, Unavailable
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.ingest.freshness import look_for_newest
from ibkr_assets.ingest.minutes import MinuteReport, collect_minutes, final_until
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.settings import Settings
from ibkr_assets_tests.defs.chain import Chain, checks_of, metadata_of
from ibkr_assets_tests.defs.ticks import Peers, at, evaluate, note_run, status
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.soak.tape import write_tape

NYSE = exchange_calendar("XNYS")
#: A whole day, a half day and the one after it.
DAYS = NYSE.sessions(date(2012, 11, 21), date(2012, 11, 26))
SYMBOLS = ("IBM", "IBMB")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The minutes of IBM as they lie in the tape's own file."""
    directory = tmp_path_factory.mktemp("tape") / "tape"
    write_tape(directory, SYMBOLS, DAYS, seed=3, days_before=5)
    minutes = pd.read_parquet(directory / "minutes" / "IBM.parquet")
    minutes.attrs["directory"] = directory
    return minutes


@pytest.fixture
def gateway(tape: pd.DataFrame) -> Iterator[RunningGateway]:
    """Before the opening of the first day."""
    with start_gateway(tape=tape.attrs["directory"], clock_start=DAYS[0].opens_at - timedelta(minutes=30)) as running:
        yield running


class Collection:
    """The platform's way of minutes, from the wire to the verdict."""

    def __init__(self, gateway: RunningGateway, database: Any) -> None:
        self.gateway, self.database, self.store = gateway, database, PostgresBars(database)
        self.clock = MarketClock(gateway.clock_url)
        self.source = market_data(
            gateway.api_url, ca=None, clock=self.clock, calendar=NYSE, connect_timeout_s=2.0, read_timeout_s=5.0,
            pace=1000.0,
        )  # fmt: skip

    def run(self, session: TradingSession, now: str, symbols: tuple[str, ...] = ("IBM",)) -> MinuteReport:
        self.gateway.set_clock(at(f"{session.day} {now}"))
        return collect_minutes(
            self.source, self.store, NYSE, symbols=symbols, session=session, clock=self.clock, progress=lambda _: None
        )

    def stored(self, session: TradingSession, **options: bool) -> pd.DataFrame:
        (instrument,) = self.store.instruments(["IBM"])
        return self.store.load_bars([instrument.conid], BarSize.MINUTE, session.opens_at, session.closes_at, **options)


@pytest.fixture
def collection(gateway: RunningGateway, database: Any) -> Iterator[Collection]:
    made = Collection(gateway, database)
    yield made
    made.source.close()


def values(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    columns = ("opened_at", "open", "high", "low", "close", "volume")
    return [tuple(row) for row in frame[list(columns)].itertuples(index=False)]


def test_what_is_stored_at_each_moment_are_the_minutes_that_are_over_for_a_minute(
    collection: Collection, tape: pd.DataFrame
) -> None:
    day = DAYS[0]
    with pytest.raises(DataError, match="no minute is final; it opens at 2012-11-21T14:30"):
        collection.run(day, "09:31")
    first = collection.run(day, "09:36", SYMBOLS)
    assert (first.fetched, first.saved.inserted, first.accepted, first.late) == (10, 10, 10, {})
    for now, last in (("10:00", "09:58"), ("10:45", "10:43"), ("11:02", "11:00")):
        before = len(collection.stored(day))
        report = collection.run(day, now)
        expected = tape[(tape["opened_at"] >= day.opens_at) & (tape["opened_at"] <= at(f"{day.day} {last}"))]
        assert values(collection.stored(day)) == values(expected)
        assert len(collection.stored(day, is_validated=True)) == len(expected)
        assert (report.saved.revised, report.saved.unchanged) == (0, min(before, 10)), "the last ten, and no others"
    again = collection.run(day, "11:02")
    assert (again.saved.inserted, again.saved.unchanged) == (0, 10)
    requests = [row for row in collection.gateway.wirelog() if row["route"] == "history"]
    assert len(requests) == 2 + 4, "one request an instrument and collection"
    assert {row["method"] for row in collection.gateway.wirelog() if "order" in row["path"]} <= {"GET"}


def test_a_session_that_is_over_is_fetched_whole_and_what_it_lacks_is_a_gap(
    collection: Collection, tape: pd.DataFrame
) -> None:
    half = DAYS[1]
    assert half.is_early_close
    collection.run(half, "10:00")
    collection.gateway.arm_fault("F47", how="missing", back=3)
    report = collection.run(half, "13:01")
    assert report.until == half.closes_at
    own = tape[(tape["opened_at"] >= half.opens_at) & (tape["opened_at"] < half.closes_at)]
    assert len(own) == 210
    assert len(collection.stored(half)) == 209
    assert _gaps(collection) == [("IBM", half.day)]
    assert collection.run(half, "13:05").saved.inserted == 1
    assert values(collection.stored(half)) == values(own)
    assert _gaps(collection) == []


def _gaps(collection: Collection) -> list[tuple[str, date]]:
    instruments = [one.conid for one in collection.store.instruments()]
    return [(gap.symbol, gap.session) for gap in collection.store.load_gaps(BarSize.MINUTE, instruments)]


def test_a_minute_that_comes_with_other_values_is_a_new_version_with_its_own_verdict(collection: Collection) -> None:
    collection.run(DAYS[0], "10:00")
    collection.gateway.arm_fault("F49", day="2012-11-21", factor=1.001)
    report = collection.run(DAYS[0], "10:05")
    assert (report.saved.inserted, report.saved.revised) == (5, 10)
    stored = collection.stored(DAYS[0])
    assert stored["version"].tolist() == [1] * 19 + [2] * 10 + [1] * 5
    assert len(collection.stored(DAYS[0], is_validated=True)) == 34


def test_the_job_collects_judges_and_shows_and_proposes_nothing(
    gateway: RunningGateway, database: Any, database_url: str
) -> None:
    gateway.set_clock(at("2012-11-21 10:30"))
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, database_url, instance, gateway=gateway)
        result = dg.materialize(
            list(chain.definitions.assets or ()), selection=dg.AssetSelection.assets("minute_bars"),
            resources=chain.resources, instance=instance, partition_key="2012-11-21",
            run_config={"ops": {"minute_bars": {"config": {"symbols": ["IBM"]}}}},
        )  # fmt: skip
    shown = metadata_of(result, "minute_bars")
    assert (shown["inserted"], shown["accepted"], shown["until"]) == (59, 59, "2012-11-21 10:29 EST")
    assert checks_of(result) == {"minutes_are_fresh": True, "minutes_are_sound": True}
    assert chain.book.intents() == []


# ---- when it is asked for


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("09:30:00", "09:30"), ("09:31:59", "09:30"), ("09:32:00", "09:31"), ("12:59:59", "12:58"),
        ("13:00:00", "12:59"), ("13:01:00", "13:00"), ("18:00:00", "13:00"), ("08:00:00", "09:30"),
    ],
)  # fmt: skip
def test_a_minute_is_final_one_minute_after_its_end(now: str, until: str) -> None:
    half = DAYS[1]
    assert final_until(half, at(f"{half.day} {now}")) == at(f"{half.day} {until}")


def test_no_minute_of_a_break_is_waited_for() -> None:
    tokyo = exchange_calendar("XTKS").session(date(2012, 11, 21))
    assert tokyo.breaks_at is not None
    assert tokyo.resumes_at is not None
    assert final_until(tokyo, tokyo.breaks_at + timedelta(minutes=20)) == tokyo.breaks_at
    assert final_until(tokyo, tokyo.resumes_at + timedelta(minutes=5)) == tokyo.resumes_at + timedelta(minutes=4)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2012-11-21 09:35:59", None), ("2012-11-21 09:36", "2012-11-21 09:35"),
        ("2012-11-21 09:40", "2012-11-21 09:35"), ("2012-11-21 15:59", "2012-11-21 15:55"),
        ("2012-11-21 16:00:59", None), ("2012-11-21 16:01", "2012-11-21 16:00"),
        ("2012-11-22 12:00", "2012-11-21 16:00"), ("2012-11-23 13:01", "2012-11-23 13:00"),
    ],
)  # fmt: skip
def test_a_collection_is_due_at_every_whole_step_and_once_after_the_close(now: str, due: str | None) -> None:
    found = due_for_minutes(at(now), NYSE, timedelta(minutes=5), first_session="2012-05-18")
    if due is None:
        assert isinstance(found, str)
    else:
        assert isinstance(found, tuple)
        assert found[1] == at(due)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def peers(now: str, every: int | None = 5, **options: Any) -> Peers:
    made = Peers(at(now), **{"session": status(), **options})
    settings = made.get()
    market = settings.market.model_copy(update={"minutes_every": every})
    changed: Settings = settings.model_copy(update={"market": market})
    made._load = lambda: changed
    return made


def test_it_is_off_until_it_is_configured_and_asks_for_each_boundary_once(instance: dg.DagsterInstance) -> None:
    assert "market.minutes_every is not set" in evaluate(minutes_while_open, peers("2012-11-21 10:31", None), instance)
    (asked,) = evaluate(minutes_while_open, peers("2012-11-21 10:31"), instance)
    assert isinstance(asked, dg.RunRequest)
    assert (asked.run_key, asked.partition_key) == ("minute_collection|XNYS|2012-11-21|1530Z", "2012-11-21")
    note_run(instance, "minute_collection", "2012-11-21", strategy_id="1530Z")
    assert "already requested" in evaluate(minutes_while_open, peers("2012-11-21 10:34"), instance)
    (later,) = evaluate(minutes_while_open, peers("2012-11-21 10:36"), instance)
    assert isinstance(later, dg.RunRequest)
    assert later.run_key == "minute_collection|XNYS|2012-11-21|1535Z"


def test_one_collection_at_a_time_and_none_that_the_gateway_cannot_answer(instance: dg.DagsterInstance) -> None:
    note_run(instance, "minute_collection", "2012-11-21", dg.DagsterRunStatus.STARTED, "1530Z")
    assert "under way" in evaluate(minutes_while_open, peers("2012-11-21 10:36"), instance)
    with dg.DagsterInstance.ephemeral() as other:
        away = peers("2012-11-21 10:36", session=Unavailable("gateway: connection refused"))
        assert evaluate(minutes_while_open, away, other) == "gateway: connection refused"
        taken = peers("2012-11-21 10:36", session=status(is_competing=True))
        assert "another session uses this login" in evaluate(minutes_while_open, taken, other)
        too_early = peers("2012-11-21 10:36", first_session="2012-11-23")
        assert "before the first partition" in evaluate(minutes_while_open, too_early, other)


def test_minutes_that_come_every_five_are_not_late_in_between_and_are_when_one_collection_is_left_out() -> None:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets_tests.fakes.bars import MemoryBars

    store, ibm = MemoryBars(), Instrument(8314, "IBM", "NYSE")
    store.save_instruments([ibm])
    opened_at = pd.date_range(at("2012-11-21 09:30"), at("2012-11-21 10:29"), freq="min")
    bars = pd.DataFrame({"conid": 8314, "symbol": "IBM", "opened_at": opened_at}).assign(
        open=10.0, high=10.0, low=10.0, close=10.0, volume=100.0
    )
    store.save_bars(bars, BarSize.MINUTE, source="test", known_from=datetime(2013, 1, 1, tzinfo=UTC))

    def stopped(now: str) -> list[str]:
        found = look_for_newest(store, NYSE, [ibm], now=at(now), minutes_every=timedelta(minutes=5))
        return [name for name in found.stale if name.endswith("1min")]

    assert stopped("2012-11-21 10:36:59") == []
    assert stopped("2012-11-21 10:37") == ["IBM 1min"]
