"""Backtests and sweeps wherever they are kept: what Dagster ran is in Postgres, what the command line ran in MLflow.

What goes here: finding runs and their files, each once. What does not: making pictures of them (`dashboard.past`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.mlflow import DAGSTER_RUN_TAG
from ibkr_assets.adapters.postgres.past_runs import PastRun as Stored
from ibkr_assets.adapters.postgres.past_runs import PostgresPastRuns
from ibkr_assets.dashboard.past import parameters_of
from ibkr_assets.dashboard.sources import card
from ibkr_assets.domain.errors import DataError, InputError

if TYPE_CHECKING:
    from ibkr_assets.dashboard.sources import Sources

#: What a run notes of the code that made it, which is not what was run on what.
_OF_THE_CODE = {"code_sha256", "config_sha256", "package_version", "git_commit"}
_KINDS = ("backtest", "sweep")


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run over the past. `about` is what was run on what, `params` the set that was run or was best, `files` names
    with sizes in bytes; `mlflow_page` is a path below the MLflow server. `is_stored`: Postgres keeps it.
    """

    run_id: str
    what: str
    title: str
    about: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    params: Mapping[str, Any]
    finished_at: datetime
    files: Mapping[str, int]
    mlflow_page: str | None = None
    is_stored: bool = False


class PastRuns:
    """Runs that ended well, of both keepers."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._stored = PostgresPastRuns(sources.database)

    def newest(self, limit: int) -> tuple[list[PastRun], list[str]]:
        """Newest first, without the files of those in MLflow; and why a keeper could not be asked."""
        stored, tracked = card(lambda: self._stored.newest(limit)), card(lambda: self._tracked(limit))
        found = [_of_postgres(run) for run in stored.value or []]
        known = {run.run_id for run in found}
        found += [_of_mlflow(row, {}) for row in tracked.value or [] if row["tags"].get(DAGSTER_RUN_TAG) not in known]
        problems = [one.problem for one in (stored, tracked) if one.problem]
        return sorted(found, key=lambda run: run.finished_at, reverse=True)[:limit], problems

    def load(self, run_id: str) -> PastRun:
        """One run with its files. Raises InputError for an id that is no run over the past, Unavailable where the
        server that may know it is away.
        """
        stored = self._stored.load(run_id)
        if stored is not None:
            return _of_postgres(stored)
        with self._sources.mlflow() as mlflow:
            found = mlflow.run(run_id)
            if found["tags"].get("run_kind") not in _KINDS:
                raise InputError(f"backtest: run {run_id!r} is no backtest and no sweep")
            return _of_mlflow(found, {row["path"]: row["bytes"] for row in mlflow.artifacts(run_id)})

    def file(self, run: PastRun, name: str) -> bytes:
        """A file that the run left. Raises DataError where it left none of this name."""
        content = None
        if name in run.files and run.is_stored:
            content = self._stored.file(run.run_id, name)
        elif name in run.files:
            with self._sources.mlflow() as mlflow:
                content = mlflow.artifact(run.run_id, name)
        if content is None:
            raise DataError(f"{name}: this run left none")
        return content

    def _tracked(self, limit: int) -> list[dict[str, Any]]:
        with self._sources.mlflow() as mlflow:
            experiments = [row["id"] for row in mlflow.experiments()]
            return [
                row
                for what in _KINDS
                for row in mlflow.runs(
                    experiments, limit=limit, where=f"tags.run_kind = '{what}' and attributes.status = 'FINISHED'"
                )
            ]


def _of_postgres(run: Stored) -> PastRun:
    return PastRun(
        run_id=run.run_id, what=run.what, title=run.title, about=run.about, metrics=run.metrics, params=run.params,
        finished_at=run.finished_at, files=run.files, mlflow_page=run.mlflow_page, is_stored=True,
    )  # fmt: skip


def _of_mlflow(row: Mapping[str, Any], files: Mapping[str, int]) -> PastRun:
    about = {name: value for name, value in row["params"].items() if name not in _OF_THE_CODE}
    what = row["tags"]["run_kind"]
    try:
        params = parameters_of(about)
    except DataError:
        params = {}
    return PastRun(
        run_id=row["run_id"],
        what=what,
        title=str(row["name"]).removeprefix(what).strip() or what,
        about=about,
        metrics=row["metrics"],
        params=params,
        finished_at=row["ended_at"] or row["started_at"],
        files=files,
        mlflow_page=f"/experiments/{row['experiment_id']}/runs/{row['run_id']}",
    )
