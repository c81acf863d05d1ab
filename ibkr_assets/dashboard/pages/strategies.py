"""Strategies of the database: what each is, what it last did, every version of it; and its switch."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.views import research
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render, words
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.execution.adoption import check_strategy
from ibkr_assets.portfolio.statement import results_by_strategy

router = APIRouter()


@router.get("/strategies")
def strategies(request: Request) -> Response:
    """All strategies with their results."""
    sources: Sources = request.app.state.sources
    return render(
        request,
        "strategies.html",
        strategies=card(lambda: research.list_strategies(sources.database, sources.account_ref)),
        results=card(lambda: _results(sources)),
    )


@router.get("/strategies/{strategy_id}")
def strategy(request: Request, strategy_id: str) -> Response:
    """One strategy, and what each version changed."""
    sources: Sources = request.app.state.sources
    versions = research.strategy_versions(sources.database, strategy_id)
    if not versions:
        raise InputError(f"strategy: no strategy {strategy_id!r}")
    signals = card(lambda: research.list_signals(sources.database, sources.account_ref, strategy=strategy_id, limit=20))
    return render(
        request,
        "strategy.html",
        strategy_id=strategy_id,
        versions=versions,
        changes=_changes(versions),
        signals=signals,
    )


@router.post("/strategies/{strategy_id}/switch")
def switch(
    request: Request,
    strategy_id: str,
    is_enabled: Annotated[bool, Form()],
    seen: Annotated[int, Form()],
    key: Annotated[str, Form(min_length=8, max_length=64)],
) -> Response:
    """Let it run or not; refused when it has changed since the page was loaded."""
    sources: Sources = request.app.state.sources
    store = bootstrap.strategy_store(sources.settings)

    def do() -> str:
        record = store.strategy(strategy_id)
        if record.version != seen:
            raise LedgerConflict(
                f"{strategy_id} is at version {record.version} now, the page showed {seen}; look again"
            )
        switched = dataclasses.replace(record, is_enabled=is_enabled)
        if is_enabled:  # as at the command line: what was stored long ago may not fit the limits of today
            settings = sources.settings
            limits = bootstrap.limits_store(settings).known_in_force(bootstrap.limits(settings), settings.mode)
            check_strategy(switched, limits=limits, account=settings.account, directory=settings.strategies.directory)
        store.save_strategies([switched], actor=f"dashboard:{request.state.session.name}")
        return strategy_id

    once(request, key, "enable" if is_enabled else "disable", strategy_id, do)
    return RedirectResponse(f"/strategies/{strategy_id}", 303)


def _results(sources: Sources) -> dict[str, Any]:
    rows = results_by_strategy(load_history(sources.database, sources.account_ref))
    found: dict[str, Any] = {}
    for row in rows:
        before = found.get(row.owner, 0)
        found[row.owner] = None if row.total is None or before is None else before + row.total
    return found


def _changes(versions: list[dict[str, Any]]) -> dict[int, list[str]]:
    """What each version changed against the one before it, by version."""
    names = ("kind", "params", "symbols", "bar_size", "schedule", "sizing", "risk", "account", "is_enabled")
    return {
        newer["version"]: [
            f"{name}: {words(older[name])} → {words(newer[name])}" for name in names if newer[name] != older[name]
        ]
        for newer, older in pairwise(versions)
    }
