"""One MLflow run for each Dagster run, in the experiment of its strategy, ended as the Dagster run ended.

What goes here: the resource that opens the run, and the two ways in which it is closed: by the resource when the run
winds up, which needs no daemon, and by a sensor for each way a run can end, which sees also those that were killed.
What does not: how MLflow is spoken to (`adapters.mlflow`). An MLflow that is away never stops a run.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from ibkr_assets import bootstrap
from ibkr_assets.defs.resources import SettingsInForce
from ibkr_assets.defs.run_config import strategy_of
from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.mlflow import MlflowTracker, Part
    from ibkr_assets.adapters.postgres.views.llm import KeptCall
    from ibkr_assets.domain.lineage import Version
    from ibkr_assets.domain.signal import Signal

ENDS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


@dataclass(frozen=True)
class Tracked:
    """The MLflow run of a Dagster run, if there is one, and a word on it: its page, or why there is none."""

    run_id: str | None
    word: str

    @property
    def page(self) -> str | None:
        """The run's page without its server, whose address may be another one tomorrow."""
        return self.word.partition("#")[2] or None if self.word.startswith("http") else None


def rests_on(version: "Version", signals: "Sequence[Signal]") -> dict[str, str]:
    """What a run's decisions rest on, as parameters: code, settings, features, and the exact bar versions together."""
    lines = sorted(f"{s.strategy_id}|{s.conid}|{s.session_date}|{s.input_digest}" for s in signals)
    return {
        "code_sha256": version.code_sha256,
        "config_sha256": version.config_sha256,
        "package_version": version.package_version,
        "git_commit": version.git_commit or "none",
        "feature_digest": ",".join(sorted({s.feature_digest for s in signals})) or "none",
        "data_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


class Mlflow(dg.ConfigurableResource[Any]):
    """Experiment tracking; without a server in the settings there is none, and runs say so.

    MLflow is spoken to in a thread of its own, one call after the other, while the run goes on: most of such a call
    is waiting. What went wrong there is a warning in the run's log when the run winds up.
    """

    settings: dg.ResourceDependency[SettingsInForce]
    #: By strategy: one tick may close the runs of several.
    _trackers: dict[str | None, Any] = PrivateAttr(default_factory=dict)
    _worker: Any = PrivateAttr(default=None)
    _opening: Any = PrivateAttr(default=None)
    _logging: list[Any] = PrivateAttr(default_factory=list)

    def tracker(self, run: dg.DagsterRun) -> "MlflowTracker | None":
        """The tracker of the run's strategy, or of all where it has not one; None where no server is named."""
        strategy_id = strategy_of(run)
        if strategy_id not in self._trackers:
            self._trackers[strategy_id] = bootstrap.tracker(self.settings.get(), strategy_id)
        tracker: MlflowTracker | None = self._trackers[strategy_id]
        return tracker

    def begin(self, run: dg.DagsterRun, tags: Mapping[str, str] | None = None, name: str = "") -> None:
        """Begin to open the one MLflow run of this Dagster run, if that has not begun.

        Without a `name` it has that of the job and the session.
        """
        if self._opening is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="mlflow")
            self._opening = self._worker.submit(self._open, run, dict(tags or {}), name)

    def tracked(self, run: dg.DagsterRun) -> Tracked:
        """The MLflow run, once it is open, or why there is none."""
        self.begin(run)
        tracked: Tracked = self._opening.result()
        return tracked

    def log(
        self,
        run: dg.DagsterRun,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Add to the run's MLflow run, in the background."""
        self.begin(run)
        self._logging.append(self._worker.submit(self._log, run, dict(metrics), dict(params or {}), dict(files or {})))

    def log_parts(self, run: dg.DagsterRun, parts: "Sequence[Part]") -> None:
        """Give parts of the run's work runs of their own below its MLflow run, in the background."""
        self.begin(run)
        self._logging.append(self._worker.submit(self._log_parts, run, list(parts)))

    def trace(self, run: dg.DagsterRun, calls: "Sequence[KeptCall]", pictures: Mapping[str, bytes]) -> None:
        """Trace requests to a language model, and keep what it saw, in the background."""
        self.begin(run)
        self._logging.append(self._worker.submit(self._trace, run, list(calls), dict(pictures)))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Wait for what is under way, then close the run as far as this process knows how it ended."""
        if self._opening is None:
            return
        self._worker.shutdown(wait=True)
        problems = [problem for logged in self._logging if (problem := logged.result()) is not None]
        tracked: Tracked = self._opening.result()
        run, instance = context.run, context.instance
        end = None if run is None or instance is None or tracked.run_id is None else _end_so_far(instance, run)
        if run is not None and end is not None:
            from ibkr_assets.adapters.mlflow import RunEnd

            try:
                tracker = self.tracker(run)
                assert tracker is not None
                tracker.close_run(run.run_id, RunEnd(end))
            except Unavailable as error:
                problems.append(f"the MLflow run stays open: {error}")
        if context.log is not None:
            for problem in problems:
                context.log.warning("tracking: %s", problem)

    def _open(self, run: dg.DagsterRun, tags: dict[str, str], name: str) -> Tracked:
        tracker = self.tracker(run)
        if tracker is None:
            return Tracked(None, "no tracking server is named (mlflow.tracking_uri)")
        day = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start", "")
        try:
            run_id = tracker.open_run(name or f"{run.job_name} {day}".strip(), dagster_run_id=run.run_id, tags=tags)
        except Unavailable as error:
            return Tracked(None, f"not reachable: {error}")
        except ConfigurationError as error:
            return Tracked(None, str(error))
        return Tracked(run_id, tracker.url_of(run_id) or f"run {run_id}")

    def _log(
        self, run: dg.DagsterRun, metrics: dict[str, float], params: dict[str, str], files: dict[str, bytes]
    ) -> str | None:
        """Runs after the opening. Returns what is not there now, in words."""
        tracked, tracker = self._opening.result(), self.tracker(run)
        if tracker is None or tracked.run_id is None:
            return None  # said already, by the check `run_is_tracked`
        try:
            left_out = tracker.log(tracked.run_id, metrics=metrics, params=params)
            for name, content in files.items():
                tracker.log_file(tracked.run_id, name, content)
        except Unavailable as error:
            return str(error)
        return f"metrics that are not finite are left out: {', '.join(left_out)}" if left_out else None

    def _log_parts(self, run: dg.DagsterRun, parts: "list[Part]") -> str | None:
        """As `_log`; the work of a part is done when it is told of."""
        from ibkr_assets.adapters.mlflow import RunEnd

        tracked, tracker = self._opening.result(), self.tracker(run)
        if tracker is None or tracked.run_id is None:
            return None
        try:
            tracker.log_parts(tracked.run_id, parts, RunEnd.FINISHED)
        except Unavailable as error:
            return str(error)
        return None

    def _trace(self, run: dg.DagsterRun, calls: "list[KeptCall]", pictures: dict[str, bytes]) -> str | None:
        """As `_log`."""
        tracked, tracker = self._opening.result(), self.tracker(run)
        if tracker is None or tracked.run_id is None:
            return None
        try:
            tracker.log_calls(tracked.run_id, calls)
            for name, content in pictures.items():
                tracker.log_file(tracked.run_id, name, content)
        except Unavailable as error:
            return str(error)
        return None


def _end_so_far(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """How a run has ended, judged by its steps: resources are wound up before the run's own end is known."""
    current = instance.get_run_by_id(run.run_id)
    if current is not None and current.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED):
        return "KILLED"
    stats: Any = instance.get_run_stats(run.run_id)
    if stats.steps_failed:
        return "FAILED"
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return "FINISHED" if stats.steps_succeeded >= len(plan.step_keys_to_execute) else None


def _closer(status: dg.DagsterRunStatus, end: str) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"mlflow_close_{end.lower()}",
        run_status=status,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description=f"Marks the MLflow run {end} when its Dagster run has ended as {status.value}.",
    )
    def close(context: dg.RunStatusSensorContext, mlflow: Mlflow) -> dg.SkipReason | None:
        tracker = mlflow.tracker(context.dagster_run)
        if tracker is None:
            return dg.SkipReason("no tracking server is named (mlflow.tracking_uri)")
        from ibkr_assets.adapters.mlflow import RunEnd

        tracker.close_run(context.dagster_run.run_id, RunEnd(end))
        return None

    return close


closers = [_closer(status, end) for status, end in ENDS.items()]
