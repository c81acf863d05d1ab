"""A strategy that asks a language model, in the chain: over real HTTP, without it, within budgets, and once more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ibkr_assets import bootstrap
from ibkr_assets.domain.analysis import call_ids
from ibkr_assets.execution.replay import replay
from ibkr_assets_tests.analyst import MODEL, RunningAnalyst, stand_in, stand_in_process
from ibkr_assets_tests.defs.chain import STRATEGY, Chain, metadata_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own database code
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType"),  # MLflow's, when it is first traced with
]

__all__ = ["stand_in", "stand_in_process"]

DAY = date(2012, 10, 2)
ALONE = replace(STRATEGY, params={"fast": 5, "slow": 15})
REVIEWED = replace(
    STRATEGY, id="reviewed", kind="llm_analyst",
    params={"of": {"kind": "sma_cross", "params": {"fast": 5, "slow": 15}}, "samples": 2},
)  # fmt: skip
PLENTY = {"call_usd": "0.05", "strategy_usd": "1", "day_usd": "1"}
PRICE = {"input_usd_per_million": "1", "output_usd_per_million": "4", "source": "imagined", "as_of": "2026-11-01"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def llm(base_url: str, **changes: Any) -> dict[str, Any]:
    known = {"base_url": base_url, "model": MODEL, "price": PRICE, "budgets": PLENTY, "sees_charts": True}
    return known | {"timeout_s": 5} | changes


def chain(database: Any, database_url: str, instance: dg.DagsterInstance, **changes: Any) -> Chain:
    made = Chain(database, database_url, instance, strategies=(ALONE, REVIEWED), **changes)
    made.move_after_close(DAY)
    return made


def without_signal(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Why the strategy that asks has no signal, by symbol."""
    lines = metadata_of(result, "signals")["without_signal"].splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return {row[1]: row[3] for row in rows if row[0] == "reviewed"}


def signed(platform: Chain, strategy: str) -> dict[str, float]:
    signs = {"long": 1, "flat": 0, "short": -1}
    return {s.symbol: signs[s.direction] * s.strength for s in platform.strategy_store.signals(DAY, strategy)}


def test_it_shrinks_or_vetoes_is_traced_and_every_order_replays_without_the_model(
    stand_in: RunningAnalyst, database, database_url: str, instance, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    platform = chain(database, database_url, instance, llm=llm(stand_in.base_url), mlflow_uri=uri)
    result = platform.run(DAY)
    assert without_signal(result) == {}
    alone, reviewed = signed(platform, "cross"), signed(platform, "reviewed")
    assert any(alone.values())
    assert all(0 <= reviewed[symbol] <= 0.8 * alone[symbol] for symbol in alone)
    assert any(reviewed[symbol] > 0 for symbol in alone)
    orders = [one for one in platform.book.intents() if one.intent.strategy_id == "reviewed"]
    assert orders
    lineage = bootstrap.lineage(platform.settings)
    dead = platform.settings.model_copy(update={"llm": platform.settings.llm.model_copy(
        update={"base_url": "http://127.0.0.1:9/v1", "model": "another", "samples": 7})})  # fmt: skip
    for order in orders:
        document = lineage.document(order.client_order_id)
        assert [call["call_id"] for call in document["llm_calls"]] == call_ids(document["basis"]["numbers"])
        assert document["llm_calls"][0]["response"]
        found = replay(document, lineage.feature_bars(document), analysts=bootstrap.past_analysts(dead))
        assert (found.difference, "signal" in found.identical) == (None, True)
    _is_traced(uri, bootstrap.llm_calls(platform.settings).calls(run=result.run_id))


def _is_traced(uri: str, calls: list[Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = (one for one in client.search_experiments() if one.name == "tests")
    (run,) = client.search_runs([experiment.experiment_id])
    traces = {trace.info.tags["llm_call"]: trace for trace in client.search_traces([experiment.experiment_id])}
    assert set(traces) == {str(call.call_id) for call in calls}
    for call in calls:
        trace = traces[str(call.call_id)]
        (span,) = trace.data.spans
        assert trace.info.trace_metadata["mlflow.sourceRun"] == run.info.run_id
        assert span.inputs["messages"] == call.messages
        assert span.outputs["content"] == call.response
        assert (span.end_time_ns - span.start_time_ns) / 1e9 == pytest.approx(call.latency_s, abs=0.01)
        assert span.get_attribute("mlflow.llm.cost")["total_cost"] == pytest.approx(float(call.cost_usd))
        assert span.get_attribute("mlflow.chat.tokenUsage")["input_tokens"] == call.prompt_tokens
    seen = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {f"seen-{call.picture_sha256[:16]}.png" for call in calls} <= seen


def test_without_the_model_it_abstains_the_chain_goes_on_and_nothing_is_ordered_by_it(
    database, database_url: str, instance
) -> None:
    platform = chain(database, database_url, instance, llm=llm("http://127.0.0.1:9/v1"))
    result = platform.run(DAY)
    assert result.success
    wanted = {symbol for symbol, stand in signed(platform, "cross").items() if stand}
    assert set(without_signal(result)) == wanted
    assert all(why.startswith("the analyst abstains (unavailable)") for why in without_signal(result).values())
    assert {one.intent.strategy_id for one in platform.book.intents()} == {"cross"}
    assert bootstrap.llm_calls(platform.settings).spend()[0].cost_usd == 0


def test_without_any_model_in_the_settings_it_says_so(database, database_url: str, instance) -> None:
    result = chain(database, database_url, instance).run(DAY)
    assert set(without_signal(result).values()) == {
        "the analyst abstains (not_configured): no language model is configured (llm.base_url)"
    }


def test_a_budget_stops_before_it_is_exceeded_and_the_sums_agree(
    stand_in: RunningAnalyst, database, database_url: str, instance
) -> None:
    stand_in.forget()
    tight = {**PLENTY, "strategy_usd": "0.006"}
    settings = llm(stand_in.base_url, budgets=tight, sees_charts=False)
    platform = chain(database, database_url, instance, llm=settings)
    result = platform.run(DAY)
    stopped = without_signal(result)
    assert stopped
    assert all(why.startswith("the analyst abstains (budget_strategy)") for why in stopped.values())
    kept = bootstrap.llm_calls(platform.settings)
    calls = kept.calls()
    assert sum(call.outcome == "answered" for call in calls) == len(stand_in.requests()) > 0
    assert sum((call.cost_usd for call in calls), Decimal(0)) == sum((row.cost_usd for row in kept.spend()), Decimal(0))
    assert sum((call.cost_usd for call in calls), Decimal(0)) <= Decimal("0.006")
    assert not {one.intent.symbol for one in platform.book.intents() if one.intent.strategy_id == "reviewed"} & set(
        stopped
    )


def test_a_run_that_is_made_again_asks_nobody_and_changes_nothing(
    stand_in: RunningAnalyst, database, database_url: str, instance
) -> None:
    platform = chain(database, database_url, instance, llm=llm(stand_in.base_url, sees_charts=False))
    platform.run(DAY)
    stand_in.forget()
    assert metadata_of(platform.run(DAY), "signals")["written"] == 0
    assert stand_in.requests() == []
