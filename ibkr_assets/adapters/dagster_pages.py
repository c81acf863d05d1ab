"""What pages show of Dagster: runs with their logs, the state of each asset, schedules and sensors; and their switches.

What goes here: the questions, and their answers as plain values. What does not: the webserver's address and failures
(`dagster_api`). Dagster calls this interface subject to change, so a test holds each question against the version that
is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ibkr_assets.adapters.dagster_api import DagsterApi
from ibkr_assets.domain.errors import InputError, StackFailure

ASSETS = ("raw_bars", "validated_bars", "enriched_features", "signals", "orders")

_RUN = """
fragment R on Run { runId status jobName startTime endTime creationTime canTerminate
  tags { key value } assetSelection { path } stepStats { stepKey status startTime endTime } }"""
_RUNS = (
    """
query($f: RunsFilter, $n: Int, $c: String) { runsOrError(filter: $f, limit: $n, cursor: $c) {
  __typename ... on Runs { results { ...R } } ... on PythonError { message } } }"""
    + _RUN
)
_RUN_OF = "query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { ...R runConfigYaml } } }" + _RUN
_LOGS = """
query($id: ID!, $c: String) { logsForRun(runId: $id, afterCursor: $c, limit: 500) { __typename
  ... on EventConnection { cursor hasMore events { __typename
    ... on MessageEvent { message timestamp level stepKey eventType }
    ... on ExecutionStepFailureEvent { error { message stack cause { message } } }
    ... on RunFailureEvent { error { message } } } }
  ... on PythonError { message } } }"""
_ASSETS = """
query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetKey { path }
  assetMaterializations(limit: 1) { timestamp runId partition }
  assetChecksOrError { ... on AssetChecks { checks { name blocking
    executionForLatestMaterialization { status timestamp evaluation { severity success } } } } } } }"""
_INSTIGATORS = """
query($s: RepositorySelector!) { repositoryOrError(repositorySelector: $s) { __typename
  ... on Repository {
    schedules { name cronSchedule executionTimezone description pipelineName
      scheduleState { status ticks(limit: 1) { status timestamp skipReason error { message } } }
      futureTicks(limit: 1) { results { timestamp } } }
    sensors { name description sensorState { status ticks(limit: 1) { status timestamp skipReason error { message } } }
      targets { pipelineName } } }
  ... on PythonError { message } } }"""
_TERMINATE = """
mutation($id: String!) { terminateRun(runId: $id) { __typename ... on TerminateRunFailure { message }
  ... on RunNotFoundError { message } ... on PythonError { message } } }"""
_RETRY = """
mutation($id: String!, $s: ReexecutionStrategy!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $id, strategy: $s}) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
_STOP_SCHEDULE = """
mutation($id: String!) { stopRunningSchedule(id: $id) { __typename ... on PythonError { message } } }"""
_STOP_SENSOR = "mutation($id: String!) { stopSensor(id: $id) { __typename ... on PythonError { message } } }"
_STATE_IDS = """
query($s: RepositorySelector!) { repositoryOrError(repositorySelector: $s) { ... on Repository {
  schedules { name scheduleState { id status } } sensors { name sensorState { id status } } } } }"""
_PARTITIONS = """
query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { partitionKeys } } }"""
_VERSION = "{ version }"


def list_runs(
    api: DagsterApi, *, limit: int, cursor: str | None = None, status: str | None = None, job: str | None = None
) -> list[dict[str, Any]]:
    """Runs newest first, of one job or of all; `cursor` is the id of the last one of the page before."""
    wanted = ({"statuses": [status]} if status else {}) | ({"pipelineName": job} if job else {})
    answer = api.ask(_RUNS, f=wanted, n=limit, c=cursor)["runsOrError"]
    if answer["__typename"] != "Runs":
        raise StackFailure(f"Dagster does not list its runs: {answer.get('message', answer['__typename'])}")
    return [_run(run) for run in answer["results"]]


