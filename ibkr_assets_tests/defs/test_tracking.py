"""One MLflow run for each Dagster run, which ends as that one did, and a run that goes on without MLflow."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ibkr_assets.adapters.mlflow import MlflowTracker
from ibkr_assets.definitions import defs
from ibkr_assets.defs.resources import SettingsInForce
from ibkr_assets.defs.tracking import ENDS, Mlflow, Tracked, closers
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.features.definition import feature_digest
from ibkr_assets.settings import Settings
from ibkr_assets_tests.defs.chain import FIVE, Chain, checks_of, metadata_of

DAY = date(2012, 11, 21)
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own database code
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def make_chain(database, database_url) -> Iterator[Callable[..., Chain]]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield lambda **options: Chain(database, database_url, instance, **options)


def _runs(uri: str, dagster_run_id: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tests")
    return list(client.search_runs([experiment.experiment_id], f"tags.dagster_run_id = '{dagster_run_id}'"))


def test_a_run_is_tracked_with_what_decided_and_what_came_of_it(
    make_chain: Callable[..., Chain], mlflow_uri: str, tmp_path: Path
) -> None:
    chain = make_chain(mlflow_uri=mlflow_uri)
    result = chain.run(DAY)
    (run,) = _runs(mlflow_uri, result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["cross.fast"] == "10"
    assert run.data.params["symbols"] == "AAPL,FB,GOOG,IBM,MSFT"
    assert run.data.params["cross.sizing"] == "percent:8"
    assert {len(run.data.params[name]) for name in ("code_sha256", "config_sha256", "data_sha256")} == {64}
    assert run.data.params["feature_digest"] == feature_digest()
    assert run.data.metrics["signals"] == 5
    assert run.data.metrics["orders_approved"] == metadata_of(result, "orders")["approved"]
    assert checks_of(result)["run_is_tracked"]
    with chain.database.connect() as connection:
        stored = connection.execute("select distinct mlflow_run_id from research.signal").fetchall()
    assert [row[0] for row in stored] == [run.info.run_id]


def test_a_run_for_one_strategy_is_in_its_own_experiment_and_closed_there(
    make_chain: Callable[..., Chain], mlflow_uri: str
) -> None:
    from mlflow import MlflowClient

    chain = make_chain(mlflow_uri=mlflow_uri)
    result = chain.run(DAY, strategy_id="cross")
    client = MlflowClient(mlflow_uri)
    own, shared = (client.get_experiment_by_name(name) for name in ("tests/cross", "tests"))
    wanted = f"tags.dagster_run_id = '{result.run_id}'"
    (run,) = client.search_runs([own.experiment_id], wanted)
    assert run.info.status == "FINISHED"
    assert shared is None or not client.search_runs([shared.experiment_id], wanted)


def test_a_run_whose_orders_fail_is_tracked_as_failed(make_chain: Callable[..., Chain], mlflow_uri: str) -> None:
    chain = make_chain(mlflow_uri=mlflow_uri, is_reconciled=False)
    result = chain.run(DAY, is_raising=False)
    assert not result.success
    assert [run.info.status for run in _runs(mlflow_uri, result.run_id)] == ["FAILED"]


def test_each_run_of_a_session_has_its_own(make_chain: Callable[..., Chain], mlflow_uri: str) -> None:
    chain = make_chain(mlflow_uri=mlflow_uri)
    result = chain.run(DAY, select=FIVE[:4])
    assert [run.info.status for run in _runs(mlflow_uri, result.run_id)] == ["FINISHED"]
    again = chain.run(DAY, select=("orders",))
    (run,) = _runs(mlflow_uri, again.run_id)
    assert run.info.status == "FINISHED"
    assert "orders_approved" in run.data.metrics


def test_a_tracking_server_that_is_away_is_said_and_stops_nothing(make_chain: Callable[..., Chain]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        chain = make_chain(mlflow_uri=f"http://127.0.0.1:{taken.getsockname()[1]}")
        result = chain.run(DAY)
    assert result.success
    assert "not reachable" in metadata_of(result, "signals")["mlflow"]
    tracking = next(e for e in result.get_asset_check_evaluations() if e.check_name == "run_is_tracked")
    assert not tracking.passed
    assert tracking.severity is dg.AssetCheckSeverity.WARN
    assert chain.book.intents()


class LostTracker:
    """Opens a run, and then the server is gone."""

    def open_run(self, name: str, *, dagster_run_id: str, tags: dict[str, str]) -> str:
        return "m1"

    def url_of(self, run_id: str) -> None:
        return None

    def log(self, run_id: str, **what: object) -> list[str]:
        raise Unavailable("MLflow went away")

    def close_run(self, dagster_run_id: str, end: str) -> bool:
        raise Unavailable("MLflow is still away")


def test_a_tracking_server_that_goes_away_in_between_leaves_warnings(caplog: pytest.LogCaptureFixture) -> None:
    mlflow = Mlflow(settings=SettingsInForce(Settings))
    mlflow._trackers[None] = LostTracker()
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("trading_strategy"), status=dg.DagsterRunStatus.CANCELED)
        assert mlflow.tracked(run).run_id == "m1"
        mlflow.log(run, metrics={"signals": 5})
        context = SimpleNamespace(run=run, instance=instance, log=logging.getLogger("a run"))
        mlflow.teardown_after_execution(context)
    assert [record.message for record in caplog.records if record.name == "a run"] == [
        "tracking: MLflow went away",
        "tracking: the MLflow run stays open: MLflow is still away",
    ]


@pytest.mark.parametrize(("sensor", "status", "end"), list(zip(closers, ENDS, ENDS.values(), strict=True)))
def test_a_run_that_could_not_close_itself_is_closed_by_a_sensor(
    mlflow_uri: str, sensor: dg.SensorDefinition, status: dg.DagsterRunStatus, end: str
) -> None:
    settings = Settings.model_validate({"mlflow": {"tracking_uri": mlflow_uri, "experiment": "tests"}})
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("trading_strategy"), status=status)
        killed = MlflowTracker(mlflow_uri, "tests")
        killed.open_run("a run", dagster_run_id=run.run_id, tags={})
        event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=run.job_name)
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=run,
            resources={"mlflow": Mlflow(settings=SettingsInForce(lambda: settings))},
        )
        with context:
            sensor(context)
    assert [r.info.status for r in _runs(mlflow_uri, run.run_id)] == [end]


def test_the_page_of_a_run_is_kept_without_its_server() -> None:
    assert Tracked("m1", "http://127.0.0.1:5001/#/experiments/1/runs/m1").page == "/experiments/1/runs/m1"
    assert Tracked("m1", "run m1").page is None
    assert Tracked(None, "no tracking server is named (mlflow.tracking_uri)").page is None
