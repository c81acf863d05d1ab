"""Launching a backtest or a sweep from the page: the form is judged, then Dagster is asked for the job."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.launch_form import Asked, launch_form, read_form
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources

router = APIRouter()
#: Job -> its asset, which the run configuration names.
_ASSETS = {"backtest": "backtests", "sweep": "sweeps"}
_LINE, _TEXT = Form(max_length=200), Form(max_length=5_000)


def _asked(
    *,
    what: Annotated[Literal["backtest", "sweep"], Form()],
    strategy: Annotated[str, _LINE] = "",
    params: Annotated[str, _TEXT] = "",
    symbols: Annotated[str, _TEXT] = "",
    start: Annotated[str, _LINE] = "",
    end: Annotated[str, _LINE] = "",
    cash: Annotated[str, _LINE] = "",
    size: Annotated[str, _LINE] = "",
    commission: Annotated[str, _LINE] = "",
    slippage: Annotated[str, _LINE] = "",
    risk: Annotated[str, _LINE] = "none",
    grid: Annotated[str, _TEXT] = "",
    rank_by: Annotated[str, _LINE] = "sharpe",
    sample: Annotated[str, _LINE] = "0",
) -> Asked:
    return Asked(
        what, strategy, params, symbols, start, end, cash, size, commission, slippage, risk, grid, rank_by, sample
    )


@router.get("/backtests/~new")
def new(request: Request, what: Literal["backtest", "sweep"] = "backtest") -> Response:
    """The form."""
    grid = "fast=5:50:5 slow=20:200:10" if what == "sweep" else ""
    params = "" if what == "sweep" else Asked().params
    asked = Asked(what=what, grid=grid, params=params)
    return render(request, "backtest_form.html", form=launch_form(request.app.state.sources, asked))


@router.post("/backtests/~launch")
def launch(
    request: Request,
    asked: Annotated[Asked, Depends(_asked)],
    key: Annotated[str, Form(min_length=8, max_length=64)],
) -> Response:
    """Ask for the run. The form's key makes a second press of the button the same launch."""
    sources: Sources = request.app.state.sources
    config, problems = read_form(asked, sources.settings)
    if problems:
        form = launch_form(sources, asked, problems)
        return render(request, "backtest_form.html", code=400, form=form)

    def do() -> str:
        with sources.dagster() as dagster:
            tags = {"ibkr_assets/asked_by": request.state.session.name}
            run_config = {"ops": {_ASSETS[asked.what]: {"config": config}}}
            return dagster.launch(asked.what, partition=None, config=run_config, tags=tags)

    run_id = once(request, key, f"launch {asked.what}", config["strategy"], do, detail=config)
    return RedirectResponse(f"/runs/{run_id}", 303)
