"""Counts for people, checked against rows put there by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.reads import Counts, session_summary, totals
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.adapters.strategies_file import read_strategies
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.stack.up import DEFAULT_STRATEGIES

DAY = BarSize.DAY
OPENING = datetime(2012, 10, 1, 13, 30, tzinfo=UTC)


def test_an_empty_database_counts_nothing(database: Database) -> None:
    assert totals(database) == session_summary(database, date(2012, 10, 1)) == Counts(0, 0, 0, 0, 0)


def test_counts_are_of_what_is_in_force_and_of_the_session_asked_for(database: Database) -> None:
    store = PostgresBars(database)
    store.save_instruments([Instrument(8314, "IBM", "NYSE")])
    opened = pd.Series([OPENING + timedelta(days=n) for n in range(3)])
    bars = pd.DataFrame({"conid": 8314, "symbol": "IBM", "opened_at": opened})
    bars[["open", "high", "low", "close", "volume"]] = [10.0, 11.0, 9.0, 10.0, 100.0]
    store.save_bars(bars, DAY, source="test", known_from=OPENING)
    store.save_bars(bars.assign(close=10.5), DAY, source="test", known_from=OPENING)
    nameless = bars.head(1).astype({"conid": float}).assign(conid=np.nan)
    store.save_bars(nameless, DAY, source="test", known_from=OPENING)
    read = store.load_bars([8314], DAY, OPENING, OPENING + timedelta(days=9))
    store.save_verdicts(DAY, read.iloc[:2], read.iloc[2:].assign(reason="too_big_jump"))
    store.save_features(read.iloc[:2][["conid", "opened_at"]].assign(sma=1.0), DAY, feature_digest="d")
    strategies = PostgresStrategies(database)
    strategies.save_strategies(read_strategies(DEFAULT_STRATEGIES), actor="a test")
    for digest in ("a", "b"):
        signal = Signal(
            "sma_cross_10_30", 1, 8314, "IBM", date(2012, 10, 1), OPENING + timedelta(hours=6), Direction.FLAT, 0.0,
            Decimal("10.5"), "d", digest, "flat",
        )  # fmt: skip
        strategies.save_signals([signal], dagster_run_id="run", mlflow_run_id=None)

    # What names no instrument came as well: raw is what was accepted and what was kept back.
    assert totals(database) == Counts(bars_raw=4, bars_validated=2, bars_quarantined=2, features=2, signals=1)
    assert session_summary(database, date(2012, 10, 1)) == Counts(2, 1, 1, 1, 1)
    assert session_summary(database, date(2012, 10, 3)) == Counts(1, 0, 1, 0, 0)
