"""Stopping, and giving permission back. Stopping needs Postgres or the disk, and nothing else.

What goes here: the two forms. What does not: what withdrawn permission means (`execution.permission`, and the guards
of the database). Stopping is one press and a word; giving back takes a reason and a fresh login.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.views.condition import condition
from ibkr_assets.dashboard.audit import once
from ibkr_assets.dashboard.rendering import render
from ibkr_assets.dashboard.sources import Sources
from ibkr_assets.domain.errors import InputError, LedgerConflict, Unavailable
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.kill import kill_file, read_kill_file, remove_kill_file, write_kill_file

router = APIRouter()
_WORD = "STOP"


@router.get("/stop")
def ask(request: Request) -> Response:
    """What stopping does, and the forms for it and for giving permission back."""
    sources: Sources = request.app.state.sources
    return render(
        request,
        "stop.html",
        kill_file=read_kill_file(kill_file(sources.settings.data_dir)),
        is_fresh=request.state.session.is_fresh(time.time()),
        word=_WORD,
    )


@router.post("/stop")
def stop(
    request: Request,
    level: Annotated[Literal["kill", "kill_cancel"], Form()],
    word: Annotated[str, Form(max_length=20)],
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Withdraw permission to trade; into the kill file where the database does not answer."""
    if word.strip().upper() != _WORD:
        raise InputError(f"word: type {_WORD} to stop, got {word!r}")
    sources: Sources = request.app.state.sources
    session = request.state.session
    why = reason.strip() or "stopped from the dashboard"
    actor, login = f"dashboard:{session.name}", f"dashboard/{session.id}"
    try:
        bootstrap.order_ledger(sources.settings).control(
            level, scope="global", actor=actor, session=login, reason=why, expires_at=None, evidence=None
        )
    except Unavailable:
        write_kill_file(sources.settings.data_dir, actor=actor, session=login, reason=why, level=level)
    return RedirectResponse("/stop?done=stopped", 303)


@router.post("/resume")
def resume(
    request: Request,
    reason: Annotated[str, Form(max_length=500)],
    seen: Annotated[int, Form()],
    key: Annotated[str, Form(min_length=8, max_length=64)],
) -> Response:
    """Take a kill back, as it was shown; live is armed again at the command line."""
    sources: Sources = request.app.state.sources
    session = request.state.session
    if not reason.strip():
        raise InputError("reason: say why it is safe to trade again")
    if not session.is_fresh(time.time()):
        raise InputError("login: older than 15 minutes; log in again to give permission to trade")
    path = kill_file(sources.settings.data_dir)
    written = read_kill_file(path)
    login = f"dashboard/{session.id}"
    if written is not None and sources.settings.mode in (Mode.PAPER, Mode.LIVE) and written.session == login:
        raise InputError(f"resume of the kill file is refused in mode {sources.settings.mode}: this login wrote it")

    def do() -> str:
        now = condition(sources.database, sources.account_ref)
        if (now["control_id"] or 0) != seen:
            raise LedgerConflict("permission has changed since the page was loaded; look again")
        bootstrap.order_ledger(sources.settings).control(
            "resume", scope="global", actor=f"dashboard:{session.name}", session=login, reason=reason.strip(),
            expires_at=None, evidence=None,
        )  # fmt: skip
        if written is not None:
            remove_kill_file(sources.settings.data_dir)
        return "resumed"

    once(request, key, "resume", "global", do, detail={"reason": reason.strip()})
    return RedirectResponse("/stop?done=resumed", 303)
