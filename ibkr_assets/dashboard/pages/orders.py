"""Orders: what is in doubt, what is open, what ended; and the whole story of one of them."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.requests import Request
from starlette.responses import Response

from ibkr_assets.adapters.postgres.doubts import PostgresDoubts
from ibkr_assets.adapters.postgres.lineage import PostgresLineage
from ibkr_assets.adapters.postgres.order_requests import PostgresOrderRequests
from ibkr_assets.adapters.postgres.views import execution_quality
from ibkr_assets.adapters.postgres.views import orders as rows
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution.evidence import next_look_s

router = APIRouter()
#: A form sends an empty text for any state.
_State = Annotated[OrderState | None, BeforeValidator(lambda given: given or None), Query()]
_PAGE = 50
_COLUMNS = (
    "client_order_id", "broker_order_id", "created_at", "session_date", "strategy_id", "symbol", "side", "quantity",
    "order_type", "limit_price", "time_in_force", "state", "filled", "average_price", "commission", "mode", "denied_by",
    "reason",
)  # fmt: skip
_MOST_EXPORTED = 100_000


@router.get("/orders")
def orders(
    request: Request,
    state: _State = None,
    strategy: Annotated[str | None, Query(max_length=100)] = None,
    symbol: Annotated[str | None, Query(max_length=32)] = None,
    before: datetime | None = None,
    before_id: UUID | None = None,
) -> Response:
    """Orders in doubt on top, then open ones, then all, newest first."""
    sources: Sources = request.app.state.sources
    database, ref = sources.database, sources.account_ref
    cursor = (before, str(before_id)) if before is not None and before_id is not None else None
    listed = card(
        lambda: rows.list_orders(
            database,
            ref,
            state=state,
            strategy=strategy or None,
            symbol=symbol or None,
            before=cursor,
            limit=_PAGE,
        )
    )
    found = listed.value or []
    return render(
        request,
        "orders.html",
        orders=listed,
        doubts=card(lambda: in_doubt(sources)),
        open_orders=card(lambda: rows.list_orders(database, ref, is_open=True, limit=200)),
        counts=card(lambda: rows.count_orders(database, ref)),
        quality=card(lambda: execution_quality.quality(database, ref)),
        denials=card(lambda: execution_quality.denials(database, ref)),
        state=state or "",
        strategy=strategy or "",
        symbol=symbol or "",
        states=[member.value for member in OrderState],
        last=found[-1] if len(found) == _PAGE else None,
    )


@router.get("/orders.csv")
def export(
    request: Request,
    state: _State = None,
    strategy: Annotated[str | None, Query(max_length=100)] = None,
    symbol: Annotated[str | None, Query(max_length=32)] = None,
) -> Response:
    """Orders as CSV, newest first: all, or those of the page's filter."""
    sources: Sources = request.app.state.sources
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for row in rows.list_orders(
        sources.database, sources.account_ref, state=state, strategy=strategy or None, symbol=symbol or None,
        limit=_MOST_EXPORTED,
    ):  # fmt: skip
        writer.writerow({name: _cell(row[name]) for name in _COLUMNS})
    headers = {"content-disposition": 'attachment; filename="orders.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/orders/{order}")
def order(request: Request, order: str) -> Response:
    """One order from its fills back to its bars, with every message that crossed the wire."""
    sources: Sources = request.app.state.sources
    document = PostgresLineage(sources.database).document(order)
    requests = PostgresOrderRequests(sources.database, sources.account_ref)
    settings = sources.settings
    return render(
        request,
        "order.html",
        story=document,
        standing=card(lambda: requests.standing(document["order"]["client_order_id"])),
        dagster_url=settings.dashboard.dagster_url,
        mlflow_url=settings.mlflow.tracking_uri,
        numbers=_risk_numbers(document),
    )


def in_doubt(sources: Sources) -> list[dict[str, Any]]:
    """Orders in doubt, longest first, each with its evidence and when the next look counts."""
    settle_s = sources.settings.submitter.settle_s
    return [
        {
            "client_order_id": record.client_order_id, "symbol": record.intent.symbol, "side": str(record.intent.side),
            "quantity": record.intent.quantity, "reason": record.reason, "evidence": evidence,
            "next_look_s": next_look_s(evidence, settle_s=settle_s),
        }
        for record, evidence in PostgresDoubts(sources.database, sources.account_ref).doubts()
    ]  # fmt: skip


def _risk_numbers(document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    if document["risk"] is None:
        return []
    findings = sorted(document["risk"]["findings"], key=lambda found: found["is_passed"])
    return [
        (found, ", ".join(f"{name} {value}" for name, value in sorted(found["numbers"].items()) if value != ""))
        for found in findings
    ]


def _cell(value: Any) -> Any:
    """Spreadsheets run what begins like a formula; a text that does is given a quote in front."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value.isoformat() if isinstance(value, datetime) else value
