"""Adding and changing a strategy: a form, the difference it would make, and storing it. It works without any script.

What goes here: the steps. What does not: the form's text and its problems (`dashboard.strategy_draft`), and looking at
strategies and their switches (`dashboard.pages.strategies`). An id never begins with `~`, so these addresses are free.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.dashboard.strategy_draft import Draft, differences, draft_of, read_draft
from ibkr_assets.market.schedule import FORMS as SCHEDULES
from ibkr_assets.portfolio.sizing_spec import FORMS as SIZINGS
from ibkr_assets.strategies.registry import all_kinds

router = APIRouter()
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_LINE, _TEXT = Form(max_length=500), Form(max_length=10_000)


def _draft(
    *,
    id: Annotated[str, _LINE] = "",  # noqa: A002 - the word in the form
    kind: Annotated[str, _LINE] = "",
    params: Annotated[str, _TEXT] = "",
    symbols: Annotated[str, _TEXT] = "",
    bar_size: Annotated[str, _LINE] = "1d",
    schedule: Annotated[str, _LINE] = "",
    sizing: Annotated[str, _LINE] = "",
    risk: Annotated[str, _TEXT] = "",
    account: Annotated[str, _LINE] = "",
    enabled: Annotated[bool, Form()] = False,
    dry_run: Annotated[bool, Form()] = False,
) -> Draft:
    return Draft(id, kind, params, symbols, bar_size, schedule, sizing, risk, account, enabled, dry_run)


Drafted = Annotated[Draft, Depends(_draft)]
Seen = Annotated[int, Form(ge=0)]


@router.get("/strategies/~new")
def new(request: Request, copy: Annotated[str, Query(max_length=100)] = "") -> Response:
    """An empty form, or one that begins as another strategy."""
    if not copy:
        return _form(request, Draft(), seen=0)
    like = bootstrap.strategy_store(request.app.state.sources.settings).strategy(copy)
    return _form(request, dataclasses.replace(draft_of(like), id=f"{copy}_copy", enabled=False), seen=0)


@router.get("/strategies/{strategy_id}/edit")
def edit(request: Request, strategy_id: str, version: Annotated[int | None, Query(ge=1)] = None) -> Response:
    """The form of a strategy as it is, or as a version was."""
    store = bootstrap.strategy_store(request.app.state.sources.settings)
    newest = store.strategy(strategy_id)
    shown = newest if version is None else store.version(strategy_id, version)
    return _form(request, draft_of(shown), seen=newest.version)


@router.post("/strategies/~review")
def review(
    request: Request, draft: Drafted, seen: Seen = 0, step: Annotated[str, Form(pattern="^(review|edit)$")] = "review"
) -> Response:
    """What storing the form would change; the form again where something is wrong with it. Stores nothing."""
    return _form(request, draft, seen=seen) if step == "edit" else show_review(request, draft, seen=seen)


def show_review(request: Request, draft: Draft, *, seen: int) -> Response:
    """The difference that storing the form would make to what was at version `seen`; stores nothing."""
    sources: Sources = request.app.state.sources
    record, problems, warnings = read_draft(draft, sources.settings)
    known = {one.id: one for one in bootstrap.strategy_store(sources.settings).strategies()}
    old = known.get(draft.id.strip())
    if old is not None and old.version != seen:
        problems = problems | {
            "id": f"{old.id!r} is a strategy already, at version {old.version}"
            + (f"; it was {seen} when this form was opened" if seen else "; edit that one, or take another id")
        }
    if record is None or problems:
        return _form(request, draft, seen=seen, problems=problems)
    return render(
        request,
        "strategy_review.html",
        draft=draft,
        seen=seen,
        lines=differences(old, record),
        warnings=warnings,
    )


@router.post("/strategies/~save")
def save(
    request: Request, draft: Drafted, key: Annotated[str, Form(min_length=8, max_length=64)], seen: Seen
) -> Response:
    """Store what was reviewed as the next version; refused when the strategy has changed since."""
    sources: Sources = request.app.state.sources
    record, problems, _ = read_draft(draft, sources.settings)
    if record is None:
        return _form(request, draft, seen=seen, problems=problems)

    def do() -> str:
        bootstrap.strategy_store(sources.settings).save_strategies(
            [record], actor=f"dashboard:{request.state.session.name}", seen={record.id: seen}
        )
        return record.id

    stored = once(request, key, "change strategy" if seen else "add strategy", record.id, do)
    return RedirectResponse(f"/strategies/{stored}", 303)


def _form(request: Request, draft: Draft, *, seen: int, problems: dict[str, str] | None = None) -> Response:
    return render(
        request,
        "strategy_form.html",
        code=400 if problems else 200,
        draft=draft,
        seen=seen,
        problems=problems or {},
        kinds=_kinds(request.app.state.sources),
        schedules=SCHEDULES,
        sizings=SIZINGS,
    )


def _kinds(sources: Sources) -> dict[str, list[dict[str, Any]]]:
    """Every kind with its parameters: name, default, bounds."""
    return {
        kind: [
            {
                "name": field,
                "default": "required" if info.is_required() else info.get_default(call_default_factory=True),
                "bounds": ", ".join(
                    f"{word} {getattr(bound, name)}"
                    for bound in info.metadata
                    for name, word in _BOUNDS.items()
                    if hasattr(bound, name)
                ),
            }
            for field, info in known.params.model_fields.items()
        ]
        for kind, known in all_kinds(sources.settings.strategies.directory).items()
    }
