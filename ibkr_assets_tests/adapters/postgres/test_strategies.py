"""Strategies and signals: append-only, and the same again writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.signal import Direction, Signal
from ibkr_assets.ports import StrategyRecord

CROSS = StrategyRecord(
    id="cross",
    version=0,
    kind="sma_cross",
    params={"fast": 10, "slow": 30, "short": False},
    symbols=("IBM", "MSFT"),
    bar_size="1d",
    schedule="after_close",
    sizing="percent:8",
    risk={"max_order_value_usd": "5000"},
    account=None,
    is_enabled=True,
)
DAY = date(2012, 10, 1)
SIGNAL = Signal(
    strategy_id="cross",
    strategy_version=1,
    conid=8314,
    symbol="IBM",
    session_date=DAY,
    as_of=datetime(2012, 10, 1, 20, tzinfo=UTC),
    direction=Direction.LONG,
    strength=1 / 3,
    reference_price=Decimal("210.470"),
    feature_digest="f1",
    input_digest="i1",
    reason="the fast average crossed above the slow one",
)


@pytest.fixture
def store(database: Database) -> PostgresStrategies:
    PostgresBars(database).save_instruments([Instrument(8314, "IBM", "NYSE"), Instrument(272093, "MSFT", "NASDAQ")])
    return PostgresStrategies(database)


@pytest.fixture
def save(store: PostgresStrategies) -> Callable[..., int]:
    """Saves signals of a stored strategy."""
    store.save_strategies([CROSS], actor="a test")
    return lambda *signals: store.save_signals(signals, dagster_run_id="run", mlflow_run_id=None)


def test_a_strategy_comes_back_with_the_version_the_database_counts(store: PostgresStrategies) -> None:
    assert store.save_strategies([replace(CROSS, version=7)], actor="a test") == 1
    assert store.strategies() == [replace(CROSS, version=1)]
    assert store.strategy("cross") == replace(CROSS, version=1)


def test_only_a_strategy_that_differs_is_a_new_version(store: PostgresStrategies) -> None:
    other = replace(CROSS, id="other")
    assert store.save_strategies([CROSS, other], actor="a test") == 2
    assert store.save_strategies([CROSS, other], actor="somebody else") == 0
    slower = replace(CROSS, params={"fast": 20, "slow": 50, "short": False})
    assert store.save_strategies([slower, other], actor="a test") == 1
    assert [(s.id, s.version, s.params["fast"]) for s in store.strategies()] == [("cross", 2, 20), ("other", 1, 10)]


def test_the_same_strategy_twice_in_one_batch_is_one_version(store: PostgresStrategies) -> None:
    assert store.save_strategies([CROSS, CROSS, replace(CROSS, is_enabled=False)], actor="a test") == 2
    assert store.strategy("cross") == replace(CROSS, version=2, is_enabled=False)


def test_a_disabled_strategy_is_left_out_where_only_enabled_ones_are_wanted(store: PostgresStrategies) -> None:
    store.save_strategies([CROSS, replace(CROSS, id="other")], actor="a test")
    store.save_strategies([replace(CROSS, is_enabled=False)], actor="a test")
    assert [s.id for s in store.strategies(is_enabled_only=True)] == ["other"]
    assert len(store.strategies()) == 2


def test_an_unknown_strategy_is_refused_by_name(store: PostgresStrategies) -> None:
    with pytest.raises(InputError, match="no strategy 'nothing'"):
        store.strategy("nothing")


def test_two_writers_at_once_count_one_version(store: PostgresStrategies) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: store.save_strategies([CROSS], actor="a test"), range(4)))
    assert sorted(written) == [0, 0, 0, 1]
    assert store.strategy("cross").version == 1


def test_a_signal_comes_back_equal(store: PostgresStrategies, save) -> None:
    flat = replace(SIGNAL, conid=272093, symbol="MSFT", direction=Direction.FLAT, strength=0.0)
    assert save(flat, SIGNAL) == 2
    assert store.signals(DAY) == [SIGNAL, flat]
    assert store.signals(DAY, "cross") == [SIGNAL, flat]
    assert store.signals(DAY, "other") == []
    assert store.signals(date(2012, 10, 2)) == []
    assert store.signals(DAY)[0].as_of.tzinfo is not None


def test_the_same_decision_again_writes_nothing(save, store: PostgresStrategies, database: Database) -> None:
    assert save(SIGNAL) == 1
    assert store.save_signals([SIGNAL], dagster_run_id="another", mlflow_run_id="m") == 0
    assert save(replace(SIGNAL, reference_price=Decimal("210.47"))) == 0
    with database.connect() as connection:
        assert connection.execute("select dagster_run_id, revision from research.signal").fetchall() == [("run", 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"input_digest": "i2"},
        {"direction": Direction.FLAT},
        {"strength": 0.5},
        {"reference_price": Decimal("210.48")},
        {"feature_digest": "f2"},
        {"reason": "another"},
        {"as_of": datetime(2012, 10, 1, 19, tzinfo=UTC)},
    ],
)
def test_other_content_is_the_next_revision_and_only_it_is_read(save, store: PostgresStrategies, change) -> None:
    corrected = replace(SIGNAL, **change)
    assert (save(SIGNAL), save(corrected), save(corrected)) == (1, 1, 0)
    assert store.signals(DAY) == [corrected]
    assert save(SIGNAL) == 1
    assert store.signals(DAY) == [SIGNAL]


def test_two_runs_at_once_store_a_signal_once(save) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: save(SIGNAL), range(4))) == [0, 0, 0, 1]


@pytest.mark.parametrize("change", [{"strategy_version": 9}, {"conid": 5}])
def test_a_signal_of_something_unknown_is_refused_by_name(save, change) -> None:
    with pytest.raises(InputError, match=r"is not present in table"):
        save(replace(SIGNAL, **change))


@pytest.mark.parametrize(
    "statement",
    [
        "update research.strategy set actor = 'x'",
        "update research.signal set reason = ''",
        "delete from research.strategy",
        "delete from research.signal",
        "truncate research.strategy cascade",
        "truncate research.signal cascade",
    ],
)
def test_what_was_decided_cannot_be_changed_even_by_the_owner(save, database: Database, statement: str) -> None:
    save(SIGNAL)
    with (
        pytest.raises(psycopg.errors.IntegrityConstraintViolation, match=r"rows of research\.\w+ are never changed"),
        database.connect() as connection,
    ):
        connection.execute(statement)


def test_those_who_decide_may_store_both_and_the_submitter_only_reads(database_url_of, store) -> None:
    app = Database(database_url_of("ibkr_app"))
    deciding = PostgresStrategies(app)
    assert deciding.save_strategies([CROSS], actor="a test") == 1
    assert deciding.save_signals([SIGNAL], dagster_run_id="run", mlflow_run_id="m") == 1
    app.close()
    submitter = Database(database_url_of("ibkr_submitter"))
    reading = PostgresStrategies(submitter)
    assert reading.signals(DAY) == [SIGNAL]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reading.save_strategies([replace(CROSS, is_enabled=False)], actor="a test")
    submitter.close()


def test_a_change_of_what_was_not_the_newest_version_is_refused_whole(store: PostgresStrategies) -> None:
    store.save_strategies([CROSS], actor="a", seen={"cross": 0})
    changed = replace(CROSS, is_dry_run=True)
    with pytest.raises(LedgerConflict, match="cross is at version 1 now, the page showed 0"):
        store.save_strategies([replace(CROSS, id="other"), changed], actor="b", seen={"other": 0, "cross": 0})
    assert [record.id for record in store.strategies()] == ["cross"]
    assert store.save_strategies([changed], actor="b", seen={"cross": 1}) == 1
    assert store.strategy("cross") == replace(changed, version=2)
    assert store.version("cross", 1) == replace(CROSS, version=1)
