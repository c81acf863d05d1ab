"""Bars that validation kept back: why, beside their neighbours, what somebody decides on them, and who may not trade.

What goes here: showing, and asking for a decision. What does not: the decision itself, which the command line takes by
the same function (`adapters.postgres.quarantine`); it computes nothing again, and says what rests on it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.adapters.postgres.views.quarantine import count_cases, list_cases, neighbours
from ibkr_assets.adapters.postgres.views.research import list_instruments
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.candles import draw_candles
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources, card
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.market.quarantine import Decision
from ibkr_assets.market.reasons import RELEASABLE, describe

router = APIRouter()
Key = Annotated[str, Form(min_length=8, max_length=64)]
Reason = Annotated[str, Form(min_length=1, max_length=500, pattern=r"\S")]
_PAGE = 50
_AROUND = 15
_PRICES = ("open", "high", "low", "close")
_CASE = r"^[0-9A-Za-z-]{1,80}\|(release|reject|)$"


@router.get("/quarantine")
def quarantine(
    request: Request,
    show: Literal["waiting", "decided", "all"] = "waiting",
    reason: Annotated[str, Query(max_length=64)] = "",
    symbol: Annotated[str, Query(max_length=32)] = "",
    before: datetime | None = None,
    before_id: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """What waits for a decision, newest first; filtered by reason and symbol."""
    sources: Sources = request.app.state.sources
    cursor = (before, before_id) if before is not None and before_id else None
    found = card(
        lambda: list_cases(
            sources.database, show=show, found=reason or None, symbol=symbol.upper() or None, before=cursor,
            limit=_PAGE,
        )
    )  # fmt: skip
    rows = found.value or []
    return render(
        request,
        "quarantine.html",
        cases=found,
        counts=card(lambda: count_cases(sources.database)),
        holds=card(lambda: PostgresQuarantine(sources.database).holds()),
        instruments=card(lambda: list_instruments(sources.database)),
        is_fresh=request.state.session.is_fresh(time.time()),
        show=show,
        reason=reason,
        symbol=symbol,
        describe=describe,
        releasable=RELEASABLE,
        last=rows[-1] if len(rows) == _PAGE else None,
    )


@router.get("/quarantine/{identity}")
def case(request: Request, identity: str) -> Response:
    """One row as it came, its neighbours, and what rests on it."""
    sources: Sources = request.app.state.sources
    store = PostgresQuarantine(sources.database)
    shown = store.case(identity)
    around = neighbours(sources.database, identity, _AROUND)
    candles = [_candle(row) for row in around["bars"]]
    is_among = any(row["opened_at"] == shown.opened_at for row in around["bars"])
    if shown.opened_at is not None and not is_among:
        candles = sorted([*candles, _candle(shown.values | {"opened_at": shown.opened_at})], key=lambda row: row[0])
    return render(
        request,
        "quarantine_case.html",
        case=shown,
        meaning=describe(shown.found),
        may_release=shown.found in RELEASABLE and not shown.id.startswith("row-"),
        raw=around["raw"],
        bars=_with_changes(around["bars"]),
        picture=draw_candles(candles, marked=shown.opened_at),
        rests=card(lambda: store.rests_on(identity)),
    )


@router.post("/quarantine/~decide")
def decide(
    request: Request,
    case: Annotated[list[Annotated[str, Form(pattern=_CASE)]], Form(min_length=1, max_length=_PAGE)],
    decision: Annotated[Literal["release", "reject"], Form()],
    reason: Reason,
    key: Key,
) -> Response:
    """Release or reject as they were shown, all or none; then says what has to be computed again.

    Each `case` is an id and, after a bar, the decision that the page showed on it.
    """
    sources: Sources = request.app.state.sources
    seen = {name: said or None for name, _, said in (text.partition("|") for text in case)}

    def do() -> str:
        decided = PostgresQuarantine(sources.database).decide(
            list(seen), Decision(decision), actor=_actor(request), reason=reason.strip(), seen=seen
        )  # fmt: skip
        return json.dumps(dataclasses.asdict(decided), default=str)

    subject = next(iter(seen)) + (f" and {len(seen) - 1} more" if len(seen) > 1 else "")
    told = json.loads(once(request, key, decision, subject, do, detail={"cases": list(seen), "reason": reason.strip()}))
    return render(request, "quarantine_decided.html", decision=decision, decided=told)


@router.post("/quarantine/~hold")
def hold(request: Request, conid: Annotated[int, Form()], reason: Reason, key: Key) -> Response:
    """Keep an instrument from trading until somebody lifts it."""
    sources: Sources = request.app.state.sources
    known = {row["conid"]: row["symbol"] for row in list_instruments(sources.database)}
    if conid not in known:
        raise InputError(f"conid: no bars of {conid}")

    def do() -> str:
        PostgresQuarantine(sources.database).hold(
            conid, actor=_actor(request), session=_login(request), reason=reason.strip()
        )
        return str(known[conid])

    once(request, key, "hold instrument", str(conid), do, detail={"reason": reason.strip()})
    return RedirectResponse("/quarantine#holds", 303)


@router.post("/quarantine/~lift")
def lift(
    request: Request, conid: Annotated[int, Form()], seen: Annotated[datetime, Form()], reason: Reason, key: Key
) -> Response:
    """Let a held instrument trade again, for the reasons that were shown: `seen` is the newest of them."""
    sources: Sources = request.app.state.sources
    if not request.state.session.is_fresh(time.time()):
        raise InputError("login: older than 15 minutes; log in again to let an instrument trade")
    store = PostgresQuarantine(sources.database)

    def do() -> str:
        newest = max((one.since for one in store.holds() if one.conid == conid), default=None)
        if newest != seen:
            raise LedgerConflict(f"what holds conid {conid} has changed since the page was loaded; look again")
        return str(store.lift(conid, actor=_actor(request), session=_login(request), reason=reason.strip()))

    once(request, key, "lift instrument", str(conid), do, detail={"reason": reason.strip()})
    return RedirectResponse("/quarantine#holds", 303)


def _actor(request: Request) -> str:
    return f"dashboard:{request.state.session.name}"


def _login(request: Request) -> str:
    return f"dashboard/{request.state.session.id}"


def _candle(row: Any) -> tuple[datetime, tuple[float | None, ...]]:
    return row["opened_at"], tuple(_number(row[name]) for name in _PRICES)


def _number(value: Any) -> float | None:
    """A price as a finite number; None for what is missing, is text, or is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _with_changes(bars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with the change of its close to the one before, as a fraction."""
    closes = [_number(row["close"]) for row in bars]
    changes = [
        None,
        *(now / then - 1 if now is not None and then else None for then, now in pairwise(closes)),
    ]
    return [row | {"change": change} for row, change in zip(bars, changes, strict=False)]
