"""Alerts: what is wrong now, what was, who was told and whether it arrived; and that somebody looks after one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.alert import Alert, AlertCode

router = APIRouter()
_PAGE = 50
_MOST_OPEN = 200


@router.get("/alerts")
def alerts(request: Request, before: Annotated[int | None, Query(ge=1)] = None) -> Response:
    """Open ones, everything newest first, the channels, and the process that tells people."""
    sources: Sources = request.app.state.sources
    rows = PostgresAlerts(sources.database, sources.account_ref, "dashboard")
    listed = card(lambda: rows.list_alerts(limit=_PAGE, before=before))
    return render(
        request,
        "alerts.html",
        open_alerts=card(lambda: rows.list_alerts(limit=_MOST_OPEN, is_open_only=True)),
        alerts=listed,
        channels=card(rows.channels),
        sender=card(rows.sender),
        last=listed.value[-1]["alert_id"] if listed.value and len(listed.value) == _PAGE else None,
    )


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(request: Request, alert_id: int, key: Annotated[str, Form(min_length=8, max_length=64)]) -> Response:
    """Somebody looks after it: it is not sent again."""
    sources: Sources = request.app.state.sources
    name = f"dashboard:{request.state.session.name}"

    def do() -> str:
        PostgresAlerts(sources.database, sources.account_ref, "dashboard").acknowledge(alert_id, name)
        return f"acknowledged {alert_id}"

    once(request, key, "acknowledge", f"alert {alert_id}", do)
    return RedirectResponse("/alerts", 303)


@router.post("/alerts/~test")
def send_test(request: Request, key: Annotated[str, Form(min_length=8, max_length=64)]) -> Response:
    """A test to every channel by way of the outbox; the list then says which of them took it."""
    sources: Sources = request.app.state.sources
    name = request.state.session.name
    rows = PostgresAlerts(sources.database, sources.account_ref, f"dashboard:{name}")

    def do() -> str:
        rows.settle(AlertCode.TEST)
        rows.raise_alert(Alert(AlertCode.TEST, key, f"a test by {name}: nothing is wrong"))
        return "raised"

    once(request, key, "test alert", "channels", do)
    return RedirectResponse("/alerts", 303)


@router.post("/alerts/~test-over")
def end_test(request: Request, key: Annotated[str, Form(min_length=8, max_length=64)]) -> Response:
    """A test is over once somebody has seen it arrive."""
    sources: Sources = request.app.state.sources
    rows = PostgresAlerts(sources.database, sources.account_ref, "dashboard")
    once(request, key, "end test alert", "channels", lambda: f"{rows.settle(AlertCode.TEST)} ended")
    return RedirectResponse("/alerts", 303)
