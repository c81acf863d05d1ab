"""Backtests and sweeps wherever they are kept: what the command line ran is in MLflow, with the files that it left.

What goes here: finding runs and their files. What does not: making pictures of them (`dashboard.past`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ibkr_assets.dashboard.past import parameters_of
from ibkr_assets.domain.errors import DataError, InputError

if TYPE_CHECKING:
    from ibkr_assets.dashboard.sources import Sources

#: What a run notes of the code that made it, which is not what was run on what.
_OF_THE_CODE = {"code_sha256", "config_sha256", "package_version", "git_commit"}
_KINDS = ("backtest", "sweep")


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run over the past. `about` is what was run on what, `params` the set that was run or was best, `files` names
    with sizes in bytes; `mlflow_page` is a path below the MLflow server.
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


class PastRuns:
    """Runs that ended well. Raises Unavailable where the server that keeps them is away."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def newest(self, limit: int) -> list[PastRun]:
        """Newest first, without their files."""
        with self._sources.mlflow() as mlflow:
            experiments = [row["id"] for row in mlflow.experiments()]
            rows = [
                row
                for what in _KINDS
                for row in mlflow.runs(
                    experiments, limit=limit, where=f"tags.run_kind = '{what}' and attributes.status = 'FINISHED'"
                )
            ]
        found = [_of_mlflow(row, {}) for row in rows]
        return sorted(found, key=lambda run: run.finished_at, reverse=True)[:limit]

    def load(self, run_id: str) -> PastRun:
        """One run with its files. Raises InputError for an id that is no run over the past."""
        with self._sources.mlflow() as mlflow:
            found = mlflow.run(run_id)
            if found["tags"].get("run_kind") not in _KINDS:
                raise InputError(f"backtest: run {run_id!r} is no backtest and no sweep")
            return _of_mlflow(found, {row["path"]: row["bytes"] for row in mlflow.artifacts(run_id)})

    def file(self, run: PastRun, name: str) -> bytes:
        """A file that the run left. Raises DataError where it left none of this name."""
        if name not in run.files:
            raise DataError(f"{name}: this run left none")
        with self._sources.mlflow() as mlflow:
            return mlflow.artifact(run.run_id, name)


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
