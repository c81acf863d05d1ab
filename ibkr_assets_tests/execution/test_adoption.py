"""What a strategy says of its limits, its schedule and its account is what its orders are held to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.adoption import check_strategy, find_problems
from ibkr_assets.execution.decisions import extra_symbols, strategies_due, wanted_strategies
from ibkr_assets_tests.execution.decided import LIMITS, NYSE, SESSION, STRATEGY, _propose
from ibkr_assets_tests.execution.desk import EVENING
from ibkr_assets_tests.fakes.clock import FixedClock


def test_a_strategys_own_limit_denies_what_everybodys_would_approve(database: Database) -> None:
    held_to = replace(STRATEGY, risk={"max_order_value_usd": "100"})
    check_strategy(held_to, limits=LIMITS, account=None, directory=None, has_model=False)
    (record,) = _propose(database, held_to, [SESSION], FixedClock(EVENING))
    assert str(record.state) == "DENIED"
    assert record.reason.startswith("order_value")
    with database.connect() as connection:
        limits = connection.execute("select limits from oms.limits_version join oms.risk_decision "
                                    "on sha256 = limits_sha256").fetchone()  # fmt: skip
    assert limits is not None
    assert limits[0]["max_order_value_usd"] == "100"


class Rising:
    """An approved model that always expects a rise."""

    version, sha256 = 3, "ab" * 32

    def score(self, rows: pd.DataFrame) -> Any:
        return np.full(len(rows), 0.5)


def test_an_order_of_an_approved_model_is_approved_and_names_its_version(database: Database) -> None:
    scored = replace(STRATEGY, kind="model_score", params={"model": "rise"})
    (record,) = _propose(database, scored, [SESSION], FixedClock(EVENING), models=lambda _name, _alias: Rising())
    assert str(record.state) == "APPROVED", record.reason
    with database.connect() as connection:
        facts, words, numbers = connection.execute(
            "select facts, words, numbers from oms.risk_decision, research.signal_basis"
        ).fetchone() or (None, None, None)
    assert facts["data"]["model"] == "rise"
    assert facts["data"]["is_model_approved"] is True
    assert numbers["model_version"] == 3
    assert "model rise version 3 (champion, sha256 abababababab)" in words


def test_a_signal_that_says_no_version_is_of_no_approved_model(database: Database) -> None:
    class Unversioned(Rising):
        version = float("nan")

    scored = replace(STRATEGY, kind="model_score", params={"model": "rise"})
    (record,) = _propose(database, scored, [SESSION], FixedClock(EVENING), models=lambda _name, _alias: Unversioned())
    assert str(record.state) == "DENIED"
    assert record.reason == "model: model rise is not registered and approved"


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
            check_strategy(replace(STRATEGY, **change), limits=LIMITS, account="DU1", directory=None, has_model=False)


def test_a_run_is_asked_for_symbols_only_where_the_strategy_has_others_than_the_market() -> None:
    assert extra_symbols(replace(STRATEGY, symbols=("FB",)), ("AAPL", "FB")) == []
    assert extra_symbols(replace(STRATEGY, symbols=("KO", "FB")), ("AAPL", "FB")) == ["AAPL", "FB", "KO"]


def test_a_strategy_set_to_rehearse_never_trades_whatever_the_run_says(database: Database) -> None:
    (record,) = _propose(database, replace(STRATEGY, is_dry_run=True), [SESSION], FixedClock(EVENING))
    assert record.intent.mode is Mode.DRY_RUN


def test_every_field_that_is_wrong_is_named(database: Database) -> None:
    wrong = replace(STRATEGY, params={"period": 1}, sizing="lots", schedule="hourly", risk={"max_luck": 1},
                    symbols=("IBM", "IBM"), bar_size="1min", account="DU9")  # fmt: skip
    found = find_problems(wrong, limits=LIMITS, account=None, directory=None, has_model=False)
    assert {"params", "sizing", "schedule", "risk", "symbols", "bar_size", "account"} == set(found)
    assert "hourly" in found["schedule"]
    assert set(
        find_problems(replace(STRATEGY, kind="luck"), limits=LIMITS, account=None, directory=None, has_model=False)
    ) == {"kind"}
    assert find_problems(STRATEGY, limits=LIMITS, account=None, directory=None, has_model=False) == {}


def test_a_strategy_that_asks_a_model_is_not_switched_on_where_there_is_none() -> None:
    asks = replace(STRATEGY, kind="llm_analyst", params={})

    def problems(*, is_enabled: bool, has_model: bool) -> dict[str, str]:
        record = replace(asks, is_enabled=is_enabled)
        return find_problems(record, limits=LIMITS, account=None, directory=None, has_model=has_model)

    assert set(problems(is_enabled=True, has_model=False)) == {"enabled"}
    assert "llm.base_url" in problems(is_enabled=True, has_model=False)["enabled"]
    assert problems(is_enabled=True, has_model=True) == problems(is_enabled=False, has_model=False) == {}


def test_a_strategy_whose_stop_cannot_be_sent_is_kept_but_not_switched_on() -> None:
    stopped = replace(STRATEGY, kind="sma_bracket", params={"fast": 5, "slow": 20})
    found = find_problems(stopped, limits=LIMITS, account=None, directory=None, has_model=True)
    assert found == {"enabled": "enabled: true: its stop and target can be backtested only, not sent"}
    kept = replace(stopped, is_enabled=False)
    assert find_problems(kept, limits=LIMITS, account=None, directory=None, has_model=True) == {}
