"""Signals, each with its reason and with what became of it; and what a language model was asked for them."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ibkr_assets.adapters.postgres.views import research
from ibkr_assets.adapters.postgres.views.condition import condition
from ibkr_assets.adapters.postgres.views.figures import signal_figures
from ibkr_assets.adapters.postgres.views.llm import PostgresLlm
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card

router = APIRouter()
_PAGE = 50
_CALLS = 20


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
        figures=card(lambda: signal_figures(sources.database)),
        calls=card(lambda: PostgresLlm(sources.database).calls(strategy_id=strategy or None, limit=_CALLS)),
        spent=card(lambda: _spent_today(sources)),
        strategy=strategy or "",
        symbol=symbol or "",
        next_before=rows[-1]["signal_id"] if len(rows) == _PAGE else None,
    )


def _spent_today(sources: Sources) -> dict[str, Any]:
    """USD spent on a language model in this UTC day, and what may be; `cap` is None where none is configured."""
    today = condition(sources.database, sources.account_ref)["at"].astimezone(UTC).date()
    spent = sum((row.cost_usd for row in PostgresLlm(sources.database).spend() if row.day == today), Decimal(0))
    budgets = sources.settings.llm.budgets
    return {"usd": spent, "cap": None if budgets is None else budgets.day_usd}
