"""What is asked of Dagster's webserver, over GraphQL: launch a run, follow it, count runs, switch sensors on.

The words are Dagster's; what a run does is defined in `defs`. What pages show of runs is in `dagster_pages`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Any, Self

import httpx

from ibkr_assets.domain.errors import StackFailure, Unavailable

REPOSITORY = "__repository__"
#: What the platform's code location is called, in every workspace file.
LOCATION = "ibkr_assets"
_ENDED_WELL = "SUCCESS"
_ENDED_BADLY = ("FAILURE", "CANCELED")

_LAUNCH = """
mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on PipelineNotFoundError { message }
  ... on PythonError { message }
} }"""
_STATUS = "query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"
_ERROR = """
query($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events {
  ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } }
  ... on RunFailureEvent { message error { message } }
} } } }"""
_RUNS = """
query($f: RunsFilter, $n: Int, $c: String) { runsOrError(filter: $f, limit: $n, cursor: $c) {
  __typename ... on Runs { results { runId status tags { key value } } }
} }"""
_START_SENSOR = """
mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename ... on PythonError { message } } }"""
_START_SCHEDULE = """
mutation($s: ScheduleSelector!) { startSchedule(scheduleSelector: $s) { __typename ... on PythonError { message } } }"""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Dagster lists it."""

    run_id: str
    status: str
    tags: Mapping[str, str]

    @property
    def is_success(self) -> bool:
        """True when it ended well."""
        return self.status == _ENDED_WELL

    @property
    def is_over(self) -> bool:
        """True when it ended, well or badly."""
        return self.status == _ENDED_WELL or self.status in _ENDED_BADLY


class DagsterApi:
    """A webserver and one code location behind it. Use as a context manager.

    Raises Unavailable when the webserver does not answer, StackFailure when it answers that something cannot be.
    """

    def __init__(self, url: str, location: str, *, timeout_s: float = 60.0) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)
        self._location = location

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def launch(
        self,
        job: str,
        *,
        partition: date | tuple[date, date] | None,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        assets: Sequence[str] = (),
    ) -> str:
        """Ask for a run of an asset job, or of some of its assets; returns its id.

        `partition` is a session, or the first and the last of several in a row, which one run then does.
        """
        selected = {"assetSelection": [{"path": [asset]} for asset in assets]} if assets else {}
        partition_tags = _partition_tags(partition)
        all_tags = {**tags, **partition_tags}
        answer = self.ask(
            _LAUNCH,
            p={
                "selector": self.selector("jobName", job) | selected,
                "runConfigData": config,
                "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in all_tags.items()]},
            },
        )["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reason = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", ()))
            what = " ".join([job, *partition_tags.values()])
            raise StackFailure(f"Dagster did not launch {what}: {answer['__typename']}: {reason}")
        return str(answer["run"]["runId"])

    def status(self, run_id: str) -> Run:
        """The run as it stands, without its tags."""
        answer = self.ask(_STATUS, id=run_id)["runOrError"]
        if answer["__typename"] != "Run":
            raise StackFailure(f"Dagster does not know run {run_id}: {answer['__typename']}")
        return Run(run_id, answer["status"], {})

    def why_failed(self, run_id: str) -> str:
        """The first error of a run, in one line: the step, and the innermost cause that is known."""
        events = self.ask(_ERROR, id=run_id)["logsForRun"].get("events", ())
        for event in events:
            error = event.get("error")
            if error is not None:
                cause = error.get("cause") or error
                step = f"{event['stepKey']}: " if event.get("stepKey") else ""
                return step + " ".join(str(cause["message"]).split())
        return "no error on record; the run's process was killed or could not start"

    def runs(self, job: str, tags: Mapping[str, str]) -> list[Run]:
        """All runs of a job that carry these tags, newest first."""
        wanted = {"pipelineName": job, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        found: list[Run] = []
        while True:
            cursor = found[-1].run_id if found else None
            answer = self.ask(_RUNS, f=wanted, n=_PAGE, c=cursor)["runsOrError"]
            if answer["__typename"] != "Runs":
                raise StackFailure(f"Dagster does not list the runs of {job}: {answer['__typename']}")
            page = answer["results"]
            found += [
                Run(run["runId"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in page
            ]
            if len(page) < _PAGE:
                return found

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on; one that is on already stays on."""
        self._start(_START_SENSOR, "startSensor", "sensorName", name)

    def start_schedule(self, name: str) -> None:
        """Switch a schedule on; one that is on already stays on."""
        self._start(_START_SCHEDULE, "startSchedule", "scheduleName", name)

    def _start(self, mutation: str, field: str, key: str, name: str) -> None:
        answer = self.ask(mutation, s=self.selector(key, name))[field]
        if answer["__typename"].endswith("Error"):
            raise StackFailure(f"Dagster did not switch {name} on: {answer.get('message', answer['__typename'])}")

    def selector(self, key: str, name: str) -> dict[str, str]:
        """How Dagster names a job, a sensor or a schedule of this code location."""
        return {"repositoryName": REPOSITORY, "repositoryLocationName": self._location, key: name}

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of an answer. Raises as the class says."""
        try:
            answer = self._client.post("/graphql", json={"query": query, "variables": variables})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(f"Dagster at {self._client.base_url}: {type(error).__name__}: {error}") from None
        body: dict[str, Any] = answer.json()
        if body.get("errors"):
            raise StackFailure(f"Dagster refused a question: {body['errors'][0]['message']}")
        data: dict[str, Any] = body["data"]
        return data


def count_ends(runs: list[Run]) -> dict[str, int]:
    """How many runs ended well and badly."""
    ends = Counter("success" if run.is_success else "failure" for run in runs if run.is_over)
    return {"success": ends["success"], "failure": ends["failure"]}


def _partition_tags(partition: date | tuple[date, date] | None) -> dict[str, str]:
    """Dagster's tags for a run of one partition, or of a range of them."""
    if partition is None:
        return {}
    if isinstance(partition, tuple):
        first, last = partition
        return {
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        }
    return {"dagster/partition": partition.isoformat()}
