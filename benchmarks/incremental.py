"""One new daily bar of each instrument, from stored bars to stored signals, beside the same from the whole history.

What is timed is what the assets do, without Dagster around it: judge the new bars, compute and store their features,
decide and store signals. One other side forgets the averages first, so that features read every bar since the first;
the last one judges all bars again as well, which is what a run that remembers nothing does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from benchmarks.features import random_bars
from benchmarks.measure import Table, peak_mib
from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.execution.decisions import decide_sessions
from ibkr_assets.ingest.features import build_features
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import StrategyRecord

FIRST, DAYS, ROUNDS = date(2013, 1, 2), 2520, 5
WINDOW = 252


STAGES = ("validate", "features", "decide", "signals")
CARRIED, FEATURES, EVERYTHING = "carried on", "features from the first bar", "everything from the first bar"


@dataclass(slots=True)
class Stages:
    """Seconds of each stage, of every run of each side, and the memory that a carried one takes more."""

    symbols: int
    sides: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {CARRIED: {}, FEATURES: {}, EVERYTHING: {}}
    )
    peak_mib: float = 0.0

    def note(self, name: str, seconds: dict[str, float]) -> None:
        """One run of a side."""
        for stage, value in seconds.items():
            self.sides[name].setdefault(stage, []).append(value)

    def rows(self) -> list[tuple[str, ...]]:
        """A row a side: medians, their sum, and how many times as fast a carried run is."""
        medians = {name: [statistics.median(each[stage]) for stage in STAGES] for name, each in self.sides.items()}
        first = sum(medians[CARRIED])
        return [
            (f"{self.symbols} symbols, {name}", *(f"{value:.3f}" for value in values), f"{sum(values):.3f}",
             f"{sum(values) / first:.1f}", f"{self.peak_mib:,.0f}" if name == CARRIED else "")
            for name, values in medians.items()
        ]  # fmt: skip


def run() -> list[Table]:
    """Compare at 5, 50 and 500 symbols of ten years."""
    with start_server() as server:
        found = [_at(new_database(server, f"incremental_{symbols}"), symbols) for symbols in (5, 50, 500)]
    title = f"B5 one new bar after {DAYS} of each symbol, stored bars to stored signals, seconds"
    columns = ("", *STAGES, "all", "x carried", "MiB more")
    return [Table(title, columns, [row for one in found for row in one.rows()])]


def _at(url: str, symbols: int) -> Stages:
    calendar = exchange_calendar("XNYS")
    sessions = calendar.sessions(FIRST, calendar.last_day)[: DAYS + 2 * ROUNDS + 2]
    opens = pd.DatetimeIndex([session.opens_at for session in sessions])
    bars = random_bars(symbols, len(sessions)).assign(opened_at=np.tile(opens, symbols))
    database = Database(url)
    store, book = PostgresBars(database), PostgresStrategies(database)
    instruments = [Instrument(i, f"S{i:04d}", "NASDAQ") for i in range(1, symbols + 1)]
    store.save_instruments(instruments)
    names = tuple(instrument.symbol for instrument in instruments)
    record = StrategyRecord(
        "sma_cross",
        1,
        "sma_cross",
        {"fast": 10, "slow": 30},
        names,
        "1d",
        "after_close",
        "percent:95",
        {},
        None,
        is_enabled=True,
    )
    book.save_strategies([record], actor="bench")
    known = sessions[DAYS].closes_at
    past = bars[bars["opened_at"] < sessions[DAYS].opens_at]
    store.save_bars(past, BarSize.DAY, source="bench", known_from=known)
    stored = store.load_bars([i.conid for i in instruments], BarSize.DAY, opens[0], known)
    store.save_verdicts(BarSize.DAY, stored, stored.head(0).assign(reason=""))
    build_features(store, calendar, instruments=instruments, sessions=sessions[DAYS - 1 : DAYS])
    found = Stages(symbols)
    for number, session in enumerate(sessions[DAYS:]):
        fresh = bars[bars["opened_at"] == session.opens_at]
        store.save_bars(fresh, BarSize.DAY, source="bench", known_from=session.closes_at)
        if number % 2:
            _forget(database, session)
        if number == len(sessions) - DAYS - 2:
            found.peak_mib = peak_mib(lambda: _one(store, book, instruments, session))  # noqa: B023
            continue
        seconds = _one(store, book, instruments, session)
        if number > 1:  # the first of each imports and plans
            found.note(FEATURES if number % 2 else CARRIED, seconds)
    _forget(database, sessions[-1])
    found.note(EVERYTHING, _one(store, book, instruments, sessions[-1], judged=sessions))
    database.close()
    return found


def _forget(database: Database, session: TradingSession) -> None:
    with database.connect() as connection:
        connection.execute("delete from research.feature_state where opened_at < %s", (session.opens_at,))


def _one(
    store: PostgresBars,
    book: PostgresStrategies,
    instruments: list[Instrument],
    session: TradingSession,
    *,
    judged: Sequence[TradingSession] = (),
) -> dict[str, float]:
    calendar, seconds = exchange_calendar("XNYS"), {}
    began = time.perf_counter()
    validate_sessions(store, calendar, instruments=instruments, sessions=judged or [session])
    seconds["validate"] = time.perf_counter() - began
    began = time.perf_counter()
    build_features(store, calendar, instruments=instruments, sessions=[session])
    seconds["features"] = time.perf_counter() - began
    began = time.perf_counter()
    decided = decide_sessions(
        store, calendar, strategies=book.strategies(), instruments=instruments, sessions=[session],
        window_sessions=WINDOW,
    )  # fmt: skip
    seconds["decide"] = time.perf_counter() - began
    began = time.perf_counter()
    book.save_signals(decided.signals, bases=decided.bases, dagster_run_id="bench", mlflow_run_id=None)
    seconds["signals"] = time.perf_counter() - began
    return seconds
