"""Signals, each with its reason and with what became of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ibkr_assets.adapters.postgres.views import research
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card

router = APIRouter()
_PAGE = 50


@router.get("/signals")
def signals(
    request: Request,
    strategy: Annotated[str | None, Query(max_length=100)] = None,
    symbol: Annotated[str | None, Query(max_length=32)] = None,
    before: int | None = None,
) -> Response:
    """Newest first, by strategy and symbol."""
    sources: Sources = request.app.state.sources
    found = card(
        lambda: research.list_signals(
            sources.database, sources.account_ref, strategy=strategy or None, symbol=symbol or None, before=before,
            limit=_PAGE,
        )
    )  # fmt: skip
    rows = found.value or []
    return render(
        request,
        "signals.html",
        signals=found,
        strategy=strategy or "",
        symbol=symbol or "",
        next_before=rows[-1]["signal_id"] if len(rows) == _PAGE else None,
    )
