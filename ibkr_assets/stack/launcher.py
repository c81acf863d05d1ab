"""Starts every Dagster run as a forked child of a process that has the heavy libraries loaded already.

What goes here: how a run process starts, is watched, is ended and is found again. What does not: what a run does
(`defs`), and when one starts (the queue of `dagster.yaml`). The platform's own code is kept warm until one of its
files changes (`stack.own_code`), so an edited strategy counts from the next run on.

Dagster's own launcher starts a new interpreter for each run, which imports for two to three seconds first
(docs/decisions/0007-warm-runs.md).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._serdes import ConfigurableClass
from dagster._utils import get_run_crash_explanation

from ibkr_assets.stack.own_code import own_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterInstance
    from dagster._config.config_schema import UserConfigSchema
    from dagster._core.instance.ref import InstanceRef
    from dagster._serdes.config_class import ConfigurableClassData

#: Loaded once, in the fork server, with what they load late. None starts a Python thread or opens a connection.
PRELOADED = (
    "dagster", "dagster._cli.api", "dagster._daemon.cli", "dagster._core.executor.in_process",
    "dagster._core.instance.factory", "dagster._core.instance.runs.run_domain", "dagster._core.storage.root",
    "ibkr_assets.stack.run_output", "dagster_postgres", "upath.implementations.local",
    "psycopg", "psycopg2.extras", "pydantic_settings", "yaml", "httpx", "httpcore", "stamina",
    "numpy", "pandas", "pandas.core.methods.to_dict", "exchange_calendars", "talib",
    "mlflow", "mlflow.tracking.request_header.registry", "matplotlib.figure", "matplotlib.backends.backend_agg",
    "ibkr_assets.stack.warm",
)  # fmt: skip

#: Hidden run tag that says where the run's process is: host, process id and when that process was started.
WORKER_TAG = ".dagster/ibkr_assets_run_worker"

#: How long a statement on Dagster's own database may take.
STATEMENT_TIMEOUT_MS = 60_000

#: How long a run may take to end after the process that launched it has gone.
GRACE_S = 10.0


class ForkServerRunLauncher(RunLauncher["DagsterInstance"], ConfigurableClass):
    """A run launcher for one machine. Named in `dagster.yaml` under `run_launcher`; takes no configuration.

    A run's process reports its own end. One that died without doing so is reported as failed: within a moment by
    the process that launched it, and by Dagster's run monitoring when that one has gone too.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._lock = threading.Lock()
        self._processes: dict[str, Any] = {}
        self._context = multiprocessing.get_context("forkserver")
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration this was made from; Dagster's own bookkeeping."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No configuration."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ForkServerRunLauncher:
        """Make one from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Take the instance; in the daemon, which launches the queued runs, begin to warm up at once."""
        super().register_instance(instance)
        if "dagster-daemon" in sys.argv[0] or "_daemon" in Path(sys.argv[0]).parts:
            self.warm_up()

    def warm_up(self) -> None:
        """Start the fork server and return; it loads its libraries on its own time."""
        self._context.set_forkserver_preload(list(PRELOADED))
        forkserver.ensure_running()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Fork a process that executes the run. Returns as soon as there is one."""
        run_id = context.dagster_run.run_id
        process = self._context.Process(
            target=execute_run, args=(run_id, self._instance.get_ref()), name=f"run {run_id}"
        )
        with self._lock:
            self.warm_up()
            process.start()
            self._processes[run_id] = process
        worker = {"host": socket.gethostname(), "pid": process.pid, "started": _started(process.pid or 0)}
        self._instance.add_run_tags(run_id, {WORKER_TAG: json.dumps(worker)})
        threading.Thread(target=self._watch, args=(run_id, process), name=f"watch {run_id}", daemon=True).start()

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process, whichever process launched it. False where there was nothing to end."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        worker = _worker(run.tags)
        if worker is not None and worker["host"] != socket.gethostname():
            text = f"This run's process is on host {worker['host']}: it must be ended there."
            self._instance.report_engine_event(text, run, cls=type(self))
            return False
        self._instance.report_run_canceling(run)
        if worker is None or not _is_alive(worker):
            self._instance.report_run_canceled(run, "This run's process had gone already.")
            return True
        os.kill(worker["pid"], signal.SIGTERM)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: Dagster's run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: Any) -> CheckRunHealthResult:
        """Whether the run's process is still there. One on another host is taken at its word."""
        with self._lock:
            own = self._processes.get(run.run_id)
            if own is not None and own.exitcode is None:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
        worker = _worker(run.tags)
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the run has no process on record")
        if worker["host"] != socket.gethostname() or _is_alive(worker):
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(worker["pid"]))
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {worker['pid']} has gone")

    def join(self, timeout: int = 30) -> None:
        """Wait for the runs that this process launched. Raises TimeoutError naming those that are still going."""
        deadline = time.monotonic() + timeout
        with self._lock:
            waiting = dict(self._processes)
        while waiting:
            connection.wait([process.sentinel for process in waiting.values()], max(0.0, deadline - time.monotonic()))
            with self._lock:
                waiting = {run_id: process for run_id, process in waiting.items() if process.exitcode is None}
            if waiting and time.monotonic() >= deadline:
                raise TimeoutError(f"runs still going after {timeout} s: {sorted(waiting)}")

    def _watch(self, run_id: str, process: Any) -> None:
        """Wait for the process of one run, and report the run as failed when it ended without a word."""
        connection.wait([process.sentinel])
        with self._lock:  # two readers of one exit code would spoil it
            exit_code = process.exitcode
        if self.has_instance:
            run = self._instance.get_run_by_id(run_id)
            if run is not None and run.status is DagsterRunStatus.CANCELING:
                self._instance.report_run_canceled(run)
            elif run is not None and not run.is_finished:
                text = get_run_crash_explanation(prefix="The process of this run", exit_code=exit_code)
                self._instance.report_engine_event(text, run, cls=type(self))
                self._instance.report_run_failed(run, text)
        with self._lock:
            self._processes.pop(run_id, None)