def show_run(api: DagsterApi, run_id: str) -> dict[str, Any]:
    """One run. Raises InputError for an id that Dagster does not know."""
    answer = api.ask(_RUN_OF, id=run_id)["runOrError"]
    if answer["__typename"] != "Run":
        raise InputError(f"run: Dagster knows no run {run_id!r}")
    return _run(answer) | {"config": answer["runConfigYaml"]}


def read_log(api: DagsterApi, run_id: str, cursor: str | None) -> dict[str, Any]:
    """Up to 500 events after the cursor: `events`, the next `cursor`, and whether there is `more` already."""
    answer = api.ask(_LOGS, id=run_id, c=cursor)["logsForRun"]
    if answer["__typename"] != "EventConnection":
        raise InputError(f"run: no log of run {run_id!r}: {answer.get('message', answer['__typename'])}")
    return {
        "events": [_event(event) for event in answer["events"]],
        "cursor": answer["cursor"],
        "more": answer["hasMore"],
    }


def asset_states(api: DagsterApi) -> list[dict[str, Any]]:
    """The five assets in order: newest materialisation, and each check's verdict on it."""
    keys = [{"path": [name]} for name in ASSETS]
    nodes = {node["assetKey"]["path"][-1]: node for node in api.ask(_ASSETS, keys=keys)["assetNodes"]}
    return [_asset(name, nodes[name]) for name in ASSETS if name in nodes]


def list_instigators(api: DagsterApi) -> list[dict[str, Any]]:
    """Schedules and sensors with their last tick, schedules with the next one."""
    answer = api.ask(_INSTIGATORS, s=_repository(api))["repositoryOrError"]
    if answer["__typename"] != "Repository":
        raise StackFailure(f"Dagster does not list schedules: {answer.get('message', answer['__typename'])}")
    schedules = [
        _instigator("schedule", row, row["scheduleState"])
        | {
            "when": f"{row['cronSchedule']} {row['executionTimezone']}",
            "job": row["pipelineName"],
            "next_at": next((_moment(tick["timestamp"]) for tick in row["futureTicks"]["results"]), None),
        }
        for row in answer["schedules"]
    ]
    sensors = [
        _instigator("sensor", row, row["sensorState"])
        | {"when": "", "job": ", ".join(target["pipelineName"] for target in row["targets"] or ()), "next_at": None}
        for row in answer["sensors"]
    ]
    return sorted(schedules + sensors, key=lambda row: (row["kind"], row["name"]))


def switch(api: DagsterApi, kind: str, name: str, *, is_on: bool) -> None:
    """Turn a schedule or a sensor on or off. Raises InputError for one that is not there."""
    rows = api.ask(_STATE_IDS, s=_repository(api))["repositoryOrError"]
    field, state = ("schedules", "scheduleState") if kind == "schedule" else ("sensors", "sensorState")
    found = {row["name"]: row[state]["id"] for row in rows[field]}
    if name not in found:
        raise InputError(f"{kind}: there is no {name!r}, only {sorted(found)}")
    if is_on:
        (api.start_schedule if kind == "schedule" else api.start_sensor)(name)
        return
    question, key = (_STOP_SCHEDULE, "stopRunningSchedule") if kind == "schedule" else (_STOP_SENSOR, "stopSensor")
    _expect(api.ask(question, id=found[name])[key], f"switch {name} off")


def terminate(api: DagsterApi, run_id: str) -> None:
    """Ask for the end of a run. Raises StackFailure when Dagster refuses."""
    _expect(api.ask(_TERMINATE, id=run_id)["terminateRun"], f"terminate run {run_id}")


def retry(api: DagsterApi, run_id: str) -> str:
    """Run again what failed of a run; returns the new run's id."""
    answer = api.ask(_RETRY, id=run_id, s="FROM_FAILURE")["launchRunReexecution"]
    _expect(answer, f"run {run_id} again")
    return str(answer["run"]["runId"])


def partition_keys(api: DagsterApi) -> Sequence[str]:
    """The sessions that a run can be launched for, oldest first."""
    return list(api.ask(_PARTITIONS, k={"path": ["raw_bars"]})["assetNodeOrError"]["partitionKeys"])


