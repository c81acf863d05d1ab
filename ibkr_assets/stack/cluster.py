"""Runs on other machines: Dagster's runs as Celery tasks, taken by workers that load the same code location.

What goes here: the launcher that hands runs over and asks after them, and the worker that takes them. What does not:
runs on this machine (`stack.launcher`). A worker decides and computes; it holds no right to send an order, as no
process of Dagster's does.

Celery answers for the tasks and Redis carries them (docs/decisions/0041-runs-on-other-machines.md).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery.signals import worker_process_init
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value, unpack_value
from dagster_celery.config import DEFAULT_CONFIG, TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.make_app import make_app
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

if TYPE_CHECKING:
    from celery import Celery
    from dagster import DagsterRun

QUEUE = "dagster"
#: How long a worker has to answer, and how often it is asked before it counts as gone.
PING_S = 5.0
PINGS = 2
#: Runs that one process of a worker executes before a fresh one takes its place, so that no memory piles up.
RUNS_A_PROCESS = 20


class ClusterRunLauncher(CeleryRunLauncher):
    """Hands each run to a worker. Named in `dagster.yaml` under `run_launcher`, with `broker` and `backend`.

    A worker that dies with its machine can tell nobody, so the worker of a run that has begun is asked itself.
    """

    @property
    def supports_resume_run(self) -> bool:
        """False: a run that was cut off is failed, and begun again by whoever asked for it, as on one machine."""
        return False

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put the run into the queue of the workers. The library's own way registers the task anew with each run."""
        run = context.dagster_run
        if run.job_code_origin is None:
            raise ValueError(f"run {run.run_id} does not say where its code is")
        arguments = ExecuteRunArgs(
            job_origin=run.job_code_origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        )
        task = self.celery.signature(
            TASK_EXECUTE_JOB_NAME, kwargs={"execute_job_args_packed": pack_value(arguments)}, immutable=True
        )
        self._launch_celery_task_run(run=run, task_signature=task, routing_key=TASK_EXECUTE_JOB_NAME)

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run, wherever it is. False where there was nothing to end."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's worker still has it; one that nobody has taken yet waits."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the run was not handed over")
        found = super().check_run_worker_health(run)
        if found.status is not WorkerStatus.RUNNING:
            return found
        told: Any = self.celery.AsyncResult(task_id).info
        worker = told.get("hostname") if isinstance(told, dict) else None
        if worker is None or self._answers(worker):
            return found
        return CheckRunHealthResult(WorkerStatus.FAILED, f"worker {worker} does not answer", run_worker_id=worker)

    def _answers(self, worker: str) -> bool:
        return any(self.celery.control.ping(destination=[worker], timeout=PING_S, limit=1) for _ in range(PINGS))


def worker_app(broker_url: str) -> Celery:
    """The Celery application of a worker. Results and tasks are JSON: nothing that is received is unpickled."""
    settings = {
        **DEFAULT_CONFIG,
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "worker_max_tasks_per_child": RUNS_A_PROCESS,
        "worker_hijack_root_logger": False,
        # A run that waits stays in the queue: one that a busy worker had laid aside would be lost with its machine, and
        # nobody could tell until its start is overdue.
        "worker_disable_prefetch": True,
    }
    arguments = {"broker": broker_url, "backend": broker_url, "config_source": settings}
    app: Celery = make_app(arguments)  # type: ignore[no-untyped-call]
    app.task(name=TASK_EXECUTE_JOB_NAME, track_started=True)(execute_run)
    return app


def execute_run(execute_job_args_packed: Any) -> int:
    """A task: execute one run in this process. The library's own opens a connection for each statement."""
    from dagster import DagsterInstance
    from dagster._cli.api import _execute_run_command_body

    from ibkr_assets.stack.launcher import keep_connections

    arguments = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
    with DagsterInstance.get() as instance:
        keep_connections(instance)
        return _execute_run_command_body(arguments.run_id, instance, lambda _event: None, set_exit_code_on_failure=True)


def run_worker(broker_url: str, *, name: str, processes: int) -> None:
    """Take runs until stopped, `processes` at a time. SIGTERM lets what runs come to its end first."""
    import importlib

    from ibkr_assets.backtest.compiled import prepare
    from ibkr_assets.stack.launcher import PRELOADED

    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "100")  # as `stack.launcher` sets it
    prepare()  # in the parent, like what follows, so that each process begins warm
    for module in PRELOADED:
        importlib.import_module(module)
    worker_process_init.connect(_forget_edited_code, weak=False)
    worker_app(broker_url).worker_main(
        [
            "worker", f"--queues={QUEUE}", f"--concurrency={processes}", f"--hostname={name}@%h", "--loglevel=INFO",
            "--without-gossip", "--without-mingle",
        ]
    )  # fmt: skip


def _forget_edited_code(**_: object) -> None:
    from ibkr_assets.stack.own_code import own_code

    own_code.forget_when_edited()
