"""Runs are forked from a warm process, report their own end, and are reported when they cannot."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from ibkr_assets.market import calendar
from ibkr_assets.stack import warm
from ibkr_assets.stack.instance import write_instance
from ibkr_assets.stack.launcher import WORKER_TAG, ForkServerRunLauncher

JOBS = Path(__file__).with_name("launched_jobs.py")
SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
PATIENCE_S = 60


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("dagster_home")
    write_instance(home)
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made
        made.run_launcher.join(PATIENCE_S)


class Launched:
    """One run that was launched, and where it leaves its note."""

    def __init__(self, instance: dg.DagsterInstance, job_name: str, note: Path) -> None:
        job = ReconstructableJob.for_file(str(JOBS), job_name)
        run = instance.create_run_for_job(
            job.get_definition(), job_code_origin=job.get_python_origin(), tags={"note": str(note)}
        )
        self.instance, self.run_id, self.note = instance, run.run_id, note
        instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))

    @property
    def run(self) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(self.run_id)
        assert found is not None
        return found

    @property
    def worker(self) -> dict:
        return json.loads(self.run.tags[WORKER_TAG])

    def wait_until(self, *statuses: dg.DagsterRunStatus) -> dg.DagsterRunStatus:
        deadline = time.monotonic() + PATIENCE_S
        while self.run.status not in statuses:
            assert time.monotonic() < deadline, f"{self.run.status} after {PATIENCE_S} s, wanted {statuses}"
            time.sleep(0.02)
        return self.run.status

    def wait_for_note(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not (self.note.exists() and self.note.read_text()):
            assert time.monotonic() < deadline, "the run left no note"
            time.sleep(0.02)
        return self.note.read_text()

    def messages(self) -> str:
        return "\n".join(entry.message or entry.user_message for entry in self.instance.all_logs(self.run_id))


@pytest.fixture
def launch(instance: dg.DagsterInstance, tmp_path: Path) -> Callable[[str], Launched]:
    return lambda job_name: Launched(instance, job_name, tmp_path / "note")


def test_a_run_succeeds_in_a_process_of_its_own_that_began_warm(launch: Callable[[str], Launched]) -> None:
    run = launch("quick")
    assert run.wait_until(SUCCESS, FAILURE) is SUCCESS
    _, pid, *loaded = run.wait_for_note().split()
    assert int(pid) == run.worker["pid"] != os.getpid()
    assert loaded == ["exchange_calendars", "mlflow", "pandas"]


def test_what_a_run_prints_is_kept_for_the_page_without_another_process(
    launch: Callable[[str], Launched], instance: dg.DagsterInstance
) -> None:
    run = launch("spoken")
    assert run.wait_until(SUCCESS, FAILURE) is SUCCESS
    assert run.wait_for_note() == str(run.worker["pid"]), "it has no children"
    captured = [
        entry.dagster_event.logs_captured_data
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
        if entry.dagster_event is not None
    ]
    (key,) = [data.file_key for data in captured]
    log = instance.compute_log_manager.get_log_data([run.run_id, "compute_logs", key])
    assert (log.stdout or b"").decode().split("\n") == ["said out loud", "said by a child", ""]
    assert "said aside" in (log.stderr or b"").decode()
    assert instance.compute_log_manager.is_capture_complete([run.run_id, "compute_logs", key])


def test_a_warm_run_starts_sooner_than_a_new_interpreter_could(launch: Callable[[str], Launched]) -> None:
    launch("quick").wait_until(SUCCESS)  # by now the fork server is warm
    warm_starts, cold_starts = [], []
    for _ in range(2):  # both under the same load, the quicker of two
        asked = time.time()
        run = launch("quick")
        run.wait_until(SUCCESS)
        warm_starts.append(float(run.wait_for_note().split()[0]) - asked)
        run.note.unlink()
        asked = time.time()
        subprocess.run([sys.executable, "-c", "import dagster, pandas, mlflow, exchange_calendars"], check=True)
        cold_starts.append(time.time() - asked)
    assert min(warm_starts) < min(cold_starts) / 2, (warm_starts, cold_starts)


def test_a_failing_run_is_reported_by_itself(launch: Callable[[str], Launched]) -> None:
    run = launch("failing")
    assert run.wait_until(SUCCESS, FAILURE) is FAILURE
    assert "this op fails" in str([entry.dagster_event for entry in run.instance.all_logs(run.run_id)])


def test_a_run_may_start_processes_of_its_own(launch: Callable[[str], Launched]) -> None:
    assert launch("with_child").wait_until(SUCCESS, FAILURE) is SUCCESS


def test_a_killed_run_is_reported_as_failed_with_the_signal(launch: Callable[[str], Launched]) -> None:
    run = launch("long")
    os.kill(int(run.wait_for_note()), signal.SIGKILL)
    assert run.wait_until(SUCCESS, FAILURE, CANCELED) is FAILURE
    assert "SIGKILL" in run.messages()


def test_a_run_is_ended_by_another_process_than_the_one_that_launched_it(launch: Callable[[str], Launched]) -> None:
    run = launch("long")
    run.wait_for_note()
    elsewhere = (
        "import sys, dagster as dg\n"
        "instance = dg.DagsterInstance.from_config(sys.argv[1])\n"
        "sys.exit(0 if instance.run_launcher.terminate(sys.argv[2]) else 1)\n"
    )
    command = [sys.executable, "-c", elsewhere, run.instance.root_directory, run.run_id]
    assert subprocess.run(command, timeout=PATIENCE_S, check=False).returncode == 0
    assert run.wait_until(SUCCESS, FAILURE, CANCELED) is CANCELED


def test_ending_a_run_whose_process_has_gone_ends_the_run(launch: Callable[[str], Launched]) -> None:
    run = launch("quick")
    run.wait_until(SUCCESS)
    other = run.instance.create_run_for_job(
        ReconstructableJob.for_file(str(JOBS), "long").get_definition(), tags={WORKER_TAG: run.run.tags[WORKER_TAG]}
    )
    assert run.instance.run_launcher.terminate(other.run_id)
    assert run.instance.get_run_by_id(other.run_id).status is CANCELED


def test_ending_a_finished_run_does_nothing(launch: Callable[[str], Launched]) -> None:
    run = launch("quick")
    run.wait_until(SUCCESS)
    assert not run.instance.run_launcher.terminate(run.run_id)
    assert run.run.status is SUCCESS


def test_health_tells_a_running_process_from_one_that_has_gone(launch: Callable[[str], Launched]) -> None:
    run = launch("long")
    run.wait_for_note()
    stranger = ForkServerRunLauncher()  # as another process, or the same one after a restart, would ask
    assert run.instance.run_launcher.check_run_worker_health(run.run).status is WorkerStatus.RUNNING
    assert stranger.check_run_worker_health(run.run).status is WorkerStatus.RUNNING
    os.kill(run.worker["pid"], signal.SIGKILL)
    run.wait_until(FAILURE)
    assert stranger.check_run_worker_health(run.run).status is WorkerStatus.NOT_FOUND


def test_a_process_id_that_was_given_to_somebody_else_is_not_taken_for_the_run(
    launch: Callable[[str], Launched],
) -> None:
    run = launch("quick")
    run.wait_until(SUCCESS)
    tag = json.dumps(run.worker | {"pid": os.getpid()})  # this test's process, which was started at another time
    reused = run.instance.create_run_for_job(
        ReconstructableJob.for_file(str(JOBS), "quick").get_definition(), tags={WORKER_TAG: tag}
    )
    assert ForkServerRunLauncher().check_run_worker_health(reused).status is WorkerStatus.NOT_FOUND


def test_a_run_of_another_host_is_left_alone(launch: Callable[[str], Launched]) -> None:
    run = launch("quick")
    run.wait_until(SUCCESS)
    tag = json.dumps(run.worker | {"host": "elsewhere"})
    other = run.instance.create_run_for_job(
        ReconstructableJob.for_file(str(JOBS), "quick").get_definition(), tags={WORKER_TAG: tag}
    )
    assert run.instance.run_launcher.check_run_worker_health(other).status is WorkerStatus.RUNNING
    assert not run.instance.run_launcher.terminate(other.run_id)


def test_no_run_outlives_the_process_that_launched_it(tmp_path: Path) -> None:
    write_instance(tmp_path / "home")
    command = [
        sys.executable,
        str(JOBS.with_name("launch_and_wait.py")),
        str(tmp_path / "home"),
        str(tmp_path / "note"),
    ]
    with subprocess.Popen(command) as launcher:
        note, deadline = tmp_path / "note", time.monotonic() + PATIENCE_S
        while not (note.exists() and note.read_text()):
            assert launcher.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        launcher.kill()
    run_pid = int(note.read_text())
    while Path(f"/proc/{run_pid}").exists():
        assert time.monotonic() < deadline, f"process {run_pid} of the run is still there"
        time.sleep(0.05)
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert [run.status for run in instance.get_runs()] == [FAILURE]


def test_the_warmed_calendar_is_the_one_that_runs_ask_for() -> None:
    assert warm.FIRST_DAY == calendar.FIRST_DAY
