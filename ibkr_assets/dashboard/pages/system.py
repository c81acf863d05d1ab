"""The platform itself: who is alive, what is open, who did what, and what is in force."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.adapters import dagster_pages
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
from ibkr_assets.adapters.postgres.views.condition import alerts, controls, last_comparison
from ibkr_assets.dashboard.audit import acts, once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card

router = APIRouter()


@router.get("/system")
def system(request: Request) -> Response:
    """Processes, differences, invariants, alerts, acts, versions."""
    sources: Sources = request.app.state.sources
    return render(
        request,
        "system.html",
        peers=[_dagster(sources), _mlflow(sources)],
        compared=card(lambda: last_comparison(sources.database, sources.account_ref)),
        breaks=card(lambda: PostgresResolutions(sources.database, sources.account_ref).breaks()),
        invariants=card(lambda: check_invariants(sources.database)),
        alerts=card(lambda: alerts(sources.database, sources.account_ref, 30)),
        controls=card(lambda: controls(sources.database, 30)),
        acts=card(lambda: acts(sources.database, 50)),
        versions={name: version(name) for name in ("ibkr-assets", "dagster", "mlflow", "pandas", "fastapi", "psycopg")}
        | {"python": platform.python_version()},
        disk=shutil.disk_usage(sources.settings.data_dir),
        running=card(lambda: bootstrap.version(sources.settings)),
        calendar=card(lambda: _today(sources)),
    )


@router.post("/system/reconcile")
async def reconcile(request: Request) -> Response:
    """Ask the submitter to compare everything with the broker now."""
    sources: Sources = request.app.state.sources
    form = await request.form()
    name = request.state.session.name

    def do() -> str:
        return str(PostgresResolutions(sources.database, sources.account_ref).ask(f"dashboard:{name}"))

    once(request, str(form.get("key", "")), "reconcile", sources.account_ref, do)
    return RedirectResponse("/system?done=reconcile", 303)


def _dagster(sources: Sources) -> dict[str, Any]:
    def ask() -> str:
        with sources.dagster() as dagster:
            return dagster_pages.version(dagster)

    return {"name": "Dagster", "url": sources.settings.dashboard.dagster_url, "state": card(ask)}


def _mlflow(sources: Sources) -> dict[str, Any]:
    def ask() -> str:
        with sources.mlflow() as mlflow:
            return f"{len(mlflow.experiments())} experiments"

    return {"name": "MLflow", "url": sources.settings.mlflow.tracking_uri, "state": card(ask)}


def _today(sources: Sources) -> dict[str, Any]:
    now = bootstrap.clock(sources.settings).now()
    calendar = bootstrap.calendar(sources.settings)
    session = calendar.session_at(now)
    return {"now": now, "session": session, "is_open": session is not None}
