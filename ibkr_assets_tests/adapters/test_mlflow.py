"""One MLflow run for each Dagster run, with the true end, over MLflow's own client and a database in a file."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.mlflow import DAGSTER_RUN_TAG, LEFT_OUT_TAG, PROCESS_TAG, MlflowTracker, RunEnd
from ibkr_assets.domain.errors import ConfigurationError, Unavailable

#: Warnings of MLflow's own database code, which a tracking server keeps to itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at MLflow's newest schema, which takes seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    client = MlflowClient(f"sqlite:///{path}")
    client.search_experiments()
    _forget(client)
    return path


@pytest.fixture
def tracker(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowTracker]:
    monkeypatch.chdir(tmp_path)  # artifacts of a database without a server go to the working directory
    copy = Path(shutil.copy(made_once, tmp_path / "mlflow.db"))
    made = MlflowTracker(f"sqlite:///{copy}", "tests")
    yield made
    if made._client is not None:
        _forget(made._client)


def _forget(client: Any) -> None:
    """Close the pool of the client's store."""
    client._tracking_client.store.engine.dispose()


def _runs(tracker: MlflowTracker) -> list[Any]:
    client = tracker._client
    return list(client.search_runs([client.get_experiment_by_name("tests").experiment_id]))


def _open(tracker: MlflowTracker, dagster_run_id: str = "d1") -> str:
    return tracker.open_run("a run", dagster_run_id=dagster_run_id, tags={"mode": "sim"})


def test_a_run_is_opened_once_and_described(tracker: MlflowTracker) -> None:
    run_id = _open(tracker)
    assert _open(tracker) == run_id
    tracker.log(run_id, params={"fast": "10"})
    (run,) = _runs(tracker)
    assert run.info.status == "RUNNING"
    assert run.data.params == {"fast": "10"}
    assert run.data.tags[DAGSTER_RUN_TAG] == "d1"
    assert run.data.tags["mode"] == "sim"
    assert run.info.run_name == "a run"


def test_two_dagster_runs_have_two_runs(tracker: MlflowTracker) -> None:
    assert _open(tracker, "d1") != _open(tracker, "d2")


def test_under_a_lock_runs_opened_at_once_are_one(tracker: MlflowTracker) -> None:
    locks: dict[str, threading.Lock] = {}

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        with locks.setdefault(name, threading.Lock()):
            yield

    locked = MlflowTracker(tracker.tracking_uri, "tests", lock)
    _open(locked, "another")  # the experiment is there
    with ThreadPoolExecutor(4) as pool:
        found = {f.result() for f in [pool.submit(_open, locked, "d1") for _ in range(4)]}
    assert len(found) == 1
    _forget(locked._client)


def test_metrics_that_are_not_finite_are_left_out_and_named(tracker: MlflowTracker) -> None:
    run_id = _open(tracker)
    numbers = {"signals": 5, "sharpe": float("nan"), "ratio": float("inf")}
    assert tracker.log(run_id, metrics=numbers) == ["ratio", "sharpe"]
    (run,) = _runs(tracker)
    assert run.data.metrics == {"signals": 5.0}
    assert run.data.tags[LEFT_OUT_TAG] == "2 not finite: ratio, sharpe"


def test_only_metrics_that_are_not_finite_are_no_error(tracker: MlflowTracker) -> None:
    assert tracker.log(_open(tracker), metrics={"sharpe": float("nan")}) == ["sharpe"]


def test_more_than_a_batch_holds_is_all_there(tracker: MlflowTracker) -> None:
    run_id = _open(tracker)
    tracker.log(run_id, metrics={f"m{n}": n for n in range(1001)}, params={f"p{n}": str(n) for n in range(150)})
    (run,) = _runs(tracker)
    assert (len(run.data.metrics), len(run.data.params)) == (1001, 150)


def test_names_and_values_are_made_to_fit(tracker: MlflowTracker) -> None:
    tracker.log(_open(tracker), params={"strategy#1 (a)": "x" * 7000})
    (run,) = _runs(tracker)
    assert run.data.params["strategy_1 _a_"] == "x" * 6000


def test_a_file_is_kept_as_it_is(tracker: MlflowTracker, tmp_path: Path) -> None:
    run_id = _open(tracker)
    tracker.log_file(run_id, "chart.png", b"\x89PNG")
    kept = Path(tracker._client.download_artifacts(run_id, "chart.png", str(tmp_path)))
    assert kept.read_bytes() == b"\x89PNG"


@pytest.mark.parametrize("end", list(RunEnd))
def test_a_run_is_closed_with_its_end_and_again_without_effect(tracker: MlflowTracker, end: RunEnd) -> None:
    _open(tracker)
    assert tracker.close_run("d1", end)
    ended_at = _runs(tracker)[0].info.end_time
    assert not tracker.close_run("d1", end)
    (run,) = _runs(tracker)
    assert (run.info.status, run.info.end_time) == (end, ended_at)


def test_a_run_that_another_process_opened_is_closed(tracker: MlflowTracker) -> None:
    _open(tracker)
    elsewhere = MlflowTracker(tracker.tracking_uri, "tests")
    assert elsewhere.close_run("d1", RunEnd.KILLED)
    assert _runs(tracker)[0].info.status == "KILLED"
    _forget(elsewhere._client)


def test_an_end_is_corrected_when_the_truth_comes_later(tracker: MlflowTracker) -> None:
    _open(tracker)
    tracker.close_run("d1", RunEnd.FAILED)
    assert tracker.close_run("d1", RunEnd.KILLED)
    assert _runs(tracker)[0].info.status == "KILLED"


def test_closing_a_run_that_was_never_tracked_does_nothing(tracker: MlflowTracker) -> None:
    assert not tracker.close_run("unknown", RunEnd.FINISHED)


def test_runs_whose_process_is_gone_are_ended_and_others_are_let_be(tracker: MlflowTracker) -> None:
    opened = {
        name: tracker.open_run(name, dagster_run_id=name, tags={} if name == "of dagster" else {PROCESS_TAG: name})
        for name in ("gone", "alive", "of dagster", "over")
    }
    tracker.close_run("over", RunEnd.FINISHED)
    assert tracker.close_lost(lambda process: process == "alive") == 1
    ends = {run.info.run_id: run.info.status for run in _runs(tracker)}
    assert {name: ends[run_id] for name, run_id in opened.items()} == {
        "gone": "KILLED", "alive": "RUNNING", "of dagster": "RUNNING", "over": "FINISHED",
    }  # fmt: skip


def test_a_deleted_experiment_is_named(tracker: MlflowTracker) -> None:
    _open(tracker)
    experiment = tracker._client.get_experiment_by_name("tests")
    tracker._client.delete_experiment(experiment.experiment_id)
    other = MlflowTracker(tracker.tracking_uri, "tests")
    with pytest.raises(ConfigurationError, match=r"mlflow.experiment: 'tests' is deleted"):
        _open(other)
    _forget(other._client)


def test_a_server_that_is_not_there_says_so_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(Unavailable, match="not reachable"):
            _open(MlflowTracker(uri, "tests"))
    assert time.monotonic() - began < 5


def test_a_server_that_never_answers_is_given_up_within_seconds(silent_server: Callable[[], str]) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        _open(MlflowTracker(silent_server(), "tests"))
    assert time.monotonic() - began < 10


@pytest.fixture
def silent_server() -> Iterator[Callable[[], str]]:
    """Takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield lambda: f"http://127.0.0.1:{listener.getsockname()[1]}"
