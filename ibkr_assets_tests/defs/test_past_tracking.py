"""Backtests and sweeps on record in MLflow: one run each, the best sets and the parts below a sweep's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from ibkr_assets.adapters.mlflow import PARENT_TAG
from ibkr_assets.adapters.postgres.past_runs import PostgresPastRuns
from ibkr_assets.backtest.sweep_files import BEST
from ibkr_assets_tests.defs.chain import Chain
from ibkr_assets_tests.defs.test_sweeps import ASKED, DAYS, launch, shown
from ibkr_assets_tests.fakes.tape import real_bars

#: Warnings are of MLflow's own database code.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def chain(mlflow_uri: str, database: Any, database_url: str) -> Iterator[Chain]:
    bars = real_bars("IBM", "FB", start=DAYS[0])
    with dg.DagsterInstance.ephemeral() as instance:
        made = Chain(database, database_url, instance, bars=bars, mlflow_uri=mlflow_uri)
        made.run(DAYS, select=("raw_bars", "validated_bars"), symbols=["IBM", "FB"])
        yield made


def run_of(client: Any, dagster_run_id: str, experiment: str = "tests") -> Any:
    of = [client.get_experiment_by_name(experiment).experiment_id]
    (run,) = client.search_runs(of, f"tags.dagster_run_id = '{dagster_run_id}'")
    return run


def test_backtests_and_sweeps_are_kept_with_all_that_came_of_them(chain: Chain, mlflow_uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_uri)
    traded = launch(chain, "backtests", {**ASKED, "params": {"fast": 3, "slow": 10}})
    run = run_of(client, traded.run_id)
    kept = PostgresPastRuns(chain.database).load(traded.run_id)
    assert kept is not None
    assert (run.info.status, run.info.run_name) == ("FINISHED", "backtest sma_cross fast=3 slow=10")
    assert run.data.metrics == {name: value for name, value in kept.metrics.items() if value is not None}
    assert {"code_sha256", "config_sha256", "data_sha256", "commission", "symbols"} <= set(run.data.params)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == set(kept.files)

    grid = {"strategy_id": "cross", "symbols": ["IBM", "FB"], "grid": ["fast=2:8:1", "slow=9:12:1"], "walk_forward": 2}
    asked = {**grid, "rank_by": "total_return", "start": str(DAYS[0]), "end": str(DAYS[1])}
    swept = launch(chain, "sweeps", asked)
    sweep = run_of(client, swept.run_id, "tests/cross")
    below = client.search_runs([sweep.info.experiment_id], f"tags.`{PARENT_TAG}` = '{sweep.info.run_id}'")
    ranks = {one.info.run_name: one for one in below if one.info.run_name.startswith("rank ")}
    parts = [one for one in below if one.info.run_name.startswith("part from ")]
    assert sweep.data.params["tried"] == "28"
    assert (len(ranks), len(parts)) == (BEST, 2)
    assert {one.info.status for one in (sweep, *below)} == {"FINISHED"}
    best = ranks["rank 1"]
    assert best.data.metrics["total_return"] == sweep.data.metrics["total_return"]
    assert best.data.metrics["total_return"] == max(one.data.metrics["total_return"] for one in ranks.values())
    assert sweep.data.params["best"] == str({name: int(best.data.params[name]) for name in ("fast", "slow")})
    assert 0 <= sweep.data.metrics["deflated_sharpe"] <= 1
    files = {file.path for file in client.list_artifacts(sweep.info.run_id)}
    assert files == {"sweep.csv", "heat_map.png", "sweep.json", "tear_sheet.html", "tear_sheet.png"}
    walked = shown(swept, "sweeps")["walked"].value.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in walked[2:]] == [
        one.info.run_name.removeprefix("part from ") for one in sorted(parts, key=lambda one: one.info.run_name)
    ]


def test_a_run_that_fails_is_kept_as_failed(chain: Chain, mlflow_uri: str) -> None:
    from mlflow import MlflowClient

    asked = {**ASKED, "grid": ["fast=2:4:1"], "walk_forward": 500}
    failed = launch(chain, "sweeps", asked, is_raising=False)
    assert not failed.success
    assert run_of(MlflowClient(mlflow_uri), failed.run_id).info.status == "FAILED"