def version(api: DagsterApi) -> str:
    """Dagster's version."""
    return str(api.ask(_VERSION)["version"])


def _expect(answer: Mapping[str, Any], what: str) -> None:
    if answer["__typename"].endswith(("Error", "Failure", "Invalid")):
        reason = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", ()))
        raise StackFailure(f"Dagster did not {what}: {reason or answer['__typename']}")


def _repository(api: DagsterApi) -> dict[str, str]:
    selector = api.selector("", "")
    return {name: selector[name] for name in ("repositoryName", "repositoryLocationName")}


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    begun, ended = _moment(run["startTime"]), _moment(run["endTime"])
    by = next((name for name in ("schedule_name", "sensor_name", "backfill") if f"dagster/{name}" in tags), None)
    return {
        "run_id": run["runId"],
        "status": run["status"],
        "job": run["jobName"],
        "assets": ["/".join(key["path"]) for key in run["assetSelection"] or ()],
        "partition": tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start"),
        "trigger": f"{by.removesuffix('_name')} {tags[f'dagster/{by}']}" if by else _asker(tags),
        "created_at": _moment(run["creationTime"]),
        "started_at": begun,
        "ended_at": ended,
        "seconds": None if begun is None or ended is None else (ended - begun).total_seconds(),
        "can_terminate": run["canTerminate"],
        "is_over": run["status"] in ("SUCCESS", "FAILURE", "CANCELED"),
        "tags": {name: value for name, value in tags.items() if not name.startswith(".dagster")},
        "steps": [
            {
                "step": step["stepKey"],
                "status": step["status"],
                "seconds": None
                if step["startTime"] is None or step["endTime"] is None
                else step["endTime"] - step["startTime"],
            }
            for step in sorted(run["stepStats"], key=lambda step: step["startTime"] or 0)
        ],
    }


def _asker(tags: Mapping[str, str]) -> str:
    """Who launched a run that Dagster did not ask for by itself."""
    if "ibkr_assets/replay" in tags:
        return "replay"
    return f"by {tags['ibkr_assets/asked_by']}" if "ibkr_assets/asked_by" in tags else "by hand"


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    error = event.get("error")
    return {
        "at": datetime.fromtimestamp(int(event["timestamp"]) / 1000, UTC),
        "level": event["level"],
        "step": event["stepKey"],
        "type": event["eventType"] or event["__typename"],
        "message": event["message"] or (event["eventType"] or event["__typename"]).replace("_", " ").lower(),
        "error": None if error is None else (error.get("cause") or error)["message"],
    }


def _asset(name: str, node: Mapping[str, Any]) -> dict[str, Any]:
    newest = next(iter(node["assetMaterializations"]), None)
    checks = []
    for check in node["assetChecksOrError"].get("checks", ()):
        seen = check["executionForLatestMaterialization"]
        verdict = "never"
        if seen is not None:
            evaluation = seen["evaluation"]
            verdict = {"SUCCEEDED": "passed", "IN_PROGRESS": "running"}.get(seen["status"], "failed")
            if verdict == "failed" and evaluation is not None and evaluation["severity"] == "WARN":
                verdict = "warned"
        checks.append({"name": check["name"], "blocking": check["blocking"], "verdict": verdict})
    return {
        "asset": name,
        "at": None if newest is None else datetime.fromtimestamp(int(newest["timestamp"]) / 1000, UTC),
        "run_id": None if newest is None else newest["runId"],
        "partition": None if newest is None else newest["partition"],
        "checks": checks,
    }


def _instigator(kind: str, row: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    tick = next(iter(state["ticks"]), None)
    return {
        "kind": kind,
        "name": row["name"],
        "description": row["description"],
        "is_on": state["status"] == "RUNNING",
        "tick": None
        if tick is None
        else {
            "at": _moment(tick["timestamp"]),
            "status": tick["status"],
            "why": (tick["error"] or {}).get("message") or tick["skipReason"] or "",
        },
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
