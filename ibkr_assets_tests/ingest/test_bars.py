"""Fetching what is needed and storing it at once, over a tape of real bars and a store in memory."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError, InputError, Unavailable
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.bars import IngestReport, ingest_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import BarsSaved
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.source import TapeSource
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
DAY = date(2012, 11, 21)
EVENING = datetime(2012, 12, 31, 22, tzinfo=UTC)


def ingest(
    source: TapeSource,
    store: MemoryBars,
    *symbols: str,
    days: tuple[date, ...] = (DAY,),
    warm_up: int = 10,
    now: datetime = EVENING,
    progress: Callable[[str], None] = lambda _: None,
) -> IngestReport:
    return ingest_sessions(
        source, store, NYSE, symbols=symbols or ("IBM",), sessions=[NYSE.session(day) for day in days],
        warm_up_sessions=warm_up, clock=FixedClock(now), progress=progress,
    )  # fmt: skip


def stored(store: MemoryBars, *symbols: str) -> pd.DataFrame:
    conids = [CONIDS[s] for s in symbols or ("IBM",)]
    return store.load_bars(conids, BarSize.DAY, datetime(2000, 1, 1, tzinfo=UTC), EVENING)


def test_a_first_run_fetches_the_session_and_its_warm_up() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    report = ingest(source, store, "IBM", "MSFT")
    assert report.saved == BarsSaved(inserted=22, revised=0, unchanged=0)
    assert report.instruments == [INSTRUMENTS["IBM"], INSTRUMENTS["MSFT"]]
    assert store.instruments() == report.instruments
    expected = real_bars("IBM", start=date(2012, 11, 7), end=DAY)
    pd.testing.assert_frame_equal(
        stored(store)[["opened_at", "close"]], expected[["opened_at", "close"]], check_exact=True
    )
    assert len(report.bars) == 22


def test_the_next_session_fetches_only_itself() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    ingest(source, store)
    report = ingest(source, store, days=(date(2012, 11, 23),))
    session = NYSE.session(date(2012, 11, 23))
    assert source.requests[-1] == ("IBM", session.opens_at, session.closes_at)
    assert report.saved == BarsSaved(inserted=1, revised=0, unchanged=0)


def test_the_same_session_again_is_fetched_again_and_writes_nothing() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    ingest(source, store)
    report = ingest(source, store)
    assert len(source.requests) == 2
    assert report.saved == BarsSaved(inserted=0, revised=0, unchanged=1)


def test_a_correction_of_a_wanted_session_opens_a_version_known_from_now() -> None:
    tape = real_bars("IBM")
    store = MemoryBars()
    ingest(TapeSource(tape), store)
    is_day = tape["opened_at"] == NYSE.session(DAY).opens_at
    later = EVENING + timedelta(days=1)
    report = ingest(TapeSource(tape.assign(volume=tape["volume"] + is_day)), store, now=later)
    assert report.saved == BarsSaved(inserted=0, revised=1, unchanged=0)
    versions = store.versions[(CONIDS["IBM"], BarSize.DAY, NYSE.session(DAY).opens_at)]
    assert [(v.known_from, v.known_to) for v in versions] == [(EVENING, later), (later, None)]


def test_sessions_missed_since_the_last_run_are_fetched_with_the_wanted_one() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    ingest(source, store)
    report = ingest(source, store, days=(date(2012, 11, 28),))
    assert source.requests[-1][1] == NYSE.session(date(2012, 11, 23)).opens_at
    assert report.saved.inserted == 4


def test_each_instrument_gets_what_it_lacks() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    ingest(source, store, "IBM")
    ingest(source, store, "IBM", "MSFT", days=(date(2012, 11, 23),))
    starts = {symbol: start.date() for symbol, start, _ in source.requests[-2:]}
    assert starts == {"IBM": date(2012, 11, 23), "MSFT": date(2012, 11, 8)}


def test_a_range_of_sessions_is_one_request_an_instrument() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    days = tuple(s.day for s in NYSE.sessions(date(2012, 10, 1), date(2012, 12, 24)))
    report = ingest(source, store, "IBM", days=days[::-1], warm_up=60)
    assert len(source.requests) == 1
    assert report.saved.inserted == len(days) + 60


def test_a_session_that_is_not_over_is_refused_with_its_close_and_nothing_is_asked() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    almost = NYSE.session(DAY).closes_at - timedelta(seconds=1)
    with pytest.raises(DataError, match=r"2012-11-21: not over; it closes at 2012-11-21T21:00:00\+00:00"):
        ingest(source, store, now=almost)
    assert source.requests == []
    ingest(source, store, now=NYSE.session(DAY).closes_at)


def test_an_unknown_symbol_is_refused_by_name_and_nothing_is_stored() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    with pytest.raises(InputError, match="XYZ"):
        ingest(source, store, "IBM", "XYZ")
    assert store.instruments() == []
    assert source.requests == []


def test_a_fetch_that_fails_leaves_nothing_stored() -> None:
    class Failing(TapeSource):
        def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
            if instrument.symbol == "MSFT":
                raise Unavailable("the gateway does not answer")
            return super().fetch_bars(instrument, size, start, end)

    store = MemoryBars()
    with pytest.raises(Unavailable):
        ingest(Failing(real_bars()), store, "IBM", "MSFT", "AAPL")
    assert stored(store, "IBM", "AAPL").empty
    assert store.instruments() == []


def test_a_session_without_bar_is_told_and_not_invented() -> None:
    told: list[str] = []
    store = MemoryBars()
    report = ingest(
        TapeSource(real_bars()), store, "FB", days=(date(2012, 5, 17), date(2012, 5, 18)), progress=told.append
    )
    assert len(report.bars) == 1
    assert "FB: 1 bars" in told[0]
    assert told[0].endswith("none of 2012-05-17")
    assert told[-1] == "1 bars: 1 new, 0 revised, 0 unchanged"


def test_a_symbol_named_twice_is_fetched_once() -> None:
    source, store = TapeSource(real_bars()), MemoryBars()
    assert [i.symbol for i in ingest(source, store, "IBM", "IBM").instruments] == ["IBM"]
    assert len(source.requests) == 1


def test_a_known_symbol_is_not_resolved_again() -> None:
    class Forgetful(TapeSource):
        def resolve(self, symbol: str) -> Instrument:
            raise AssertionError(symbol)

    store = MemoryBars()
    store.save_instruments([INSTRUMENTS["IBM"]])
    assert ingest(Forgetful(real_bars()), store).instruments == [INSTRUMENTS["IBM"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"opened_at": pd.Timestamp("2012-11-21 21:00", tz="UTC")}, r"opened_at 2012-11-21T21:00:00\+00:00 came"),
        ({"opened_at": pd.Timestamp("2030-01-02 14:30", tz="UTC")}, "opened_at 2030-01-02"),
    ],
)
def test_a_bar_that_was_not_asked_for_is_refused(change: dict[str, object], words: str) -> None:
    class Generous(TapeSource):
        def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
            bars = super().fetch_bars(instrument, size, start, end)
            return pd.concat([bars, bars.tail(1).assign(**change)], ignore_index=True)

    store = MemoryBars()
    with pytest.raises(DataError, match=words):
        ingest(Generous(real_bars()), store)
    assert stored(store).empty


@pytest.mark.parametrize(
    ("change", "described", "reason", "count"),
    [
        ({"conid": 1}, {}, "conid_mismatch", 1),
        ({"symbol": "IBM1"}, {}, "symbol_mismatch", 1),
        ({"reason": "cut_at_1000", "raw": "as it came"}, {}, "cut_at_1000", 1),
        ({}, {8314: ("IBM", "EUR")}, "currency_changed", 12),
        ({}, {8314: ("KD", "USD")}, "symbol_mismatch", 12),
    ],
)
def test_rows_that_are_none_of_the_instrument_s_are_kept_and_hold_it(
    change: dict[str, object], described: dict[int, tuple[str, str]], reason: str, count: int
) -> None:
    class Odd(TapeSource):
        def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
            bars = super().fetch_bars(instrument, size, start, end)
            marked = bars.assign(**{name: "" for name in change if name not in bars})
            return pd.concat([marked, bars.tail(1).assign(**change)], ignore_index=True)

        def describe(self, instruments: Sequence[Instrument]) -> dict[int, tuple[str, str]]:
            return super().describe(instruments) | described

    store = MemoryBars()
    store.save_instruments([INSTRUMENTS["IBM"]])
    report = ingest(Odd(real_bars()), store)
    assert [row["reason"] for row in store.rejected] == [reason] * count
    assert {row["asked_conid"] for row in store.rejected} == {8314}
    assert len(report.rejected) == count
    assert len(stored(store)) + len(store.rejected) == 12 if change else stored(store).empty
    assert {conid for conid, _, _ in store.holds} == {8314}
    assert store.instruments() == [INSTRUMENTS["IBM"]]


def test_bars_of_a_delayed_feed_are_marked_and_those_of_another_are_told_of_too() -> None:
    class Late(TapeSource):
        def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
            bars = super().fetch_bars(instrument, size, start, end)
            return bars.assign(availability="D", delay_s=900.0) if instrument.symbol == "IBM" else bars

    store = MemoryBars()
    ingest(Late(real_bars()), store, "IBM", "MSFT", warm_up=1)
    assert [(row["conid"], row["availability"]) for row in store.delays] == [(8314, "D")] * 2 + [(272093, "")] * 2
    assert store.rejected == []
    assert store.holds == set()


def test_five_fetches_run_at_once_and_never_more() -> None:
    running, most, lock = 0, 0, threading.Lock()

    class Slow(TapeSource):
        def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.05)
            with lock:
                running -= 1
            return self.bars.loc[self.bars["conid"] == instrument.conid].assign(conid=instrument.conid)

        def resolve(self, symbol: str) -> Instrument:
            return Instrument(int(symbol), symbol, "X")

    session = NYSE.session(DAY)
    tape = pd.concat([real_bars("IBM", start=DAY, end=DAY).assign(conid=n, symbol=str(n)) for n in range(1, 9)])
    ingest(Slow(tape), MemoryBars(), *[str(n) for n in range(1, 9)], now=session.closes_at)
    assert most == 5


@pytest.mark.parametrize(("symbols", "days", "word"), [((), (DAY,), "symbols"), (("IBM",), (), "sessions")])
def test_nothing_to_fetch_is_refused(symbols: tuple[str, ...], days: tuple[date, ...], word: str) -> None:
    with pytest.raises(InputError, match=word):
        ingest_sessions(
            TapeSource(real_bars()), MemoryBars(), NYSE, symbols=symbols,
            sessions=[NYSE.session(day) for day in days], warm_up_sessions=1, clock=FixedClock(EVENING),
            progress=lambda _: None,
        )  # fmt: skip
