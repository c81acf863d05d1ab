"""What is held, what it cost, what it is worth, and whose it is; and the broker's numbers beside ours."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
from ibkr_assets.adapters.postgres.views import orders
from ibkr_assets.adapters.postgres.views.condition import last_comparison
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.portfolio.statement import results_by_position, results_by_strategy, results_of_days, sum_up

router = APIRouter()


@router.get("/positions")
def positions(request: Request) -> Response:
    """Positions by instrument and by strategy, days, fills, and open differences to the broker."""
    sources: Sources = request.app.state.sources
    return render(
        request,
        "positions.html",
        book=card(lambda: _book(sources)),
        compared=card(lambda: last_comparison(sources.database, sources.account_ref)),
        breaks=card(lambda: PostgresResolutions(sources.database, sources.account_ref).breaks()),
        fills=card(lambda: orders.list_fills(sources.database, sources.account_ref, limit=50)),
    )


def _book(sources: Sources) -> dict[str, Any]:
    history = load_history(sources.database, sources.account_ref)
    if not history.valuations:
        return {}
    nav = history.valuations[-1].nav
    rows = results_by_position(history)
    held = [row for row in rows if row.quantity]
    owners: dict[int, list[str]] = {}
    for row in results_by_strategy(history):
        if row.quantity:
            owners.setdefault(row.conid, []).append(row.owner)
    longs = sum((row.value for row in held if row.value is not None and row.quantity > 0), Decimal(0))
    shorts = sum((row.value for row in held if row.value is not None and row.quantity < 0), Decimal(0))
    return {
        "at": history.valuations[-1].at,
        "nav": nav,
        "held": [(row, None if row.value is None else row.value / nav, owners.get(row.conid, [])) for row in held],
        "closed": [row for row in rows if not row.quantity],
        "long": longs,
        "short": shorts,
        "is_priced": all(row.value is not None for row in held),
        "cash_fraction": (nav - longs - shorts) / nav if all(row.value is not None for row in held) else None,
        "largest": max((abs(row.value) / nav for row in held if row.value is not None), default=None),
        "days": list(reversed(results_of_days(history)))[:60],
        "sum": sum_up(history),
    }
