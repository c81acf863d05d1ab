"""How Dagster's runs went, in figures: how many of each status, how many ended well, how long they take.

What goes here: counting. What does not: runs one by one (`dagster_pages`) and the webserver's failures (`dagster_api`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ibkr_assets.adapters.dagster_api import DagsterApi
from ibkr_assets.domain.errors import StackFailure

_WEEK = """
query($f: RunsFilter, $n: Int, $c: String) { runsOrError(filter: $f, limit: $n, cursor: $c) {
  __typename ... on Runs { results { runId status startTime endTime } } ... on PythonError { message } } }"""
_PAGE = 500
_MOST_COUNTED = 2000
_STATUSES = ("QUEUED", "STARTED", "SUCCESS", "FAILURE", "CANCELED")
_COUNTS = (
    "{"
    + " ".join(f"{s}: runsOrError(filter: {{statuses: [{s}]}}) {{ ... on Runs {{ count }} }}" for s in _STATUSES)
    + "}"
)


def run_figures(api: DagsterApi, since: datetime) -> dict[str, Any]:
    """Runs created since (aware): `ended`, `succeeded` of them, and `p95_s`, what 95 of 100 of those took at most.

    Of the newest `_MOST_COUNTED`; `waiting` and `running` are of all runs.
    """
    found: list[Mapping[str, Any]] = []
    while len(found) < _MOST_COUNTED:
        answer = api.ask(
            _WEEK, f={"createdAfter": since.timestamp()}, n=_PAGE, c=found[-1]["runId"] if found else None
        )["runsOrError"]
        if answer["__typename"] != "Runs":
            raise StackFailure(f"Dagster does not count its runs: {answer.get('message', answer['__typename'])}")
        found += answer["results"]
        if len(answer["results"]) < _PAGE:
            break
    ended = [run for run in found if run["status"] in ("SUCCESS", "FAILURE", "CANCELED")]
    took = sorted(run["endTime"] - run["startTime"] for run in ended if run["startTime"] and run["endTime"])
    counts = count_runs(api)
    return {
        "ended": len(ended),
        "succeeded": sum(run["status"] == "SUCCESS" for run in ended),
        "p95_s": took[math.ceil(0.95 * len(took)) - 1] if took else None,
        "waiting": counts["queued"],
        "running": counts["started"],
    }


def count_runs(api: DagsterApi) -> dict[str, int]:
    """How many runs there are of each status, in lower case."""
    answer = api.ask(_COUNTS)
    return {status.lower(): int(answer[status]["count"]) for status in _STATUSES}
