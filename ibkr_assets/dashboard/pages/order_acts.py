"""What people do about orders and positions: cancel one, look again, end a doubt, close what is held.

What goes here: the forms and what each is refused for. What does not: reaching the broker; the submitter acts on the
rows that these write. Each act names what the person saw, and is refused when that has changed.
"""

from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.account_history import load_history
from ibkr_assets.adapters.postgres.doubts import PostgresDoubts
from ibkr_assets.adapters.postgres.order_requests import PostgresOrderRequests
from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.domain.errors import InputError, LedgerConflict
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.evidence import next_look_s
from ibkr_assets.portfolio.statement import NOBODY, results_by_position, results_by_strategy

router = APIRouter()
Key = Annotated[str, Form(min_length=8, max_length=64)]
Reason = Annotated[str, Form(max_length=500)]
#: The mode of whoever acts by real money asks for a fresh login.
_REAL = (Mode.PAPER, Mode.LIVE)


@router.post("/orders/{order}/cancel")
def cancel(
    request: Request,
    order: str,
    seen_state: Annotated[str, Form(pattern="^[A-Z_]{1,30}$")],
    seen_filled: Annotated[Decimal, Form()],
    key: Key,
    reason: Reason = "",
) -> Response:
    """Ask the submitter to cancel one order; one that has not left never leaves."""
    sources: Sources = request.app.state.sources
    requests = PostgresOrderRequests(sources.database, sources.account_ref)
    why = reason.strip() or "cancelled from the dashboard"

    def do() -> str:
        requests.cancel(
            order, actor=_actor(request), session=_login(request), reason=why, seen_state=seen_state,
            seen_filled=seen_filled,
        )  # fmt: skip
        return "asked"

    once(request, key, "cancel order", order, do, detail={"reason": why, "state": seen_state})
    return RedirectResponse(f"/orders/{order}", 303)


@router.post("/orders/{order}/look")
def look(request: Request, order: str, key: Key) -> Response:
    """Have the submitter read both lists of the broker now."""
    sources: Sources = request.app.state.sources
    resolutions = PostgresResolutions(sources.database, sources.account_ref)
    once(request, key, "look again", order, lambda: str(resolutions.ask(_actor(request))))
    return RedirectResponse(f"/orders/{order}/doubt", 303)


@router.get("/orders/{order}/doubt")
def doubt(request: Request, order: str) -> Response:
    """The evidence about an order, and the form that ends a doubt which looks cannot."""
    sources: Sources = request.app.state.sources
    standing = PostgresOrderRequests(sources.database, sources.account_ref).standing(order)
    doubts = PostgresDoubts(sources.database, sources.account_ref).doubts()
    evidence = next((found for record, found in doubts if record.client_order_id == order), None)
    settle_s = sources.settings.submitter.settle_s
    return render(
        request,
        "doubt.html",
        order=standing,
        evidence=evidence,
        next_s=None if evidence is None else next_look_s(evidence, settle_s=settle_s),
        is_fresh=request.state.session.is_fresh(time.time()),
    )


@router.post("/orders/{order}/doubt")
def state_absent(
    request: Request,
    order: str,
    unknown_since: Annotated[datetime, Form()],
    word: Annotated[str, Form(max_length=64)],
    reason: Annotated[str, Form(min_length=10, max_length=500)],
    key: Key,
) -> Response:
    """Say that an order in doubt was never placed; taken only after looks that did not show it."""
    sources: Sources = request.app.state.sources
    requests = PostgresOrderRequests(sources.database, sources.account_ref)
    if word.strip() != order[-6:]:
        raise InputError(f"word: type the last six characters of the order's id, {order[-6:]}, got {word!r}")
    _require_fresh(request, "to end a doubt")

    def do() -> str:
        requests.state_absent(
            order, actor=_actor(request), session=_login(request), reason=reason.strip(), unknown_since=unknown_since
        )
        return "stated"

    once(request, key, "state absent", order, do, detail={"reason": reason.strip()})
    return RedirectResponse(f"/orders/{order}", 303)


@router.get("/positions/{conid}/close")
def ask_to_close(request: Request, conid: int) -> Response:
    """What closing would do, and the form."""
    sources: Sources = request.app.state.sources
    held = _held(sources, conid)
    return render(request, "close.html", held=held, is_fresh=request.state.session.is_fresh(time.time()))


@router.post("/positions/{conid}/close")
def close(
    request: Request,
    conid: int,
    seen: Annotated[Decimal, Form()],
    key: Key,
    reason: Reason = "",
    terms: Annotated[Literal["rehearse", "trade"], Form()] = "rehearse",
) -> Response:
    """Propose the orders that close a position, as it was shown, through the review of every order."""
    sources: Sources = request.app.state.sources
    if terms == "trade" and sources.settings.mode in _REAL:
        _require_fresh(request, "to close a position")

    def do() -> str:
        held = _held(sources, conid)
        if held["quantity"] != seen:
            raise LedgerConflict(
                f"{held['symbol']}: {held['quantity']} shares are held now, the page showed {seen}; look again"
            )
        return _propose(request, sources, held, terms)

    detail = {"terms": terms, "shares": str(seen), "reason": reason.strip()}
    first = once(request, key, "close position", str(conid), do, detail=detail).split()[0]
    return RedirectResponse(f"/orders/{first}", 303)


def _propose(request: Request, sources: Sources, held: dict[str, Any], terms: str) -> str:
    """Client order ids of what was proposed, or was proposed before, one after the other."""
    from ibkr_assets.execution.closing import close_position

    settings = sources.settings
    instruments = {found.conid: found for found in bootstrap.bar_store(settings).instruments()}
    if held["conid"] not in instruments:
        raise InputError(f"conid: no contract is stored for {held['conid']}")
    records = close_position(
        held["by_strategy"], held["price"], instruments[held["conid"]], book=bootstrap.intent_book(settings),
        calendar=bootstrap.calendar(settings), now=bootstrap.clock(settings).now(),
        limits=sources.limits(),
        account_ref=sources.account_ref, mode=Mode.DRY_RUN if terms == "rehearse" else settings.mode,
        platform_mode=settings.mode, created_by=_actor(request),
    )  # fmt: skip
    return " ".join(record.client_order_id for record in records)


def _held(sources: Sources, conid: int) -> dict[str, Any]:
    """What is held of one instrument, by strategy; shares that no strategy bought go by the account's own name."""
    history = load_history(sources.database, sources.account_ref)
    position = next((row for row in results_by_position(history) if row.conid == conid and row.quantity), None)
    if position is None:
        raise InputError(f"position: none is held in conid {conid}")
    owned = {row.owner: row.quantity for row in results_by_strategy(history) if row.conid == conid and row.quantity}
    names = {owner if owner != NOBODY else "by-hand": quantity for owner, quantity in owned.items()}
    return {
        "conid": conid, "symbol": position.symbol, "quantity": position.quantity, "price": position.price,
        "value": position.value, "at": history.valuations[-1].at, "by_strategy": names,
    }  # fmt: skip


def _actor(request: Request) -> str:
    return f"dashboard:{request.state.session.name}"


def _login(request: Request) -> str:
    return f"dashboard/{request.state.session.id}"


def _require_fresh(request: Request, what: str) -> None:
    if not request.state.session.is_fresh(time.time()):
        raise InputError(f"login: older than 15 minutes; log in again {what}")
