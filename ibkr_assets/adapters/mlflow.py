"""Experiment tracking on an MLflow server: one MLflow run for each Dagster run, ended with the true status.

What goes here: what is said to MLflow and how. What does not: what is worth tracking (`defs`), and when a run has
ended (`defs.tracking`). Nothing that trades depends on it: when the server is away, `Unavailable` says so within
seconds and the caller goes on. MLflow's fluent interface is not used: it keeps the "active run" in the process and
marks it finished when the process ends, whatever happened (docs/decisions/0006-tracking.md).
"""

from __future__ import annotations

import math
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.views.llm import KeptCall

#: The tag by which a Dagster run finds its MLflow run again.
DAGSTER_RUN_TAG = "dagster_run_id"
#: The tag that says which metrics could not be logged.
LEFT_OUT_TAG = "metrics_left_out"

#: The tag by which a run says which process works on it, as host:pid.
PROCESS_TAG = "process"

#: By this tag MLflow shows a run below another.
PARENT_TAG = "mlflow.parentRunId"

#: Set unless somebody has: MLflow's own retries keep a caller for minutes, it reports its use to its makers, and it
#: prints an address whenever a run ends.
SWITCHES = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_PROBE_TIMEOUT_S = 3.0
_LONGEST_PARAM = 6000
_METRICS_A_BATCH = 800
_PARAMS_A_BATCH = 100  # of 1,000 things in a call


class RunEnd(StrEnum):
    """How a run ended, in MLflow's words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Part(NamedTuple):
    """A part of a run's work with a run of its own: its name, and its figures where they are known."""

    name: str
    metrics: Mapping[str, float | None]
    params: Mapping[str, Any]


def experiment_of(experiment: str, strategy_id: str | None) -> str:
    """The experiment of one strategy, beside that of everything else."""
    return experiment if strategy_id is None else f"{experiment}/{strategy_id}"


