"""One MLflow run for each Dagster run, ended as the Dagster run ended.

What goes here: the resource that opens the run, and the two ways in which it is closed: by the resource when the run
winds up, which needs no daemon, and by a sensor for each way a run can end, which sees also those that were killed.
What does not: how MLflow is spoken to (`adapters.mlflow`). An MLflow that is away never stops a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from ibkr_assets import bootstrap
from ibkr_assets.defs.resources import SettingsInForce
from ibkr_assets.domain.errors import Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.mlflow import MlflowTracker

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


class Mlflow(dg.ConfigurableResource[Any]):
    """Experiment tracking; without a server in the settings there is none, and runs say so."""

    settings: dg.ResourceDependency[SettingsInForce]
    _tracker: Any = PrivateAttr(default=None)
    _tracked: Any = PrivateAttr(default=None)

    def tracker(self) -> "MlflowTracker | None":
        """The tracker, or None where no server is named."""
        if self._tracker is None:
            self._tracker = bootstrap.tracker(self.settings.get())
        tracker: MlflowTracker | None = self._tracker
        return tracker

    def open_run(self, run: dg.DagsterRun, tags: Mapping[str, str] | None = None) -> Tracked:
        """The one MLflow run of this Dagster run, opened where there is none yet."""
        if self._tracked is None:
            self._tracked = self._open(run, tags or {})
        tracked: Tracked = self._tracked
        return tracked

    def log(
        self,
        run: dg.DagsterRun,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Tracked:
        """Add to the run's MLflow run; when the server has gone since it was opened, the word says so."""
        tracked = self.open_run(run)
        tracker = self.tracker()
        if tracker is None or tracked.run_id is None:
            return tracked
        try:
            left_out = tracker.log(tracked.run_id, metrics=metrics, params=params)
            for name, content in (files or {}).items():
                tracker.log_file(tracked.run_id, name, content)
        except Unavailable as error:
            self._tracked = Tracked(None, f"not reachable: {error}")
            return Tracked(tracked.run_id, f"{tracked.word}, but not everything is there: {error}")
        return Tracked(tracked.run_id, tracked.word + (f", without {', '.join(left_out)}" if left_out else ""))

    def _open(self, run: dg.DagsterRun, tags: Mapping[str, str]) -> Tracked:
        tracker = self.tracker()
        if tracker is None:
            return Tracked(None, "no tracking server is named (mlflow.tracking_uri)")
        day = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start", "")
        try:
            run_id = tracker.open_run(f"{run.job_name} {day}".strip(), dagster_run_id=run.run_id, tags=tags)
        except Unavailable as error:
            return Tracked(None, f"not reachable: {error}")
        return Tracked(run_id, tracker.url_of(run_id) or f"run {run_id}")

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the run as far as this process knows how it ended; what is still going stays open."""
        run, instance = context.run, context.instance
        if self._tracked is None or self._tracked.run_id is None or run is None or instance is None:
            return
        end = _end_so_far(instance, run)
        if end is None:
            return
        from ibkr_assets.adapters.mlflow import RunEnd

        try:
            self._tracker.close_run(run.run_id, RunEnd(end))
        except Unavailable as error:
            if context.log is not None:
                context.log.warning("The MLflow run stays open: %s", error)


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
        tracker = mlflow.tracker()
        if tracker is None:
            return dg.SkipReason("no tracking server is named (mlflow.tracking_uri)")
        from ibkr_assets.adapters.mlflow import RunEnd

        tracker.close_run(context.dagster_run.run_id, RunEnd(end))
        return None

    return close


closers = [_closer(status, end) for status, end in ENDS.items()]
