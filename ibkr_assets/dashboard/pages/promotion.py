"""From a run to a strategy: the difference that its parameters would make to a strategy's configuration.

What goes here: showing it. Nothing is applied: it ends at the same review that a change by hand ends at
(`dashboard.pages.strategy_form`), and is stored from there or not at all.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ibkr_assets import bootstrap
from ibkr_assets.dashboard.pages.strategy_form import show_review
from ibkr_assets.dashboard.past import promoted
from ibkr_assets.dashboard.past_runs import PastRuns
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.dashboard.strategy_draft import Draft, draft_of
from ibkr_assets.domain.errors import DataError, InputError

router = APIRouter()
Into = Annotated[str, Query(max_length=100)]


@router.get("/backtests/{run_id}/promote")
def promote_backtest(request: Request, run_id: str, into: Into = "") -> Response:
    """What a backtest, or the best set of a sweep, would change of a strategy, or a new one made of it."""
    found = PastRuns(request.app.state.sources).load(run_id)
    return _review(request, {**found.about, "best": str(dict(found.params)) if found.what == "sweep" else ""}, into)


@router.get("/experiments/{run_id}/promote")
def promote_experiment(request: Request, run_id: str, into: Into = "") -> Response:
    """The same from a run of MLflow that names a kind of strategy and its parameters."""
    with request.app.state.sources.mlflow() as mlflow:
        found = mlflow.run(run_id)
    return _review(request, found["params"], into)


def _review(request: Request, about: dict[str, Any], into: str) -> Response:
    sources: Sources = request.app.state.sources
    draft, seen = Draft(id=f"{about.get('strategy', 'new')}_promoted"), 0
    if into:
        record = bootstrap.strategy_store(sources.settings).strategy(into)
        draft, seen = draft_of(record), record.version
    try:
        return show_review(request, promoted(draft, about), seen=seen)
    except DataError as error:
        raise InputError(str(error)) from None
