"""Sessions without bars asked for again: which, how often, and what becomes of those that nobody has. In Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import BrokerRefusal, InputError, Unavailable
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ingest.sweep import DELAYS, TRIES, SweepReport, sweep_gaps
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.source import TapeSource
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
NOW = NYSE.session(date(2012, 11, 30)).closes_at + timedelta(hours=2)
HOLES = (date(2012, 11, 7), date(2012, 11, 21), date(2012, 11, 23))
SYMBOLS = ("IBM", "MSFT")


class Source(TapeSource):
    """A tape that lacks some sessions of IBM."""

    def __init__(self, lacking: Sequence[date] = (), error: Exception | None = None) -> None:
        bars = real_bars(*SYMBOLS)
        is_lost = (bars["symbol"] == "IBM") & bars["opened_at"].dt.date.isin(lacking)
        super().__init__(bars[~is_lost])
        self.error = error

    def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        if self.error is not None:
            self.requests.append((instrument.symbol, start, end))
            raise self.error
        return super().fetch_bars(instrument, size, start, end)


@pytest.fixture
def store(database: Database) -> PostgresBars:
    """Bars of both since October, but for three holes of IBM; nothing is judged or registered yet."""
    store = PostgresBars(database)
    store.save_instruments([INSTRUMENTS[symbol] for symbol in SYMBOLS])
    bars = Source(HOLES).bars
    stored = bars[bars["opened_at"].dt.date >= date(2012, 10, 1)]
    store.save_bars(stored, BarSize.DAY, source="test", known_from=datetime(2013, 6, 1, tzinfo=UTC))
    return store


def sweep(
    store: PostgresBars, source: Source, *, now: datetime = NOW, days: int = 30, budget: int = 100
) -> SweepReport:
    return sweep_gaps(
        source, store, store, NYSE, instruments=store.instruments(), clock=FixedClock(now), progress=lambda _: None,
        days=days, budget=budget, raise_alert=PostgresAlerts(store._database, "platform", "test").raise_alert,
    )  # fmt: skip


def open_gaps(store: PostgresBars) -> list[tuple[date, str, int, datetime | None]]:
    gaps = store.load_gaps(BarSize.DAY, list(CONIDS.values()))
    assert {gap.symbol for gap in gaps} <= {"IBM"}
    return [(gap.session, gap.cause, gap.tries, gap.next_try_at) for gap in gaps]


def test_what_is_missing_is_found_fetched_judged_and_closed_in_one_request_an_instrument(store: PostgresBars) -> None:
    source = Source()
    report = sweep(store, source)
    assert (report.open, report.tried, report.filled, report.given_up) == (3, 3, 3, [])
    assert [(symbol, start.date(), end.date()) for symbol, start, end in source.requests] == [
        ("IBM", HOLES[0], HOLES[-1])
    ]
    assert open_gaps(store) == []
    first, last = NYSE.session(HOLES[0]), NYSE.session(HOLES[-1])
    good = store.load_bars([8314], BarSize.DAY, first.opens_at, last.closes_at, is_validated=True)
    assert set(HOLES) <= set(good["opened_at"].dt.date)
    assert sweep(store, source).open == 0
    assert len(source.requests) == 1


def test_a_gap_that_nobody_fills_is_tried_five_times_with_growing_rests_and_given_up_once(store: PostgresBars) -> None:
    source, now, waits = Source(HOLES), NOW, []
    for number in range(1, TRIES + 1):
        report = sweep(store, source, now=now)
        assert (report.tried, report.filled, len(source.requests)) == (3, 0, number)
        assert len(report.given_up) == (3 if number == TRIES else 0)
        next_at = open_gaps(store)[0][3]
        if next_at is not None:
            early = sweep(store, source, now=next_at - timedelta(seconds=1), days=40)
            assert (early.tried, early.left) == (0, 3)
            waits.append(next_at - now)
            now = next_at
    assert tuple(waits) == DELAYS
    assert list(DELAYS) == sorted(DELAYS)
    assert [(cause, tries) for _, cause, tries, _ in open_gaps(store)] == [("vendor_none", 5)] * 3
    alerts = PostgresAlerts(store._database, "platform", "test").list_alerts(is_open_only=True)
    assert sorted(alert["subject"] for alert in alerts) == [f"IBM {day} 1d" for day in HOLES]
    assert {alert["kind"] for alert in alerts} == {"gap_given_up"}
    assert sweep(store, source, now=now + timedelta(days=1)).tried == 0


def test_a_bar_that_comes_after_all_closes_the_gap_and_the_next_one_starts_anew(store: PostgresBars) -> None:
    sweep(store, Source(HOLES[1:]))
    assert [day for day, *_ in open_gaps(store)] == list(HOLES[1:])
    bars = Source().bars
    late = bars[bars["opened_at"].dt.date.isin(HOLES)]
    store.save_bars(late, BarSize.DAY, source="file", known_from=NOW)
    assert sweep(store, Source(HOLES), now=NOW + timedelta(hours=5)).open == 0
    assert open_gaps(store) == []
    closed = store.load_gaps(BarSize.DAY, [8314], is_closed=True)
    assert [gap.tries for gap in closed] == [0, 1, 1]


def test_the_budget_counts_requests_and_what_is_left_waits_for_the_next_sweep(store: PostgresBars) -> None:
    with store._database.connect() as connection:
        connection.execute("delete from md.bar where conid = %s and opened_at::date = %s",
                           (CONIDS["MSFT"], HOLES[0]))  # fmt: skip
    source = Source()
    report = sweep(store, source, budget=1)
    assert (report.tried, report.left, {symbol for symbol, *_ in source.requests}) == (3, 1, {"IBM"})
    assert sweep(store, source).filled == 1


def test_sessions_older_than_thirty_days_and_before_the_first_bar_are_left_alone(store: PostgresBars) -> None:
    assert sweep(store, Source(), days=5).open == 0
    store.save_instruments([INSTRUMENTS["FB"]])
    assert sweep(store, Source()).open == 3


def test_a_refused_request_counts_as_a_try_and_is_said(store: PostgresBars) -> None:
    report = sweep(store, Source(error=BrokerRefusal("Chart data unavailable", status=500)))
    assert list(report.failed) == ["IBM"]
    assert "Chart data unavailable" in report.failed["IBM"]
    assert [tries for _, _, tries, _ in open_gaps(store)] == [1, 1, 1]


def test_a_gateway_that_is_away_costs_no_try(store: PostgresBars) -> None:
    with pytest.raises(Unavailable):
        sweep(store, Source(error=Unavailable("connection refused")))
    assert [tries for _, _, tries, _ in open_gaps(store)] == [0, 0, 0]


@pytest.mark.parametrize(("days", "budget", "word"), [(0, 1, "days"), (1, 0, "budget")])
def test_nothing_to_do_is_refused(store: PostgresBars, days: int, budget: int, word: str) -> None:
    with pytest.raises(InputError, match=word):
        sweep(store, Source(), days=days, budget=budget)
