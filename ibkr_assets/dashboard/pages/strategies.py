"""Strategies of the database: what each is, what it made, every version of it; and its switches.

What goes here: looking at them, and the switches. What does not: changing what they say
(`dashboard.pages.strategy_form`). A pause is a kill of one strategy's scope: it withdraws permission to trade, so
taking it back asks for the role and the fresh login that any permission asks for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.views import research
from ibkr_assets.adapters.postgres.views.strategies import list_strategies
from ibkr_assets.adapters.strategies_file import write_strategies
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.dashboard.strategy_draft import differences
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.execution.adoption import check_strategy
from ibkr_assets.portfolio.statement import PositionResult, results_by_strategy

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.strategies import StrategyVersion

router = APIRouter()
Key = Annotated[str, Form(min_length=8, max_length=64)]
Reason = Annotated[str, Form(min_length=1, max_length=500, pattern=r"\S")]


@router.get("/strategies")
def strategies(request: Request) -> Response:
    """All strategies with their results."""
    sources: Sources = request.app.state.sources
    return render(
        request,
        "strategies.html",
        strategies=card(lambda: list_strategies(sources.database, sources.account_ref)),
        results=card(lambda: {owner: _total(rows) for owner, rows in _results(sources).items()}),
    )


@router.get("/strategies/~export")
def export(request: Request) -> Response:
    """All strategies as a file that `ibkr-assets strategies import` reads."""
    return _file(bootstrap.strategy_store(request.app.state.sources.settings).strategies(), "strategies")


@router.get("/strategies/{strategy_id}")
def strategy(request: Request, strategy_id: str) -> Response:
    """One strategy: in force, what it made, and what each version changed."""
    sources: Sources = request.app.state.sources
    history = bootstrap.strategy_store(sources.settings).history(strategy_id)
    text = write_strategies([history[-1].record])
    return render(
        request,
        "strategy.html",
        strategy=list_strategies(sources.database, sources.account_ref, strategy_id)[0],
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        versions=_changes(history),
        results=card(lambda: _results(sources).get(strategy_id, [])),
        total=_total,
        signals=card(
            lambda: research.list_signals(sources.database, sources.account_ref, strategy=strategy_id, limit=20)
        ),
        is_fresh=request.state.session.is_fresh(time.time()),
    )


@router.get("/strategies/{strategy_id}/export")
def export_one(request: Request, strategy_id: str) -> Response:
    """One strategy as a file."""
    return _file([bootstrap.strategy_store(request.app.state.sources.settings).strategy(strategy_id)], strategy_id)


@router.post("/strategies/{strategy_id}/switch")
def switch(
    request: Request,
    strategy_id: str,
    name: Annotated[Literal["enabled", "dry_run"], Form()],
    is_on: Annotated[bool, Form()],
    seen: Annotated[int, Form()],
    key: Key,
) -> Response:
    """Let it run or not, let it trade or only rehearse; refused when it has changed since the page was loaded."""
    sources: Sources = request.app.state.sources
    store = bootstrap.strategy_store(sources.settings)

    def do() -> str:
        record = store.strategy(strategy_id)
        switched = (
            dataclasses.replace(record, is_enabled=is_on)
            if name == "enabled"
            else dataclasses.replace(record, is_dry_run=is_on)
        )
        if switched.is_enabled:  # as at the command line: what was stored long ago may not fit the limits of today
            settings = sources.settings
            check_strategy(
                switched, limits=sources.limits(), account=settings.account,
                directory=settings.strategies.directory, has_model=settings.llm.is_configured,
            )  # fmt: skip
        actor = f"dashboard:{request.state.session.name}"
        store.save_strategies([switched], actor=actor, seen={strategy_id: seen})
        return strategy_id

    once(request, key, f"{name} {'on' if is_on else 'off'}", strategy_id, do)
    return RedirectResponse(f"/strategies/{strategy_id}", 303)


@router.post("/strategies/{strategy_id}/pause")
def pause(request: Request, strategy_id: str, reason: Reason, key: Key) -> Response:
    """Withdraw its permission to trade: it goes on deciding, and every new order of it is denied."""
    sources: Sources = request.app.state.sources
    bootstrap.strategy_store(sources.settings).strategy(strategy_id)
    once(request, key, "pause", strategy_id, lambda: _control(request, "kill", strategy_id, reason),
         detail={"reason": reason.strip()})  # fmt: skip
    return RedirectResponse(f"/strategies/{strategy_id}", 303)


@router.post("/strategies/{strategy_id}/resume")
def resume(request: Request, strategy_id: str, reason: Reason, seen: Annotated[int, Form()], key: Key) -> Response:
    """Take a pause back, as it was shown."""
    sources: Sources = request.app.state.sources
    if not request.state.session.is_fresh(time.time()):
        raise InputError("login: older than 15 minutes; log in again to give permission to trade")

    def do() -> str:
        found = list_strategies(sources.database, sources.account_ref, strategy_id)
        if not found or found[0]["pause_id"] != seen:
            raise LedgerConflict(f"the pause of {strategy_id} has changed since the page was loaded; look again")
        return _control(request, "resume", strategy_id, reason)

    once(request, key, "resume", strategy_id, do, detail={"reason": reason.strip()})
    return RedirectResponse(f"/strategies/{strategy_id}", 303)


def _control(request: Request, action: str, strategy_id: str, reason: str) -> str:
    session = request.state.session
    bootstrap.order_ledger(request.app.state.sources.settings).control(
        action, scope=f"strategy:{strategy_id}", actor=f"dashboard:{session.name}", session=f"dashboard/{session.id}",
        reason=reason.strip(), expires_at=None, evidence=None,
    )  # fmt: skip
    return strategy_id


def _file(records: Sequence[Any], name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}.yaml"'}
    return Response(write_strategies(records), media_type="application/yaml; charset=utf-8", headers=headers)


def _results(sources: Sources) -> dict[str, list[PositionResult]]:
    found: dict[str, list[PositionResult]] = {}
    for row in results_by_strategy(load_history(sources.database, sources.account_ref)):
        found.setdefault(row.owner, []).append(row)
    return found


def _total(rows: Sequence[PositionResult], name: str = "total") -> Decimal | None:
    """The sum of a figure; None where one of them has no price."""
    values = [getattr(row, name) for row in rows]
    return None if any(value is None for value in values) else sum(values, Decimal(0))


def _changes(history: Sequence[StrategyVersion]) -> list[dict[str, Any]]:
    """Every version with the lines that it changed, newest first."""
    before = [None, *(version.record for version in history)]
    return [
        {"number": version.record.version, "at": version.at, "actor": version.actor,
         "lines": [] if old is None else [line for line in differences(old, version.record) if line[0] != " "]}
        for old, version in reversed(list(zip(before, history, strict=False)))
    ]  # fmt: skip
