"""What a strategy says of its limits, its schedule and its account is what its orders are held to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.adoption import check_strategy
from ibkr_assets.execution.decisions import extra_symbols, strategies_due, wanted_strategies
from ibkr_assets_tests.execution.decided import LIMITS, NYSE, SESSION, STRATEGY, _propose
from ibkr_assets_tests.execution.desk import EVENING
from ibkr_assets_tests.fakes.clock import FixedClock


def test_a_strategys_own_limit_denies_what_everybodys_would_approve(database: Database) -> None:
    held_to = replace(STRATEGY, risk={"max_order_value_usd": "100"})
    check_strategy(held_to, limits=LIMITS, account=None, directory=None)
    (record,) = _propose(database, held_to, [SESSION], FixedClock(EVENING))
    assert str(record.state) == "DENIED"
    assert record.reason.startswith("order_value")
    with database.connect() as connection:
        limits = connection.execute("select limits from oms.limits_version join oms.risk_decision "
                                    "on sha256 = limits_sha256").fetchone()  # fmt: skip
    assert limits is not None
    assert limits[0]["max_order_value_usd"] == "100"


def test_a_session_that_a_schedule_leaves_out_gives_no_order(database: Database) -> None:
    assert SESSION.day.strftime("%A") == "Monday"
    assert _propose(database, replace(STRATEGY, schedule="weekly"), [SESSION], FixedClock(EVENING)) == []


def test_a_platform_runs_its_own_accounts_strategies_that_are_due(database: Database) -> None:
    store = PostgresStrategies(database)
    store.save_strategies(
        [
            replace(STRATEGY, id="any"), replace(STRATEGY, id="own", account="DU1"),
            replace(STRATEGY, id="other", account="DU2"), replace(STRATEGY, id="late", schedule="monthly"),
            replace(STRATEGY, id="off", is_enabled=False),
        ],
        actor="test",
    )  # fmt: skip
    assert [record.id for record in strategies_due(store, SESSION, NYSE, "DU1")] == ["any", "own"]
    assert [record.id for record in wanted_strategies(store, None, Mode.SIM, "DU1")] == ["any", "late", "own"]
    assert [record.id for record in wanted_strategies(store, "off", Mode.DRY_RUN, "DU1")] == ["off"]
    for strategy_id, words in (("other", "not known"), ("off", "is disabled")):
        with pytest.raises(InputError, match=words):
            wanted_strategies(store, strategy_id, Mode.SIM, "DU1")


def test_a_strategy_is_checked_field_by_field() -> None:
    for change, words in (
        ({"kind": "sma"}, "strategy cross: kind 'sma'"),
        ({"sizing": "lots:1"}, "strategy cross: sizing 'lots:1'"),
        ({"schedule": "hourly"}, "strategy cross: schedule 'hourly'"),
        ({"account": "DU9"}, "strategy cross: account DU9: this platform trades DU1"),
        ({"risk": {"max_order_value_usd": "1e9"}}, "strategy cross: risk.max_order_value_usd 1000000000: is looser"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            check_strategy(replace(STRATEGY, **change), limits=LIMITS, account="DU1", directory=None)


def test_a_run_is_asked_for_symbols_only_where_the_strategy_has_others_than_the_market() -> None:
    assert extra_symbols(replace(STRATEGY, symbols=("FB",)), ("AAPL", "FB")) == []
    assert extra_symbols(replace(STRATEGY, symbols=("KO", "FB")), ("AAPL", "FB")) == ["AAPL", "FB", "KO"]
