"""Runs of all experiments found by a condition, over MLflow's own client and a database in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibkr_assets.adapters.mlflow import MlflowTracker

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own database code
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_runs_of_every_experiment_that_meet_a_condition_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for experiment, source in (("one", "database"), ("two", "database"), ("two", "bars.csv")):
        tracker = MlflowTracker(uri, experiment)
        run_id = tracker.open_run(f"{experiment} {source}", dagster_run_id=f"{experiment}-{source}", tags={})
        tracker.log(run_id, params={"source": source, "symbols": "IBM"})
    found = tracker.runs_where("params.source = 'database'")
    assert sorted(run["name"] for run in found) == ["one database", "two database"]
    assert {run["params"]["symbols"] for run in found} == {"IBM"}
    assert {run["url"] for run in found} == {None}
    assert tracker.runs_where("params.source = 'nowhere'") == []
