"""Runs over the past: backtests and sweeps with their figures, one of them whole, and several over each other.

What goes here: looking at them. What does not: launching one (`dashboard.pages.backtest_launch`), and how a file
becomes a picture (`dashboard.past`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ibkr_assets.adapters import dagster_pages
from ibkr_assets.adapters.postgres.views.gaps import gaps_between
from ibkr_assets.adapters.postgres.views.strategies import list_strategies
from ibkr_assets.backtest.metrics import CONVENTIONS
from ibkr_assets.backtest.tear_sheet import RULES, show
from ibkr_assets.dashboard import past
from ibkr_assets.dashboard.drawing import curves
from ibkr_assets.dashboard.past_runs import PastRun, PastRuns
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.errors import InputError

router = APIRouter()
_LISTED = 200
_MOST_COMPARED = 5
_TRADES = 50
_RANKED = 25
_ORDERS = ("newest", "sharpe", "cagr", "sortino", "calmar", "max_drawdown", "total_return")
_JOBS = ("backtest", "sweep")
_TYPES = {"png": "image/png", "html": "text/html; charset=utf-8"}


@router.get("/backtests")
def backtests(
    request: Request,
    what: Literal["", "backtest", "sweep"] = "",
    order: Annotated[str, Query(pattern="^(" + "|".join(_ORDERS) + ")$")] = "newest",
) -> Response:
    """Backtests and sweeps, newest or best first; what runs now; and a form to launch one."""
    sources: Sources = request.app.state.sources
    found, problems = PastRuns(sources).newest(_LISTED)
    rows = [run for run in found if what in ("", run.what)]
    if order != "newest":
        rows = sorted(rows, key=lambda run: _rank(run.metrics.get(order)), reverse=True)
    return render(
        request,
        "backtests.html",
        problems=problems,
        rows=rows,
        best={name: max(rows, key=lambda run: _rank(run.metrics.get(name)), default=None)
              for name in ("sharpe", "cagr", "max_drawdown")},
        what=what,
        order=order,
        orders=_ORDERS,
        show=show,
        running=card(lambda: _running(sources)),
    )  # fmt: skip


@router.get("/backtests/~compare")
def compare(request: Request, run: Annotated[list[str], Query(min_length=2, max_length=_MOST_COMPARED)]) -> Response:
    """Two to five runs: equity over each other, what differs, and the better figure of each row."""
    sources: Sources = request.app.state.sources
    store = PastRuns(sources)
    runs = [store.load(run_id) for run_id in dict.fromkeys(run)]
    lines, without = [], []
    for one in runs:
        if "equity.csv" not in one.files:
            without.append(one)
            continue
        lines.append((one.title, past.read_equity(store.file(one, "equity.csv")), past.starting_cash(one.about)))
    drawn = past.draw_equities(lines)
    return render(
        request,
        "backtests_compare.html",
        runs=runs,
        picture=curves(drawn) if any(len(points) > 1 for _, points in drawn) else "",
        names=[name for name, _ in drawn],
        lowest=min((value for _, points in drawn for _, value in points), default=None),
        highest=max((value for _, points in drawn for _, value in points), default=None),
        without=without,
        abouts=_abouts(runs),
        figures=[(name, [one.metrics.get(name) for one in runs], _best(name, runs)) for name in CONVENTIONS],
        show=show,
    )


@router.get("/backtests/{run_id}")
def backtest(
    request: Request,
    run_id: str,
    figure: Annotated[str, Query(pattern="^[a-z_0-9]{1,40}$")] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """One run whole: figures, pictures, months, trades, and which bars it read."""
    sources: Sources = request.app.state.sources
    store = PastRuns(sources)
    shown = store.load(run_id)
    values: dict[str, Any] = {
        "run": shown,
        "show": show,
        "summary": [(name, shown.metrics[name]) for name in past.SUMMARY if name in shown.metrics],
        "costs": card(lambda: past.costs_fraction(shown.metrics, shown.about)),
        "conventions": CONVENTIONS,
        "gaps": card(lambda: _gaps(sources, shown)),
        "mlflow_url": sources.settings.mlflow.tracking_uri,
        "strategies": card(lambda: list_strategies(sources.database, sources.account_ref)),
    }
    if shown.what == "sweep":
        ranked = figure or str(shown.about.get("ranked_by", "sharpe"))
        if ranked not in CONVENTIONS:
            raise InputError(f"figure: no figure {ranked!r}; there are {', '.join(CONVENTIONS)}")
        rows = card(lambda: past.read_table(store.file(shown, "sweep.csv")))
        return render(
            request, "sweep.html", **values, rows=rows, ranked=ranked, listed=_RANKED,
            names=[name for name in (rows.value or [{}])[0] if name != "rank" and name not in CONVENTIONS],
            heat=past.heat_map(rows.value, ranked) if rows.value else None,
        )  # fmt: skip
    trades = card(lambda: past.read_table(store.file(shown, "trades.csv")))
    start = (page - 1) * _TRADES
    return render(
        request,
        "backtest.html",
        **values,
        sheet=card(
            lambda: past.draw_sheet(
                past.read_equity(store.file(shown, "equity.csv")), past.starting_cash(shown.about),
                shown.metrics.get("sharpe"),
            )
        ),
        trades=trades,
        shown_trades=list(reversed(trades.value or []))[start : start + _TRADES],
        page=page,
        more=len(trades.value or []) > start + _TRADES,
        rules=RULES,
    )  # fmt: skip


@router.get("/backtests/{run_id}/files/{name}")
def file(request: Request, run_id: str, name: str) -> Response:
    """A file that the run left. A page among them is shut into a sandbox: it is nobody's script here."""
    sources: Sources = request.app.state.sources
    store = PastRuns(sources)
    shown = store.load(run_id)
    if name not in shown.files:
        raise InputError(f"file: no {name!r} of run {run_id!r}")
    content = store.file(shown, name)
    ending = name.rpartition(".")[2].lower()
    headers = {"content-security-policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
    if ending in _TYPES:
        return Response(content, media_type=_TYPES[ending], headers=headers | {"x-frame-options": "SAMEORIGIN"})
    headers["content-disposition"] = f'attachment; filename="{name}"'
    return Response(content, media_type="application/octet-stream", headers=headers)


def _running(sources: Sources) -> list[dict[str, Any]]:
    """The newest runs of the two jobs that are not stored: they wait, go on, or failed."""
    with sources.dagster() as dagster:
        rows = [row for job in _JOBS for row in dagster_pages.list_runs(dagster, limit=5, job=job)]
    return sorted((row for row in rows if row["status"] != "SUCCESS"), key=lambda row: row["created_at"], reverse=True)


def _gaps(sources: Sources, run: PastRun) -> list[dict[str, Any]]:
    about = run.about
    symbols = str(about.get("symbols", "")).partition(" and ")[0].split(", ")
    first, last = (date.fromisoformat(str(about[name])) for name in ("from", "to"))
    return gaps_between(sources.database, symbols, first, last)


def _rank(value: float | None) -> tuple[bool, float]:
    return (value is not None, value or 0.0)


def _best(name: str, runs: list[PastRun]) -> float | None:
    """The better value of a figure, None where they are all the same or it is no figure to be better in."""
    known = [value for run in runs if (value := run.metrics.get(name)) is not None]
    if name in ("trades", "exposure") or len(set(known)) < 2:
        return None
    return min(known) if name in past.LOWER_IS_BETTER else max(known)


def _abouts(runs: list[PastRun]) -> list[tuple[str, list[str], bool]]:
    """What was run on what, by name, and whether it differs."""
    names = dict.fromkeys(name for run in runs for name in run.about if name != "source_sha256")
    rows = [(name, [str(run.about.get(name, "–")) for run in runs]) for name in names]
    return [(name, values, len(set(values)) > 1) for name, values in rows]
