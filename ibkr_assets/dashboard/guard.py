"""What every request passes before any page sees it: host, session, role, origin, and the token of its form.

What goes here: refusing, and the headers that every answer carries. What does not: who may do what
(`dashboard.access`). Only the guard reads the token, so no route can forget to.
"""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ibkr_assets.dashboard.access import ROUTES, Role
from ibkr_assets.dashboard.login import Session, Sessions
from ibkr_assets.domain.host import is_loopback

_MOST_BODY = 256 * 1024
#: The one inline style that is let through, by its hash: the price chart's own, which shows whose work it is.
_CHART_STYLE = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY="
_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' '{_CHART_STYLE}'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not stricter: without a referrer a browser gives no origin with a form, and that is what tells ours from others.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware around all of the dashboard. The session is `request.state.session` behind it."""

    def __init__(
        self, app: ASGIApp, *, router: Router, sessions: Sessions, allowed_hosts: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._router = router
        self._sessions = sessions
        self._hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        connection = HTTPConnection(scope)
        session = self._sessions.read(connection.cookies.get(cookie_name(connection)))
        scope["state"]["session"] = session
        method = "WS" if scope["type"] == "websocket" else scope["method"]
        refusal = self._refuse(connection, method, session)
        if refusal is None and method not in ("GET", "HEAD", "WS"):
            receive, refusal = await self._check_form(connection, receive, session)
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403, "reason": "refused"})
            return
        answer = self._app if refusal is None else refusal
        await answer(scope, receive, _with_headers(send))

    def _refuse(self, connection: HTTPConnection, method: str, session: Session | None) -> Response | None:
        if not self._is_own_host(connection.headers):
            return PlainTextResponse("misdirected: this host name is not one of the dashboard's", 421)
        role = self._role(connection.scope, "GET" if method == "HEAD" else method)
        if role is None:
            if session is None:
                return _ask_to_log_in(connection, method)
            return PlainTextResponse("no such page", 404)
        if method not in ("GET", "HEAD") and not _is_same_origin(connection):
            return PlainTextResponse("refused: the request comes from another site", 403)
        if role is Role.NOBODY:
            return None
        if session is None:
            return _ask_to_log_in(connection, method)
        if session.role < role:
            return PlainTextResponse(f"refused: this takes the role {role.name.lower()}", 403)
        return None

    def _is_own_host(self, headers: Headers) -> bool:
        host = headers.get("host", "").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name in self._hosts or is_loopback(name.strip("[]"))

    def _role(self, scope: Scope, method: str) -> Role | None:
        """The role that the route takes; None for no route, and for one that nobody declared."""
        for route in self._router.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return ROUTES.get((method, getattr(route, "path", "")))
        return None

    async def _check_form(
        self, connection: HTTPConnection, receive: Receive, session: Session | None
    ) -> tuple[Receive, Response | None]:
        """Read the body once, check its token, and give it back to be read by the page."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return receive, PlainTextResponse("the request ended early", 400)
            body += message.get("body", b"")
            if len(body) > _MOST_BODY:
                return receive, PlainTextResponse(f"the request is larger than {_MOST_BODY} bytes", 413)
            if not message.get("more_body"):
                break
        if session is not None:
            given = connection.headers.get("x-csrf-token", "")
            if not given and connection.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                given = parse_qs(body.decode("utf-8", errors="replace")).get("csrf", [""])[0]
            if not secrets.compare_digest(given.encode(), session.token.encode()):
                return receive, PlainTextResponse("refused: the form is not one of this session's; load it again", 403)
        return _replay(body, receive), None


def cookie_name(connection: HTTPConnection) -> str:
    """Cookies of one host are shared by all its ports; the name keeps two dashboards of a machine apart."""
    port = connection.url.port or (443 if connection.url.scheme in ("https", "wss") else 80)
    prefix = "__Host-" if connection.url.scheme in ("https", "wss") else ""
    return f"{prefix}ibkr-assets-{port}"


def set_session(response: Response, connection: HTTPConnection, value: str, *, max_age_s: int) -> None:
    """Hand the session to the browser: not readable by scripts, not sent from other sites."""
    response.set_cookie(
        cookie_name(connection), value, max_age=max_age_s, path="/", httponly=True, samesite="strict",
        secure=connection.url.scheme == "https",
    )  # fmt: skip


def _is_same_origin(connection: HTTPConnection) -> bool:
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    if connection.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return connection.headers.get("origin", "") == f"{scheme}://{connection.headers.get('host', '')}"


def _ask_to_log_in(connection: HTTPConnection, method: str) -> Response:
    if method in ("GET", "HEAD") and not connection.url.path.startswith("/api/"):
        query = f"?{connection.url.query}" if connection.url.query else ""
        return RedirectResponse(f"/login?next={quote(connection.url.path + query)}", 303)
    return PlainTextResponse("log in first", 401)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with