def execute_run(run_id: str, instance_ref: InstanceRef) -> None:
    """Execute one run in this process, which is the run's own; ends with exit code 0 unless the run was not begun."""
    from dagster import DagsterInstance
    from dagster._cli.api import _execute_run_command_body
    from dagster._core.events import EngineEventData
    from dagster._utils.error import serializable_error_info_from_exc_info
    from dagster._utils.interrupts import capture_interrupts

    own_code.forget_when_edited()
    # A backfill writes an event for each of its partitions: together in Postgres, 25 times as fast as one by one.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "100")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_launcher, name="end with launcher", daemon=True).start()
    with capture_interrupts(), DagsterInstance.from_ref(instance_ref) as instance:
        keep_connections(instance)
        try:
            _execute_run_command_body(run_id, instance, lambda _event: None, set_exit_code_on_failure=False)
        except Exception:
            run = instance.get_run_by_id(run_id)
            if run is not None:
                error = EngineEventData.engine_error(serializable_error_info_from_exc_info(sys.exc_info()))
                instance.report_engine_event("The run could not be begun.", run, error)
            raise


def keep_connections(instance: DagsterInstance) -> None:
    """Have a run's process use its connections to Dagster's database again.

    Dagster's Postgres storage opens one for each statement, 180 in a run of five assets, but for its webserver; this is
    the webserver's way.
    """
    instance.optimize_for_webserver(statement_timeout=STATEMENT_TIMEOUT_MS, pool_recycle=3600, max_overflow=20)


def _end_with_launcher() -> None:
    """Interrupt this process when the one that launched it is gone, so that nothing runs that nobody can see."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _worker(tags: Mapping[str, str]) -> dict[str, Any] | None:
    text = tags.get(WORKER_TAG)
    return json.loads(text) if text else None


def _is_alive(worker: Mapping[str, Any]) -> bool:
    """True when the very process is there, not another one that was given its number later."""
    started = _started(worker["pid"])
    return started is not None and started == worker["started"]


def _started(pid: int) -> str | None:
    """When a process was started, as text to compare; None when it is not there or only waits to be reaped."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    import subprocess

    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() or None if state and not state.startswith("Z") else None
