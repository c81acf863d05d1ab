"""A real decision computed again: identical, after corrections too, and every forged link is found where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.features.definition import feature_digest
from ibkr_assets.ingest.features import build_features
from ibkr_assets.market.adjustment import ActionKind, CorporateAction
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.decided import DAY, FB, NYSE, SESSION, STRATEGY, Decided, backfill, decide
from ibkr_assets_tests.execution.desk import EVENING

STAGES = ("bars", "features", "parameters", "signal", "sizing", "order", "risk")


@pytest.fixture(scope="module")
def decided(postgres_server, _template, tmp_path_factory) -> Iterator[Decided]:
    """One filled order; whoever forges it puts it back."""
    with fresh_database(postgres_server, _template) as name:
        database = Database(postgres_server.url(name, "ibkr_platform"))
        yield decide(database, tmp_path_factory.mktemp("decided"))
        database.close()


def test_what_was_stored_gives_the_same_decision_again(decided: Decided) -> None:
    result = decided.replay()
    assert result.difference is None
    assert result.identical == STAGES
    assert result.is_identical


BAR = f"conid = {FB.conid} and opened_at = '{SESSION.opens_at.isoformat()}' and version = 1"
OLD_BAR = f"conid = {FB.conid} and version = 1 and opened_at = '{NYSE.session(DAY - timedelta(days=84)).opens_at}'"
ATR = "sizing->'measures'->>'atr_14'"
#: The table, what is forged in it, how that is put back, and the stage and the field where it must show.
FORGERIES = {
    "a price of a bar that was shown": (
        "md.bar", f"close = close + 1 where {BAR}", f"close = close - 1 where {BAR}", "bars", "FB 2012-10-01",
    ),
    "a price of a bar before all that were shown": (
        "md.bar", f"high = high + 1 where {OLD_BAR}", f"high = high - 1 where {OLD_BAR}", "bars", "FB 2012-07-09",
    ),
    "another version of a bar": (
        "research.signal_basis", "versions[20] = 2", "versions[20] = 1", "bars", "version 2",
    ),
    "the name of the bars": (
        "research.signal", "input_digest = 'x' || input_digest", "input_digest = substr(input_digest, 2)",
        "bars", "input_digest",
    ),
    "a feature": (
        "research.signal_basis",
        "features = jsonb_set(features, '{rsi_14}', to_jsonb((features->>'rsi_14')::numeric + 1))",
        "features = jsonb_set(features, '{rsi_14}', to_jsonb((features->>'rsi_14')::numeric - 1))",
        "features", "rsi_14",
    ),
    "the formulas of the features": (
        "research.signal", "feature_digest = 'x' || feature_digest", "feature_digest = substr(feature_digest, 2)",
        "features", "feature_digest",
    ),
    "a parameter of the strategy": (
        "research.strategy", """params = '{"fast": 6, "slow": 20}'""", """params = '{"fast": 5, "slow": 20}'""",
        "parameters", "params.fast",
    ),
    "the sizing of the strategy": (
        "research.strategy", "sizing = 'percent:5'", "sizing = 'atr:0.1@2'", "parameters", "sizing",
    ),
    "the direction": ("research.signal", "direction = 'flat'", "direction = 'long'", "signal", "direction"),
    "a number that was compared": (
        "research.signal_basis", """numbers = numbers || '{"close": 22}'""",
        """numbers = numbers || '{"close": 21.99}'""", "signal", "close",
    ),
    "a measure": (
        "oms.plan", f"sizing = jsonb_set(sizing, '{{measures,atr_14}}', to_jsonb('9' || ({ATR})))",
        f"sizing = jsonb_set(sizing, '{{measures,atr_14}}', to_jsonb(substr({ATR}, 2)))", "sizing", "measures.atr_14",
    ),
    "the net asset value": ("oms.plan", "nav_usd = 50000", "nav_usd = 100000", "sizing", "quantity"),
    "the shares held": ("oms.plan", "held_and_working = 46", "held_and_working = 0", "sizing", "orders"),
    "the collar": (
        "oms.plan", """sizing = sizing || '{"price_collar_fraction": "0.02"}'""",
        """sizing = sizing || '{"price_collar_fraction": "0.03"}'""", "sizing", "limit_price",
    ),
    "the size of the order": (
        "oms.order_intent", "quantity = 47, filled = 47", "quantity = 46, filled = 46", "order", "quantity",
    ),
    "a fact of the review": (
        "oms.risk_decision", """facts = facts || '{"nav_usd": "5000"}'""",
        """facts = facts || '{"nav_usd": "100000"}'""", "risk", "order_value",
    ),
    "the exposure": (
        "oms.risk_decision", """exposure = exposure || '{"held": "7"}'""", """exposure = exposure || '{"held": "0"}'""",
        "risk", "held",
    ),
    "a limit": (
        "oms.limits_version", """limits = limits || '{"max_orders_per_day": 49}'""",
        """limits = limits || '{"max_orders_per_day": 50}'""", "risk", "order_count",
    ),
    "what a rule said": (
        "oms.risk_decision", "findings = jsonb_set(findings, '{0,is_passed}', 'false')",
        "findings = jsonb_set(findings, '{0,is_passed}', 'true')", "risk", "mode.is_passed",
    ),
    "the verdict": (
        "oms.risk_decision", "is_approved = false, code = 'kill'", "is_approved = true, code = ''",
        "risk", "is_approved",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_forged_is_the_first_difference(decided: Decided, name: str) -> None:
    table, change, back, stage, field = FORGERIES[name]
    with decided.forged(table, change, back):
        result = decided.replay()
    assert result.difference is not None
    assert (result.difference.stage, field in result.difference.field) == (stage, True), result.difference
    assert result.difference.stored != result.difference.computed
    assert result.identical == STAGES[: STAGES.index(stage)]
    assert decided.replay().is_identical


@dataclass(frozen=True)
class _Slope:
    """A model whose versions differ in what they make of one feature."""

    version: int
    sha256: str = "5" * 64

    def score(self, rows: pd.DataFrame) -> np.ndarray:
        return rows["rsi_14"].to_numpy() / 100 * (1 if self.version == 3 else -1)


def test_a_model_s_decision_is_made_again_by_the_version_that_scored_then(database: Database, tmp_path: Path) -> None:
    params = {"model": "trend", "features": ["rsi_14"]}
    decided = decide(
        database,
        tmp_path,
        replace(STRATEGY, id="scored", kind="model_score", params=params),
        is_filled=False,
        models=lambda _name, _alias: _Slope(3),
    )
    again = decided.replay(models=lambda _name, number: _Slope(number))
    assert again.difference is None
    assert again.identical == STAGES
    other = decided.replay(models=lambda _name, _number: _Slope(4)).difference
    assert other is not None
    assert other.stage == "signal"
    without = decided.replay().difference
    assert without is not None
    assert "no model registry is named" in str(without.computed)


def test_a_later_correction_changes_nothing_of_what_was_decided(database: Database, tmp_path: Path) -> None:
    decided = decide(database, tmp_path, is_filled=False)
    before = decided.document()
    bars = decided.store.load_bars([FB.conid], BarSize.DAY, SESSION.opens_at, SESSION.closes_at)
    earlier = decided.store.load_bars(
        [FB.conid], BarSize.DAY, NYSE.session(DAY - timedelta(days=84)).opens_at, SESSION.opens_at
    ).head(1)
    for wrong in (bars, earlier):
        moved = wrong.assign(close=wrong["low"], open=wrong["low"])
        saved = decided.store.save_bars(moved, BarSize.DAY, source="later", known_from=EVENING)
        assert saved.revised == 1
    after = decided.document()
    corrected = [bar for bar in after["bars"] if bar["known_to"] is not None]
    assert [bar["opened_at"] for bar in corrected] == [SESSION.opens_at.isoformat()]
    then = [{**bar, "known_to": None} for bar in after["bars"]]
    assert then == before["bars"]
    assert {k: v for k, v in after.items() if k != "bars"} == {k: v for k, v in before.items() if k != "bars"}
    assert decided.replay().is_identical


def test_an_order_whose_basis_was_not_kept_is_not_called_identical(database: Database, tmp_path: Path) -> None:
    decided = decide(database, tmp_path, is_filled=False)
    decided.forge("research.signal_basis", "delete from research.signal_basis")
    result = decided.replay()
    assert result.difference is None
    assert not result.is_identical
    assert result.not_kept == ("bars: what the signal rests on was not kept",)
    assert result.identical == ("sizing", "order", "risk")


def test_a_rule_that_says_something_else_today_shows(decided: Decided, monkeypatch: pytest.MonkeyPatch) -> None:
    from ibkr_assets.execution import replayed_review
    from ibkr_assets.risk.codes import DenialCode

    def deny(*given: object) -> object:
        return replace(kill(*given), is_passed=False, text="never")

    kill = replayed_review.RULES[DenialCode.KILL]
    monkeypatch.setitem(replayed_review.RULES, DenialCode.KILL, deny)
    difference = decided.replay().difference
    assert difference is not None
    assert (difference.stage, difference.field, difference.computed) == ("risk", "kill.is_passed", False)


@pytest.mark.parametrize(
    ("kind", "params", "sizing"),
    [
        ("sma_cross", {"fast": 3, "slow": 8, "short": True}, "volatility:10"),
        ("rsi_reversion", {"period": 3, "low": 45, "high": 55, "short": True}, "kelly:0.5@5,edge=20"),
        ("donchian", {"entry": 5, "exit": 3, "short": True}, "notional:900"),
    ],
)
def test_orders_of_a_backfill_come_out_again_whatever_the_kind(
    database: Database, kind: str, params: dict[str, object], sizing: str
) -> None:
    strategy = replace(STRATEGY, kind=kind, params=params, sizing=sizing, symbols=("FB", "IBM"))
    decided = backfill(database, strategy, NYSE.sessions(DAY - timedelta(days=60), DAY))
    orders = PostgresIntents(database, "salt").intents()
    assert len(orders) > 20
    results = {record.client_order_id: decided.replay(record.client_order_id) for record in orders[::5]}
    assert {name: result.difference for name, result in results.items() if not result.is_identical} == {}
    assert {result.identical for result in results.values()} == {STAGES[:-1]}  # past their time, so never reviewed


def test_an_order_is_the_same_again_when_splits_of_before_and_after_it_become_known(
    database: Database, tmp_path: Path
) -> None:
    decided = decide(database, tmp_path)
    actions, before = PostgresCorporateActions(database), _stored_features(decided)
    for day in (DAY + timedelta(days=14), DAY - timedelta(days=21)):  # before it: nobody knew when it was decided
        split = CorporateAction(FB.conid, day, ActionKind.SPLIT, Decimal(2))
        actions.save(split, source="issuer", actor="test", known_from=EVENING + timedelta(days=20))
        build_features(decided.store, NYSE, instruments=[FB], sessions=[SESSION])
        result = decided.replay()
        assert (result.difference, result.identical) == (None, STAGES)
    assert _stored_features(decided)["sma_50"] < before["sma_50"]  # the split is in what would be decided today


def _stored_features(decided: Decided) -> dict[str, float]:
    found = decided.store.load_features(
        [FB.conid], BarSize.DAY, SESSION.opens_at, SESSION.closes_at, feature_digest=feature_digest()
    )
    return found.iloc[0].to_dict()
