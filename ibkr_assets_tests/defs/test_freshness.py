"""A feed of bars that stops is noticed before the next bar is due, and what is late reaches no order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pandas as pd
import pytest

from ibkr_assets.definitions import build, defs
from ibkr_assets.defs.freshness import bar_freshness, bars_are_fresh
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.ingest.freshness import look_for_newest
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.defs.chain import Chain, checks_of, metadata_of
from ibkr_assets_tests.defs.ticks import Peers, at, resources, unreachable
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars
from ibkr_assets_tests.gateway import start_gateway

NYSE = exchange_calendar("XNYS")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def store_to(last: date, *, of: tuple[str, ...] = tuple(CONIDS)) -> MemoryBars:
    store = MemoryBars()
    store.save_instruments(list(INSTRUMENTS.values()))
    bars = real_bars(*of, start=date(2012, 10, 1), end=last)
    store.save_bars(bars, BarSize.DAY, source="test", known_from=at("2012-12-31 12:00"))
    return store


def tick(peers: Peers, instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[list[bool], str, str | None]:
    """Verdicts written, what the tick says, and the cursor after it."""
    with dg.build_sensor_context(
        instance=instance, definitions=defs, resources=resources(peers), cursor=cursor
    ) as context:
        data = bar_freshness.evaluate_tick(context)
    return [event.passed for event in data.asset_events], str(data.skip_message), data.cursor


@pytest.mark.parametrize(
    ("now", "is_fresh"),
    [
        ("2012-11-21 16:59", True),  # the bar of the 21st may still come
        ("2012-11-21 17:00", False),  # an hour after the close it may not
        ("2012-11-22 12:00", False),  # a holiday changes nothing
        ("2012-11-23 13:59", False),
    ],
)
def test_a_feed_that_stopped_after_the_twentieth_is_seen_an_hour_after_the_next_close(now: str, is_fresh: bool) -> None:
    found = look_for_newest(store_to(date(2012, 11, 20)), NYSE, list(INSTRUMENTS.values()), now=at(now))
    assert found.is_fresh is is_fresh
    assert found.due.day == (date(2012, 11, 20) if is_fresh else date(2012, 11, 21))


@pytest.mark.parametrize("day", [s.day for s in NYSE.sessions(date(2012, 10, 24), date(2012, 12, 26))])
def test_whenever_a_feed_stops_it_is_seen_before_the_bar_after_the_missing_one_is_due(day: date) -> None:
    missing = NYSE.next_session(day)
    after = NYSE.next_session(missing.day)
    found = look_for_newest(store_to(day), NYSE, list(INSTRUMENTS.values()), now=after.closes_at - timedelta(seconds=1))
    assert set(found.stale) == set(CONIDS)
    on_time = look_for_newest(store_to(day), NYSE, list(INSTRUMENTS.values()), now=missing.closes_at)
    assert on_time.is_fresh


def minutes(symbol: str, first: str, last: str) -> pd.DataFrame:
    opened_at = pd.date_range(at(first), at(last), freq="min")
    bars = pd.DataFrame({"conid": CONIDS[symbol], "symbol": symbol, "opened_at": opened_at})
    return bars.assign(open=10.0, high=10.0, low=10.0, close=10.0, volume=100.0)


@pytest.mark.parametrize(
    ("now", "stopped"),
    [
        ("2012-11-21 10:31:59", []),
        ("2012-11-21 10:32", ["IBM 1min"]),  # the bar of 10:30 is over since 10:31
        ("2012-11-21 15:59", ["IBM 1min"]),
        ("2012-11-21 16:30", []),  # the session is over; what it lacks is a gap
        ("2012-11-23 09:31", []),
        ("2012-11-23 09:32", ["FB 1min", "IBM 1min"]),  # the first bar of the next session
    ],
)
def test_minutes_that_stop_are_seen_when_the_next_bar_is_over_and_one_more_minute_has_passed(
    now: str, stopped: list[str]
) -> None:
    store = store_to(date(2012, 11, 21))
    bars = [
        minutes("IBM", "2012-11-21 09:30", "2012-11-21 10:29"),
        minutes("FB", "2012-11-21 09:30", "2012-11-21 15:59"),
    ]
    store.save_bars(pd.concat(bars), BarSize.MINUTE, source="test", known_from=at("2012-12-31 12:00"))
    found = look_for_newest(store, NYSE, list(INSTRUMENTS.values()), now=at(now))
    assert sorted(found.stale) == stopped


def test_minutes_that_stop_are_in_the_verdict(instance: dg.DagsterInstance) -> None:
    store = store_to(date(2012, 11, 21))
    bars = minutes("IBM", "2012-11-23 09:30", "2012-11-23 10:29")
    store.save_bars(bars, BarSize.MINUTE, source="test", known_from=at("2012-12-31 12:00"))
    peers = Peers(at("2012-11-23 10:30"), bars=store)
    verdicts, _, cursor = tick(peers, instance)
    assert verdicts == [True]
    peers.now = at("2012-11-23 10:33")
    assert tick(peers, instance, cursor)[:2] == ([False], "no bar of 2012-11-21 for IBM 1min")


def test_early_closes_are_due_early() -> None:
    found = look_for_newest(store_to(date(2012, 11, 21)), NYSE, [INSTRUMENTS["IBM"]], now=at("2012-11-23 14:00"))
    assert (found.due.day, list(found.stale)) == (date(2012, 11, 23), ["IBM"])


def test_the_sensor_writes_a_verdict_when_it_changes_and_not_at_every_tick(instance: dg.DagsterInstance) -> None:
    peers = Peers(at("2012-11-21 18:00"), bars=store_to(date(2012, 11, 20)))
    verdicts, said, cursor = tick(peers, instance)
    assert (verdicts, said) == ([False], "no bar of 2012-11-21 for AAPL, FB, GOOG, IBM, MSFT")
    assert tick(peers, instance, cursor)[0] == []
    peers.bars = store_to(date(2012, 11, 21))
    verdicts, said, cursor = tick(peers, instance, cursor)
    assert (verdicts, said) == ([True], "the bars of 2012-11-21 are there")
    peers.now = at("2012-11-23 15:00")
    assert tick(peers, instance, cursor)[0] == [False]


def test_one_instrument_whose_bars_stop_is_named(instance: dg.DagsterInstance) -> None:
    store = store_to(date(2012, 11, 21), of=("AAPL", "FB", "GOOG", "MSFT"))
    peers = Peers(at("2012-11-21 18:00"), bars=store)
    assert tick(peers, instance)[1] == "no bar of 2012-11-21 for IBM"


def test_a_clock_that_does_not_answer_is_said_and_is_no_verdict(instance: dg.DagsterInstance) -> None:
    verdicts, said, _ = tick(Peers(unreachable()), instance)
    assert verdicts == []
    assert "connection refused" in said


def test_the_check_is_of_raw_bars_runs_by_itself_and_is_in_no_job() -> None:
    key = next(iter(bars_are_fresh.check_keys))
    assert (key.asset_key.to_user_string(), key.name) == ("raw_bars", "bars_are_fresh")
    for job in ("market_data", "trading_strategy"):
        nodes = {node.name for node in build().resolve_job_def(job).nodes}
        assert "raw_bars" in nodes
        assert not [name for name in nodes if "fresh" in name]


@pytest.mark.slow
def test_a_delayed_feed_marks_its_bars_and_gives_no_order(database, database_url) -> None:
    day = date(2012, 11, 21)
    session = NYSE.session(day)
    with (
        start_gateway(clock_start=session.closes_at, extra=("--market-data", "DpB")) as gateway,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        gateway.step_clock(10 * 60)
        chain = Chain(database, database_url, instance, gateway=gateway)
        early = chain.run(day, is_raising=False)
        gateway.step_clock(10 * 60)
        result = chain.run(day)
        quote = chain.resources["ibkr"].source().fetch_quotes([INSTRUMENTS["IBM"]])[CONIDS["IBM"]]
    assert not early.success, "ten minutes after the close the feed cannot have the close"
    assert checks_of(early)["bars_are_sound"] is False
    assert quote.availability.startswith("D")
    with database.connect() as connection:
        marked = connection.execute(
            "select count(*), min(delay_s), max(availability) from md.bar_delay "
            "join md.bar using (conid, bar_size, opened_at, version) where known_to is null"
        ).fetchone()
    assert marked == (len(CONIDS) * 121, 900, "D")
    assert checks_of(result)["bars_are_sound"] is True, "they may be looked at and computed with"
    assert "of 2012-11-21 came from a delayed feed (D, 900 s)" in metadata_of(result, "orders")["held_back"]
    assert chain.book.intents() == []
