"""MLflow's experiments: runs with their figures, two to five side by side, and what they left."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets.adapters.mlflow import DAGSTER_RUN_TAG, LEFT_OUT_TAG, PROCESS_TAG
from ibkr_assets.adapters.postgres.views.strategies import list_strategies
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.drawing import curves
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.errors import InputError

router = APIRouter()
_PAGE = 50
_MOST_COMPARED = 5
_MOST_ROWS = 50
_IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif"}
_OWN_TAGS = (DAGSTER_RUN_TAG, LEFT_OUT_TAG, PROCESS_TAG, "run_kind")
_TEXTS = ("txt", "log", "md", "yaml", "yml", "py")


@router.get("/experiments")
def experiments(
    request: Request,
    experiment: Annotated[str | None, Query(max_length=40)] = None,
    order: Annotated[str, Query(pattern=r"^(start|metric:[A-Za-z0-9_.@ /-]{1,100})$")] = "start",
) -> Response:
    """Runs of one experiment or of all, newest first or best by a metric."""
    sources: Sources = request.app.state.sources

    def read() -> dict[str, Any]:
        with sources.mlflow() as mlflow:
            known = mlflow.experiments()
            chosen = [experiment] if experiment else [row["id"] for row in known]
            by = "attributes.start_time DESC" if order == "start" else f"metrics.`{order.removeprefix('metric:')}` DESC"
            runs = mlflow.runs(chosen, limit=_PAGE, order_by=by)
        names = sorted({name for run in runs for name in run["metrics"]})
        return {
            "experiments": known,
            "runs": runs,
            "metrics": names,
            "names": {row["id"]: row["name"] for row in known},
        }

    return render(request, "experiments.html", found=card(read), experiment=experiment or "", order=order,
                  mlflow_url=sources.settings.mlflow.tracking_uri)  # fmt: skip


@router.get("/experiments/compare")
def compare(request: Request, run: Annotated[list[str], Query(min_length=1, max_length=_MOST_COMPARED)]) -> Response:
    """Up to five runs: what differs in their parameters, their metrics, and curves over each other."""
    sources: Sources = request.app.state.sources
    with sources.mlflow() as mlflow:
        runs = [mlflow.run(run_id) for run_id in run]
        names = sorted({name for row in runs for name in row["metrics"]})
        drawn = []
        for name in names:
            lines = [(row["name"], mlflow.curve(row["run_id"], name)) for row in runs if name in row["metrics"]]
            if any(len(points) > 1 for _, points in lines):
                drawn.append((name, curves(lines)))
    params = sorted({name for row in runs for name in row["params"]})
    differing = [name for name in params if len({row["params"].get(name) for row in runs}) > 1]
    return render(request, "compare.html", runs=runs, metrics=names, params=params, differing=differing, drawn=drawn)


@router.get("/experiments/{run_id}")
def experiment_run(request: Request, run_id: str, path: str = "") -> Response:
    """One run, and one of its artifacts."""
    sources: Sources = request.app.state.sources
    with sources.mlflow() as mlflow:
        shown = mlflow.run(run_id)
        files = mlflow.artifacts(run_id)
        if path and path not in [row["path"] for row in files]:
            raise InputError(f"artifact: no {path!r} of run {run_id!r}")
        chosen = path or next((row["path"] for row in files if _ending(row["path"]) in _IMAGES), "")
        preview = None
        if chosen and _ending(chosen) not in (*_IMAGES, "html"):
            preview = _preview(chosen, mlflow.artifact(run_id, chosen))
    return render(request, "experiment.html", run=shown, files=files, chosen=chosen, preview=preview,
                  strategies=card(lambda: list_strategies(sources.database, sources.account_ref)),
                  kind="image" if _ending(chosen) in _IMAGES else _ending(chosen),
                  mlflow_url=sources.settings.mlflow.tracking_uri)  # fmt: skip


@router.post("/experiments/{run_id}/tag")
def tag(
    request: Request,
    run_id: str,
    name: Annotated[str, Form(pattern=r"^[A-Za-z0-9_. /-]{1,100}$")],
    key: Annotated[str, Form(min_length=8, max_length=64)],
    value: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Put a tag on a run. MLflow's own tags and those by which runs are found again are not for people to change."""
    sources: Sources = request.app.state.sources
    if name.startswith("mlflow.") or name in _OWN_TAGS:
        raise InputError(f"name {name!r}: this tag is the platform's own")

    def do() -> str:
        with sources.mlflow() as mlflow:
            mlflow.set_tag(run_id, name, value)
        return run_id

    once(request, key, "tag run", run_id, do, detail={"name": name, "value": value})
    return RedirectResponse(f"/experiments/{run_id}", 303)


@router.get("/experiments/{run_id}/artifacts/{path:path}")
def artifact(request: Request, run_id: str, path: str) -> Response:
    """The file itself. A page among the artifacts is shut into a sandbox: it is nobody's script here."""
    sources: Sources = request.app.state.sources
    with sources.mlflow() as mlflow:
        body = mlflow.artifact(run_id, path)
    ending = _ending(path)
    headers = {"content-security-policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
    if ending in _IMAGES:
        return Response(body, media_type=_IMAGES[ending], headers=headers)
    if ending == "html":
        return Response(
            body, media_type="text/html; charset=utf-8", headers=headers | {"x-frame-options": "SAMEORIGIN"}
        )
    headers["content-disposition"] = "attachment"
    return Response(body, media_type="application/octet-stream", headers=headers)


def _ending(path: str) -> str:
    return path.rpartition(".")[2].lower() if "." in path else ""


def _preview(path: str, body: bytes) -> dict[str, Any] | None:
    """A table of a CSV's head, a JSON document or text; None for anything else."""
    ending = _ending(path)
    text = body.decode("utf-8", errors="replace")
    if ending == "csv":
        rows = list(csv.reader(io.StringIO(text)))
        return {
            "kind": "table",
            "head": rows[0] if rows else [],
            "rows": rows[1 : _MOST_ROWS + 1],
            "more": max(len(rows) - 1 - _MOST_ROWS, 0),
        }
    if ending == "json":
        try:
            return {"kind": "text", "text": json.dumps(json.loads(text), indent=2)[:100_000]}
        except json.JSONDecodeError:
            return {"kind": "text", "text": text[:100_000]}
    return {"kind": "text", "text": text[:100_000]} if ending in _TEXTS else None
