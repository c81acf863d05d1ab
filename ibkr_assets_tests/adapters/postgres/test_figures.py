"""Figures that pages compare with, against rows put there by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.adapters.postgres.views.figures import benchmark, signal_figures
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.ports import StrategyRecord

OPENING = datetime(2012, 10, 1, 13, 30, tzinfo=UTC)
DAYS = [OPENING + timedelta(days=n) for n in range(4)]
CLOSES = {"IBM": [100.0, 110.0, 55.0, 60.0], "MSFT": [20.0, 20.0, 30.0, 10.0]}


@pytest.fixture
def stored(database: Database) -> Database:
    """Four days of two symbols; IBM was split, two for one, on the third of them."""
    store = PostgresBars(database)
    instruments = [Instrument(8314, "IBM", "NYSE"), Instrument(272093, "MSFT", "NASDAQ")]
    store.save_instruments(instruments)
    for instrument in instruments:
        bars = pd.DataFrame({"conid": instrument.conid, "symbol": instrument.symbol, "opened_at": pd.Series(DAYS)})
        for name in ("open", "high", "low", "close"):
            bars[name] = CLOSES[instrument.symbol]
        bars["volume"] = 100.0
        store.save_bars(bars, BarSize.DAY, source="test", known_from=OPENING)
    read = store.load_bars([8314, 272093], BarSize.DAY, OPENING, OPENING + timedelta(days=9))
    store.save_verdicts(BarSize.DAY, read, read.head(0).assign(reason=""))
    with database.connect() as connection:
        connection.execute(
            "insert into md.corporate_action (conid, day, kind, version, known_from, ratio, source, actor) "
            "values (8314, '2012-10-03', 'split', 1, now(), 2, 'test', 'test')"
        )
    return database


def test_the_benchmark_is_an_equal_part_of_each_held_through_splits(stored: Database) -> None:
    found = benchmark(stored, ["IBM", "MSFT"], DAYS[0] + timedelta(hours=7), DAYS[3] + timedelta(hours=7))
    assert [at for at, _ in found] == DAYS
    # IBM by the day: 1, 1.1, 55 x 2 / 100, 60 x 2 / 100; MSFT: 1, 1, 1.5, 0.5.
    assert [ratio for _, ratio in found] == pytest.approx([1.0, 1.05, 1.3, 0.85])
    assert benchmark(stored, ["IBM"], OPENING - timedelta(days=40), OPENING - timedelta(days=30)) == []


def test_signals_are_right_by_the_next_close_and_counted_against_those_that_are_wanted(stored: Database) -> None:
    strategies = PostgresStrategies(stored)
    record = StrategyRecord(
        id="a", version=1, kind="sma_cross", params={}, symbols=("IBM", "MSFT", "FB"), bar_size="1d",
        schedule="after_close", sizing="percent:5", risk={}, account=None, is_enabled=True,
    )  # fmt: skip
    strategies.save_strategies([record], actor="test")

    def signal(conid: int, symbol: str, place: int, direction: Direction) -> Signal:
        return Signal(
            "a", 1, conid, symbol, DAYS[place].date(), DAYS[place] + timedelta(hours=6), direction, 1.0,
            Decimal(str(CLOSES[symbol][place])), "f", "i", "because",
        )  # fmt: skip

    made = [
        signal(8314, "IBM", 0, Direction.LONG),  # 100 to 110: right
        signal(8314, "IBM", 1, Direction.SHORT),  # 110 to 55 of half a share each: neither
        signal(272093, "MSFT", 0, Direction.LONG),  # 20 to 20: neither, so not right
        signal(272093, "MSFT", 2, Direction.LONG),  # 30 to 10: wrong
        signal(272093, "MSFT", 1, Direction.FLAT),  # says nothing
        signal(8314, "IBM", 3, Direction.LONG),  # nothing came after it
    ]
    strategies.save_signals(made, dagster_run_id="d", mlflow_run_id=None)
    assert signal_figures(stored) == {"judged": 4, "hits": 1, "wanted": 3, "there": 1, "day": date(2012, 10, 4)}