class MlflowTracker:
    """Runs of one experiment on one tracking server.

    `lock(name)` gives a context manager that holds a lock of that name among all processes; MLflow has no unique
    key of its own, so without a lock two processes of one Dagster run could open two MLflow runs.
    Every method raises Unavailable when the server cannot be reached or does not do what it is asked.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        lock: Callable[[str], AbstractContextManager[object]] = lambda _name: nullcontext(),
    ) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self._lock = lock
        self._client: Any = None
        self._experiment_id: str | None = None
        self._open: dict[str, str] = {}

    def open_run(self, name: str, *, dagster_run_id: str, tags: Mapping[str, str]) -> str:
        """The id of the one MLflow run of this Dagster run, opened when there is none yet."""
        with self._answering() as client, self._lock(f"mlflow:{dagster_run_id}"):
            experiment_id = self._find_experiment(client)
            found = self._find_runs(client, experiment_id, dagster_run_id)
            if found:
                return str(found[0].info.run_id)
            all_tags = {**tags, DAGSTER_RUN_TAG: dagster_run_id}
            run_id = str(client.create_run(experiment_id, run_name=name, tags=all_tags).info.run_id)
        self._open[dagster_run_id] = run_id
        return run_id

    def log(
        self, run_id: str, *, metrics: Mapping[str, float] | None = None, params: Mapping[str, str] | None = None
    ) -> list[str]:
        """Log metrics and parameters, together where they fit. Returns the metrics that were left out.

        Those are the ones that are not finite, which MLflow cannot carry; a tag of the run names them. A parameter
        is cut at 6,000 characters; MLflow refuses another value for one that is there.
        """
        metrics = metrics or {}
        left_out = sorted(key for key, value in metrics.items() if not math.isfinite(value))
        with self._answering() as client:
            from mlflow.entities import Metric, Param, RunTag

            now_ms = int(time.time() * 1000)
            numbers = [Metric(_key(k), float(v), now_ms, 0) for k, v in metrics.items() if math.isfinite(v)]
            words = [Param(_key(key), str(value)[:_LONGEST_PARAM]) for key, value in (params or {}).items()]
            tags = [RunTag(LEFT_OUT_TAG, f"{len(left_out)} not finite: {', '.join(left_out)}")] if left_out else []
            while numbers or words or tags:
                client.log_batch(run_id, numbers[:_METRICS_A_BATCH], words[:_PARAMS_A_BATCH], tags)
                numbers, words, tags = numbers[_METRICS_A_BATCH:], words[_PARAMS_A_BATCH:], []
        return left_out

    def log_file(self, run_id: str, name: str, content: bytes) -> None:
        """Store `content` as an artifact of the run under the file name `name`."""
        with self._answering() as client, tempfile.TemporaryDirectory(prefix="ibkr_assets_") as directory:
            path = Path(directory) / name
            path.write_bytes(content)
            client.log_artifact(run_id, str(path))

    def log_parts(self, run_id: str, parts: Sequence[Part], end: RunEnd) -> None:
        """Show each part as a run of its own below `run_id`, ended as `end`; one of its name is gone on with."""
        with self._answering() as client:
            experiment_id = self._find_experiment(client)
            below = client.search_runs([experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'", max_results=1000)
            known = {run.info.run_name: str(run.info.run_id) for run in below}
            for part in parts:
                part_id = known.get(part.name)
                if part_id is None:
                    tags = {PARENT_TAG: run_id, "run_kind": "part"}
                    part_id = str(client.create_run(experiment_id, run_name=part.name, tags=tags).info.run_id)
                figures = {name: value for name, value in part.metrics.items() if value is not None}
                self.log(part_id, metrics=figures, params={name: str(value) for name, value in part.params.items()})
                client.set_terminated(part_id, status=str(end))

    def log_calls(self, run_id: str, calls: Sequence[KeptCall]) -> None:
        """Trace requests to a language model under the run."""
        from ibkr_assets.adapters.mlflow_traces import log_traces

        with self._answering() as client:
            log_traces(client, self._find_experiment(client), run_id, calls)

    def close_run(self, dagster_run_id: str, end: RunEnd) -> bool:
        """End the run of this Dagster run, or correct how it ended. False when there was nothing to change."""
        with self._answering() as client:
            if (run_id := self._open.pop(dagster_run_id, None)) is not None:  # opened here, and still going
                client.set_terminated(run_id, status=str(end))
                return True
            experiment_id = self._find_experiment(client)
            runs = [r for r in self._find_runs(client, experiment_id, dagster_run_id) if r.info.status != end]
            for run in runs:
                client.set_terminated(run.info.run_id, status=str(end))
        return bool(runs)

    def close_lost(self, is_alive: Callable[[str], bool]) -> int:
        """End as KILLED the runs of this experiment whose process is not there any more. Returns how many.

        A run says in its tag `process` which it is; one without the tag is somebody else's to end.
        """
        with self._answering() as client:
            running = f"attributes.status = 'RUNNING' and tags.{PROCESS_TAG} LIKE '%'"
            found = client.search_runs([self._find_experiment(client)], running)
            lost = [run for run in found if not is_alive(run.data.tags[PROCESS_TAG])]
            for run in lost:
                client.set_terminated(run.info.run_id, status=str(RunEnd.KILLED))
        return len(lost)

    def url_of(self, run_id: str) -> str | None:
        """The page of a run, or None where the tracking URI is no web server."""
        if not self.tracking_uri.startswith(("http://", "https://")) or self._experiment_id is None:
            return None
        return f"{self.tracking_uri.rstrip('/')}/#/experiments/{self._experiment_id}/runs/{run_id}"

    def runs_where(self, condition: str) -> list[dict[str, Any]]:
        """Runs of every experiment that meet MLflow's own `condition`: run_id, name, url and params, newest first."""
        found: list[dict[str, Any]] = []
        with self._answering() as client:
            experiments = [one.experiment_id for one in client.search_experiments()]
            token: str | None = None
            while experiments:
                page = client.search_runs(experiments, filter_string=condition, max_results=1000, page_token=token)
                for run in page:
                    where = f"{self.tracking_uri.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs"
                    is_served = self.tracking_uri.startswith(("http://", "https://"))
                    found.append({"run_id": run.info.run_id, "name": run.info.run_name, "params": dict(run.data.params),
                                  "url": f"{where}/{run.info.run_id}" if is_served else None})  # fmt: skip
                token = page.token
                if not token:
                    break
        return found

    def _find_experiment(self, client: Any) -> str:
        if self._experiment_id is None:
            from mlflow.exceptions import MlflowException

            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                try:
                    self._experiment_id = str(client.create_experiment(self.experiment))
                except MlflowException:  # another process was quicker
                    found = client.get_experiment_by_name(self.experiment)
                    if found is None:
                        raise
            if found is not None:
                if found.lifecycle_stage != "active":
                    raise ConfigurationError(
                        f"mlflow.experiment: {self.experiment!r} is deleted on {self.tracking_uri}; "
                        "restore it or name another one"
                    )
                self._experiment_id = str(found.experiment_id)
        assert self._experiment_id is not None
        return self._experiment_id

    @staticmethod
    def _find_runs(client: Any, experiment_id: str, dagster_run_id: str) -> list[Any]:
        wanted = f"tags.{DAGSTER_RUN_TAG} = '{dagster_run_id}'"
        return list(client.search_runs([experiment_id], filter_string=wanted, order_by=["start_time ASC"]))

    @contextmanager
    def _answering(self) -> Iterator[Any]:
        """The client, its failures as Unavailable. The first use asks first whether anybody is there at all."""
        if self._client is None:
            self._probe()
            for name, value in SWITCHES.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self.tracking_uri)
        from mlflow.exceptions import MlflowException

        try:
            yield self._client
        except MlflowException as error:
            raise Unavailable(f"MLflow at {self.tracking_uri}: {str(error).splitlines()[0]}") from error
        except OSError as error:
            raise Unavailable(f"MLflow at {self.tracking_uri}: {error}") from error

    def _probe(self) -> None:
        if not self.tracking_uri.startswith(("http://", "https://")):
            return
        url = f"{self.tracking_uri.rstrip('/')}/health"
        try:
            with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S):  # noqa: S310 the scheme is checked above
                pass
        except urllib.error.HTTPError:
            return  # somebody is there; what is wrong shows in the first real call
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(f"MLflow at {self.tracking_uri}: not reachable: {reason}") from None


def _key(text: str) -> str:
    """A name that MLflow accepts: letters, digits and `_-. :/`."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in text)[:250]
