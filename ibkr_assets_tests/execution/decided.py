"""A real decision with everything before and after it: bars of a tape, features, signal, plan, review, order, fill.

Every step by the platform's own functions, over a real database and a scripted venue; no Dagster, which only calls
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.lineage import PostgresLineage
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.lineage import Version
from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.execution.decisions import decide_sessions
from ibkr_assets.execution.proposals import propose_sessions
from ibkr_assets.execution.replay import Replay, replay
from ibkr_assets.ingest.features import build_features
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import IntentRecord, StrategyRecord
from ibkr_assets.risk.engine import Limits
from ibkr_assets.strategies.model_score import Models, PastModels
from ibkr_assets_tests.execution.desk import EVENING, REF, Desk
from ibkr_assets_tests.execution.furnished import furnish, machine
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
DAY = date(2012, 10, 1)
SESSION = NYSE.session(DAY)
FB = INSTRUMENTS["FB"]
STRATEGY = StrategyRecord(
    id="cross", version=1, kind="sma_cross", params={"fast": 5, "slow": 20}, symbols=("FB",), bar_size="1d",
    schedule="after_close", sizing="atr:0.1@2", risk={}, account=None, is_enabled=True,
)  # fmt: skip
LIMITS = Limits(allowed_symbols=frozenset({"FB"}), max_order_nav_fraction=Decimal("0.1"))
VERSION = Version("c0de", "1.0", "abc", "c0f1", {"mode": "sim"})


@dataclass
class Decided:
    """The database, its one order, and what can be asked of both."""

    database: Database
    record: IntentRecord
    strategy: StrategyRecord

    @property
    def store(self) -> PostgresBars:
        return PostgresBars(self.database)

    def document(self, order: str | None = None) -> dict[str, Any]:
        return PostgresLineage(self.database).document(order or self.record.client_order_id)

    def replay(self, order: str | None = None, *, models: PastModels | None = None) -> Replay:
        document, lineage = self.document(order), PostgresLineage(self.database)
        return replay(document, lineage.feature_bars(document), lineage.compared_bars(document), models=models)

    def forge(self, table: str, statement: str) -> None:
        """Change what the database refuses to change, as somebody with the owner's rights could."""
        with self.database.connect() as connection:
            connection.execute(f"alter table {table} disable trigger user")
            assert connection.execute(statement).rowcount > 0
            connection.execute(f"alter table {table} enable trigger user")

    @contextmanager
    def forged(self, table: str, change: str, back: str) -> Iterator[None]:
        """Forged for a while; both are what comes after `set`."""
        self.forge(table, f"update {table} set {change}")
        try:
            yield
        finally:
            self.forge(table, f"update {table} set {back}")


def decide(
    database: Database,
    directory: Path,
    strategy: StrategyRecord = STRATEGY,
    *,
    is_filled: bool = True,
    models: Models | None = None,
) -> Decided:
    """One session of one strategy, from bars to a fill; the venue asks a question before it accepts."""
    (record,) = _propose(database, strategy, [SESSION], FixedClock(EVENING), models)
    assert str(record.state) == "APPROVED", record.reason
    if is_filled:
        _fill(Desk(database, directory), record)
    return Decided(database, record, strategy)


def _fill(desk: Desk, record: IntentRecord) -> None:
    desk.broker.prices[FB.conid] = record.intent.reference_price
    desk.start()
    desk.broker.script.append("ask o163")
    desk.turn(3)
    desk.broker.fill(record.client_order_id, int(record.intent.quantity), str(record.intent.reference_price))
    desk.turn(3)
    desk.stop()


def backfill(database: Database, strategy: StrategyRecord, sessions: Sequence[TradingSession]) -> Decided:
    """Many sessions in one run, a week too late for any order; the first of its orders is named."""
    records = _propose(database, strategy, sessions, FixedClock(EVENING + timedelta(days=7)))
    return Decided(database, records[0], strategy)


def _propose(
    database: Database,
    strategy: StrategyRecord,
    sessions: Sequence[TradingSession],
    clock: FixedClock,
    models: Models | None = None,
) -> list[IntentRecord]:
    furnish(database, symbols={1: "ZZZ"})
    store, strategies = PostgresBars(database), PostgresStrategies(database, lambda: VERSION)
    book = PostgresIntents(database, "salt", lambda: VERSION, machine)
    instruments = [INSTRUMENTS[symbol] for symbol in strategy.symbols]
    first = NYSE.session(date(2012, 3, 1))
    tape = real_bars(*strategy.symbols, start=first.day, end=DAY)
    store.save_instruments(instruments)
    store.save_bars(tape, BarSize.DAY, source="tape", known_from=clock.now())
    bars = store.load_bars([i.conid for i in instruments], BarSize.DAY, first.opens_at, SESSION.closes_at)
    store.save_verdicts(BarSize.DAY, bars, bars.head(0).assign(reason=""))
    build_features(store, NYSE, instruments=instruments, sessions=sessions)
    strategies.save_strategies([strategy], actor="test")
    found = decide_sessions(
        store,
        NYSE,
        strategies=[strategy],
        instruments=instruments,
        sessions=sessions,
        window_sessions=120,
        models=models,
    )
    strategies.save_signals(
        found.signals, bases=found.bases, dagster_run_id="d1", mlflow_run_id="m1", mlflow_page="/experiments/1/runs/m1"
    )
    return propose_sessions(
        sessions, strategies=[strategy], symbols=strategy.symbols, bar_store=store, strategy_store=strategies,
        book=book, calendar=NYSE, clock=clock, limits=LIMITS, account_ref=REF, mode=Mode.SIM,
        platform_mode=Mode.SIM, dagster_run_id="d2", created_by="dagster:trading_strategy",
    ).records  # fmt: skip
