"""Logging in and out: by password, or by a link that works once."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.guard import cookie_name, set_session
from ibkr_assets.dashboard.login import SESSION_S, is_link, use_link
from ibkr_assets.dashboard.rendering import environment

router = APIRouter()


@router.get("/health")
def health() -> Response:
    """That the process answers; it says nothing about anything else."""
    return Response("ok", media_type="text/plain")


@router.get("/login")
def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - the word in the address
    """The form."""
    return _page(request, "", wanted=_own_path(next))


@router.post("/login")
def log_in(
    request: Request,
    name: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Let in whoever knows a password; too many failures are refused unread for a while."""
    client = request.client.host if request.client else "unknown"
    passwords = request.app.state.passwords
    if passwords.is_blocked(client, name):
        return _page(request, "Too many tries. Wait 15 minutes.", wanted=_own_path(next), status=429)
    role = passwords.check(client, name, password)
    if role is None:
        return _page(request, "Name or password is wrong.", wanted=_own_path(next), status=401)
    return _enter(request, name, role, _own_path(next))


@router.get("/login/{token}")
def ask_by_link(request: Request, token: str) -> Response:
    """One button: a page that is only fetched, by a preview say, uses nothing up."""
    if not is_link(request.app.state.directory, token, now=time.time()):
        return _page(request, "This link was used or is too old. Make another: ibkr-assets dashboard link", status=401)
    return _page(request, "", token=token)


@router.post("/login/{token}")
def log_in_by_link(request: Request, token: str) -> Response:
    """Let in the first one who brings the link's token."""
    role = use_link(request.app.state.directory, token, now=time.time())
    if role is None:
        return _page(request, "This link was used or is too old. Make another: ibkr-assets dashboard link", status=401)
    return _enter(request, "link", role, "/")


@router.post("/logout")
def log_out(request: Request) -> Response:
    """End the session, here and for any copy of its cookie."""
    request.app.state.sessions.end(request.state.session)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(request), path="/")
    return answer


@router.post("/theme")
def choose_theme(request: Request, theme: Annotated[str, Form(pattern="^(dark|light|)$")] = "") -> Response:
    """Keep the choice of light or dark; empty is as the system has it."""
    back = request.headers.get("referer", "/").partition(request.headers.get("host", "/"))[2] or "/"
    answer = RedirectResponse(_own_path(back), 303)
    answer.set_cookie("theme", theme, max_age=365 * 86400, path="/", samesite="strict", httponly=True)
    return answer


def _enter(request: Request, name: str, role: Role, wanted: str) -> Response:
    sessions = request.app.state.sessions
    answer = RedirectResponse(wanted, 303)
    set_session(answer, request, sessions.write(sessions.begin(name, role)), max_age_s=int(SESSION_S))
    return answer


def _own_path(wanted: str) -> str:
    """Only a path of ours: never another site after a login."""
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\", "/login")) else "/"


def _page(request: Request, problem: str, *, wanted: str = "/", token: str = "", status: int = 200) -> Response:
    text = environment().get_template("login.html").render(
        problem=problem, wanted=wanted, token=token, theme=request.cookies.get("theme", ""),
        has_users=bool(request.app.state.sources.settings.dashboard.users),
    )  # fmt: skip
    return Response(text, status, media_type="text/html")
