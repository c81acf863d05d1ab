"""For machines that watch: numbers for Prometheus, and whether the platform lives and is ready, with the reasons."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ibkr_assets.adapters import dagster_figures
from ibkr_assets.adapters.postgres.views.metrics import read_health, read_metrics
from ibkr_assets.dashboard import metrics
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.host import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.core import Metric

router = APIRouter()
_SILENT_S = 30.0


@router.get("/metrics")
def scrape(request: Request) -> Response:
    """Everything that is counted, now. Beyond loopback it takes the token of the settings."""
    sources: Sources = request.app.state.sources
    settings = sources.settings.dashboard
    client = request.client.host if request.client is not None and "x-forwarded-for" not in request.headers else ""
    if settings.metrics_token is None and not is_loopback(settings.host) and not is_loopback(client):
        return PlainTextResponse("set dashboard.metrics_token to read numbers from another machine", 403)
    if settings.metrics_token is not None:
        wanted = f"Bearer {settings.metrics_token.get_secret_value()}"
        if not secrets.compare_digest(request.headers.get("authorization", "").encode(), wanted.encode()):
            return PlainTextResponse("the token of dashboard.metrics_token is needed", 401)
    return Response(
        metrics.write_text(lambda: _collect(sources)), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@router.get("/health/live")
def live() -> Response:
    """That this process answers. A supervisor starts it again when it does not."""
    return JSONResponse({"live": True})


@router.get("/health/ready")
def ready(request: Request) -> Response:
    """Whether the platform can do its work, and if not, why: 503 with every reason."""
    sources: Sources = request.app.state.sources
    found = card(lambda: read_health(sources.database, sources.account_ref))
    reasons = [f"database: {found.problem}"] if found.problem else _reasons(found.value)
    return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


def _reasons(row: dict[str, Any]) -> list[str]:
    reasons = []
    for name, column in (("submitter", "submitter_age_s"), ("watchdog", "watchdog_age_s"), ("alerts", "sender_age_s")):
        age_s = row[column]
        if age_s is None:
            reasons.append(f"{name}: has never run")
        elif age_s > _SILENT_S:
            reasons.append(f"{name}: silent for {age_s:.0f} s")
    if row["submitter_age_s"] is not None and row["submitter_status"] not in ("working", None):
        reasons.append(f"submitter: {row['submitter_status']}")
    if row["is_stopped"]:
        reasons.append("permission to trade is withdrawn")
    if row["unknown"]:
        reasons.append(f"orders in doubt: {row['unknown']}")
    return reasons


def _collect(sources: Sources) -> list[Metric]:
    """From each source what it has; one that is away leaves out its own."""
    found: list[Metric] = []
    is_up: dict[str, bool] = {}

    def take(name: str, read: Callable[[], list[Metric]]) -> None:
        read_card = card(read)
        is_up[name] = not read_card.problem
        found.extend(read_card.value or [])

    take("database", lambda: metrics.describe_platform(read_metrics(sources.database, sources.account_ref)))
    if sources.settings.dashboard.dagster_url is not None:
        take("dagster", lambda: _runs(sources))
    if sources.settings.gateway.url is not None:
        take("pacing", lambda: _pacing(sources))
    return [*metrics.describe_sources(is_up), *found]


def _runs(sources: Sources) -> list[Metric]:
    with sources.dagster() as dagster:
        return metrics.describe_runs(dagster_figures.count_runs(dagster))


def _pacing(sources: Sources) -> list[Metric]:
    from ibkr_assets.adapters.ibkr.client import shared_limiter

    gateway = sources.settings.gateway
    left, shut_s = shared_limiter(gateway.url or "", pace=gateway.pace).left()
    return metrics.describe_pacing(left, shut_s)
