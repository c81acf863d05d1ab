"""The platform itself: who is alive, what is open, who did what, and what is in force."""

from __future__ import annotations

import platform
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.adapters import dagster_pages
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
from ibkr_assets.adapters.postgres.views.condition import alerts, condition, controls, last_comparison
from ibkr_assets.dashboard.audit import acts, once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card

router = APIRouter()
#: What is known of the processes where the command that started the page did not say how to look.
_UNKNOWN: dict[str, Any] = {"running": False, "processes": [], "keep_alive_age_s": None}


@router.get("/system")
def system(request: Request, *, doctor: Annotated[bool, Query()] = False) -> Response:
    """Processes, differences, invariants, alerts, acts, versions; with `doctor` each dependency is looked at, too."""
    sources: Sources = request.app.state.sources
    return render(
        request,
        "system.html",
        peers=[_dagster(sources), _mlflow(sources)],
        stack=card(lambda: sources.status() if sources.status else _UNKNOWN),
        checks=card(lambda: sources.examine() if sources.examine else []) if doctor else None,
        skew=card(lambda: _skew_s(sources)),
        pacing=card(lambda: _pacing(sources)),
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
    """The market's own time, the session that is on, or else the next one."""
    now = bootstrap.clock(sources.settings).now()
    calendar = bootstrap.calendar(sources.settings)
    session = calendar.session_at(now)
    following = calendar.next_session(calendar.last_closed(now).day) if session is None else session
    return {"now": now, "session": following, "is_open": session is not None}


def _skew_s(sources: Sources) -> float:
    """How far the database's clock is ahead of this machine's, in seconds, less what the question took."""
    before = datetime.now(UTC)
    at: datetime = condition(sources.database, sources.account_ref)["at"]
    return (at - before).total_seconds() - (datetime.now(UTC) - before).total_seconds() / 2


def _pacing(sources: Sources) -> dict[str, Any]:
    """What IBKR's limits would let go now, as all processes of this user on this machine share it."""
    from ibkr_assets.adapters.ibkr.client import shared_limiter

    gateway = sources.settings.gateway
    if gateway.url is None:
        return {}
    left, shut_s = shared_limiter(gateway.url, pace=gateway.pace).left()
    return {"left": left, "shut_s": shut_s}
