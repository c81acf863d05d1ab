"""Dagster's runs: what ran, why, how long; the log of one as it grows; launching, ending and retrying; the switches."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ibkr_assets.adapters import dagster_figures, dagster_pages
from ibkr_assets.adapters.postgres.views import research
from ibkr_assets.adapters.postgres.views.strategies import list_strategies
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.errors import InputError

router = APIRouter()
_PAGE = 30
#: Dagster's own tag of a run that belongs to a backfill.
_BACKFILL_TAG = "dagster/backfill"
_WEEK = timedelta(days=7)
_JOBS = ("market_data", "trading_strategy")
_STEPS = {
    "market_data": ("raw_bars", "validated_bars", "enriched_features"),
    "trading_strategy": dagster_pages.ASSETS,
}
_STATUSES = ("QUEUED", "STARTED", "SUCCESS", "FAILURE", "CANCELED")


@router.get("/runs")
def runs(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    status: Literal["QUEUED", "STARTED", "SUCCESS", "FAILURE", "CANCELED"] | None = None,
) -> Response:
    """Runs newest first, what asks for them, and a form to launch one."""
    sources: Sources = request.app.state.sources

    def listed() -> list[dict[str, Any]]:
        with sources.dagster() as dagster:
            return dagster_pages.list_runs(dagster, limit=_PAGE, cursor=cursor, status=status)

    def instigators() -> list[dict[str, Any]]:
        with sources.dagster() as dagster:
            return dagster_pages.list_instigators(dagster)

    def partitions() -> list[str]:
        with sources.dagster() as dagster:
            return list(reversed(dagster_pages.partition_keys(dagster)))

    def figures() -> dict[str, Any]:
        with sources.dagster() as dagster:
            return dagster_figures.run_figures(dagster, datetime.now(UTC) - _WEEK)

    found = card(listed)
    return render(
        request,
        "runs.html",
        runs=found,
        figures=card(figures),
        instigators=card(instigators),
        partitions=card(partitions),
        newest=card(lambda: research.sessions_with_signals(sources.database, 1)),
        strategies=card(lambda: list_strategies(sources.database, sources.account_ref)),
        jobs=_JOBS,
        statuses=_STATUSES,
        status=status or "",
        last=found.value[-1]["run_id"] if found.value and len(found.value) == _PAGE else None,
    )


@router.get("/runs/{run_id}")
def run(request: Request, run_id: str) -> Response:
    """One run with its steps and its log so far; a script follows the rest."""
    sources: Sources = request.app.state.sources
    with sources.dagster() as dagster:
        shown = dagster_pages.show_run(dagster, run_id)
        log = dagster_pages.read_log(dagster, run_id, None)
    return render(request, "run.html", run=shown, log=log, dagster_url=sources.settings.dashboard.dagster_url)


@router.get("/api/runs/{run_id}/log")
def log(request: Request, run_id: str, cursor: str | None = None) -> Response:
    """Events after the cursor, and whether the run is over."""
    sources: Sources = request.app.state.sources
    with sources.dagster() as dagster:
        found = dagster_pages.read_log(dagster, run_id, cursor)
        state = dagster_pages.show_run(dagster, run_id)
    events = [event | {"at": event["at"].astimezone(UTC).isoformat()} for event in found["events"]]
    return JSONResponse(found | {"events": events, "status": state["status"], "is_over": state["is_over"]})


@router.post("/runs/launch")
def launch(
    request: Request,
    job: Annotated[Literal["market_data", "trading_strategy"], Form()],
    partition: Annotated[str, Form(pattern=r"^\d{4}-\d{2}-\d{2}$")],
    key: Annotated[str, Form(min_length=8, max_length=64)],
    strategy_id: Annotated[str, Form(pattern=r"^[A-Za-z0-9_.-]{0,100}$")] = "",
    symbols: Annotated[str, Form(pattern=r"^[A-Z0-9., ]{0,500}$")] = "",
    terms: Annotated[Literal["rehearse", "trade"], Form()] = "rehearse",
    last: Annotated[str, Form(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = "",
) -> Response:
    """Launch a run for one session, or of market data for all from it to the `last`: a backfill, which orders nothing.

    The form's key makes a second press of the button the same launch.
    """
    sources: Sources = request.app.state.sources
    days: date | tuple[date, date] = _day("partition", partition)
    if last:
        if job != "market_data":
            raise InputError(f"last {last}: only market_data is launched for several sessions; {job} takes one")
        days = (_day("partition", partition), _day("last", last))
        if days[1] < days[0]:
            raise InputError(f"last {last}: is before {partition}")
    config: dict[str, Any] = {
        "dry_run": terms != "trade",
        "symbols": [part for part in symbols.replace(",", " ").split() if part],
    }
    if strategy_id:
        config["strategy_id"] = strategy_id
    asked = {"ops": {step: {"config": config} for step in _STEPS[job]}}

    def do() -> str:
        with sources.dagster() as dagster:
            tags = {"ibkr_assets/asked_by": request.state.session.name}
            if last:
                tags |= {_BACKFILL_TAG: key[:8]}
            return dagster.launch(job, partition=days, config=asked, tags=tags)

    subject = " to ".join(filter(None, (f"{job} {partition}", last)))
    run_id = once(request, key, "launch", subject, do, detail=config)
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.post("/runs/{run_id}/terminate")
def terminate(request: Request, run_id: str, key: Annotated[str, Form(min_length=8, max_length=64)]) -> Response:
    """End a run."""
    sources: Sources = request.app.state.sources

    def do() -> str:
        with sources.dagster() as dagster:
            dagster_pages.terminate(dagster, run_id)
        return run_id

    once(request, key, "terminate", run_id, do)
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.post("/runs/{run_id}/retry")
def retry(request: Request, run_id: str, key: Annotated[str, Form(min_length=8, max_length=64)]) -> Response:
    """Run again what failed."""
    sources: Sources = request.app.state.sources

    def do() -> str:
        with sources.dagster() as dagster:
            return dagster_pages.retry(dagster, run_id)

    return RedirectResponse(f"/runs/{once(request, key, 'retry', run_id, do)}", 303)


@router.post("/runs/instigators/{kind}/{name}")
def switch(
    request: Request,
    kind: Literal["schedule", "sensor"],
    name: str,
    is_on: Annotated[bool, Form()],
    key: Annotated[str, Form(min_length=8, max_length=64)],
) -> Response:
    """Turn a schedule or a sensor on or off."""
    sources: Sources = request.app.state.sources

    def do() -> str:
        with sources.dagster() as dagster:
            dagster_pages.switch(dagster, kind, name, is_on=is_on)
        return name

    once(request, key, f"{kind} {'on' if is_on else 'off'}", name, do)
    return RedirectResponse("/runs?done=" + name, 303)


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{field}: expected an ISO date, got {text!r}") from None
