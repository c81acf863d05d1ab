"""Runs on workers, over a real broker: taken, reported, interrupted, and failed when their worker is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from ibkr_assets.stack.instance import BROKER_VARIABLE, write_instance
from ibkr_assets_tests.cluster.broker import BOUND_S, HAS_REDIS, PASSWORD, broker, kill_machine, worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_REDIS, reason="no redis-server on this machine"),
]
JOBS = Path(__file__).parent.parent / "stack" / "launched_jobs.py"
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


class Cluster:
    """An instance whose runs go to workers."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home
        write_instance(home, has_workers=True)
        self.instance = dg.DagsterInstance.from_config(str(home))

    def launch(self, job_name: str, note: Path) -> str:
        job = ReconstructableJob.for_file(str(JOBS), job_name)
        run = self.instance.create_run_for_job(
            job.get_definition(), job_code_origin=job.get_python_origin(), tags={"note": str(note)}
        )
        self.instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
        return run.run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def wait(self, run_id: str, *statuses: dg.DagsterRunStatus) -> dg.DagsterRunStatus:
        deadline = time.monotonic() + BOUND_S
        while self.run(run_id).status not in statuses:
            assert time.monotonic() < deadline, self.run(run_id).status
            time.sleep(0.1)
        return self.run(run_id).status

    def health(self, run_id: str) -> WorkerStatus:
        return self.instance.run_launcher.check_run_worker_health(self.run(run_id)).status


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with broker() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(BROKER_VARIABLE, url)
        made = Cluster(url, tmp_path_factory.mktemp("dagster_home"))
        with made.instance:
            yield made


@pytest.fixture
def one_worker(cluster: Cluster, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with worker(cluster.url, cluster.home, "w1", tmp_path / "log") as process:
        yield process


def wait_for(note: Path) -> str:
    deadline = time.monotonic() + BOUND_S
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline, "the run left no note"
        time.sleep(0.05)
    return note.read_text()


def test_a_run_waits_for_a_worker_and_succeeds_on_it(cluster: Cluster, tmp_path: Path) -> None:
    run_id = cluster.launch("quick", tmp_path / "note")
    assert cluster.health(run_id) is WorkerStatus.UNKNOWN  # nobody has taken it: no reason to fail it
    with worker(cluster.url, cluster.home, "late", tmp_path / "log") as process:
        assert cluster.wait(run_id, SUCCESS, FAILURE) is SUCCESS
        _, pid, *_ = (tmp_path / "note").read_text().split()
        assert int(pid) not in (os.getpid(), process.pid)


def test_a_killed_process_of_a_worker_is_told_by_the_worker(
    cluster: Cluster, one_worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    run_id = cluster.launch("long", tmp_path / "note")
    os.kill(int(wait_for(tmp_path / "note")), signal.SIGKILL)
    deadline = time.monotonic() + BOUND_S
    while cluster.health(run_id) is not WorkerStatus.FAILED:
        assert time.monotonic() < deadline
    assert one_worker.poll() is None
    after = cluster.launch("quick", tmp_path / "after")
    assert cluster.wait(after, SUCCESS, FAILURE) is SUCCESS


def test_a_worker_that_went_with_its_machine_fails_its_run(
    cluster: Cluster, one_worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    run_id = cluster.launch("long", tmp_path / "note")
    wait_for(tmp_path / "note")
    assert cluster.health(run_id) is WorkerStatus.RUNNING
    kill_machine(one_worker)
    found = cluster.instance.run_launcher.check_run_worker_health(cluster.run(run_id))
    assert found.status is WorkerStatus.FAILED
    assert "does not answer" in (found.msg or "")


def test_a_run_that_a_busy_worker_cannot_begin_is_taken_by_another(
    cluster: Cluster, one_worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    busy = cluster.launch("long", tmp_path / "note")
    wait_for(tmp_path / "note")
    waiting = cluster.launch("quick", tmp_path / "second")
    time.sleep(3.0)  # as long as the busy one would take to lay it aside
    with worker(cluster.url, cluster.home, "w2", tmp_path / "other.log"):
        assert cluster.wait(waiting, SUCCESS, FAILURE) is SUCCESS
    assert cluster.run(busy).status is dg.DagsterRunStatus.STARTED
    assert one_worker.poll() is None
    cluster.instance.run_launcher.terminate(busy)
    cluster.wait(busy, dg.DagsterRunStatus.CANCELED)


def test_a_run_is_ended_from_where_it_was_launched(
    cluster: Cluster, one_worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    run_id = cluster.launch("long", tmp_path / "note")
    wait_for(tmp_path / "note")
    assert cluster.instance.run_launcher.terminate(run_id)
    assert cluster.wait(run_id, dg.DagsterRunStatus.CANCELED, SUCCESS, FAILURE) is dg.DagsterRunStatus.CANCELED
    after = cluster.launch("quick", tmp_path / "after")
    assert cluster.wait(after, SUCCESS, FAILURE) is SUCCESS


def test_the_broker_takes_nothing_without_its_password(cluster: Cluster) -> None:
    stranger = cluster.url.replace(PASSWORD, "guessed")
    with redis.Redis.from_url(stranger) as client, pytest.raises(redis.AuthenticationError):
        client.lpush("dagster", "{}")


def test_a_pickled_task_is_not_opened(cluster: Cluster, one_worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    from ibkr_assets.stack.cluster import worker_app

    planted = tmp_path / "planted"

    class Planted:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return os.mkdir, (str(planted),)

    app = worker_app(cluster.url)
    app.send_task("execute_job", args=[Planted()], queue="dagster", serializer="pickle")
    after = cluster.launch("quick", tmp_path / "after")
    assert cluster.wait(after, SUCCESS, FAILURE) is SUCCESS
    assert not planted.exists()


def test_the_password_is_in_no_file_of_dagsters(cluster: Cluster) -> None:
    text = (cluster.home / "dagster.yaml").read_text()
    assert PASSWORD not in text
    assert json.dumps({"env": BROKER_VARIABLE})[1:-1].replace('"', "") in text
