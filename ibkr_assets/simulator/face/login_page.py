"""The page of a person: shows how the sessions stand, and its one button is the login in a browser.

The real gateway asks for a name, a password and a second factor there; here nobody can be kept out and nothing is
asked. What a login does is the work of `simulator.sessions`.
"""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from ibkr_assets.simulator.gateway import Gateway

#: What the real gateway says, and what programs that log in by browser look for.
SUCCESS = "Client login succeeds"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.125rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem; }}
dt {{ font-weight: 600; }}
button {{ font: inherit; min-height: 2.75rem; padding: 0.5rem 1.5rem; }}
:focus-visible {{ outline: 3px solid Highlight; outline-offset: 3px; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_FORM = """<p>This gateway is a simulation. No user name and no password are asked for or kept.</p>
<dl>
<dt>Login</dt><dd>{login}</dd>
<dt>Brokerage session</dt><dd>{brokerage}</dd>
<dt>Account</dt><dd>{account}</dd>
</dl>
<form method="post" action="/">
<button type="submit">Log in</button>
</form>"""
_BROKERAGE_WORDS = {
    "ok": "open",
    "lost": "closed",
    "competing": "held by another platform",
    "disconnected": "not connected",
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "cache-control": "no-store",
}


class LoginPage:
    """The ASGI application of `/` on the API port."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the page; a POST of its form logs in."""
        request = Request(scope, receive)
        self._gateway.tick()
        if request.method == "POST":
            self._gateway.session.log_in()
            page, status = _PAGE.format(title=SUCCESS, body="<p>You may close this page.</p>"), 200
        elif request.method in ("GET", "HEAD"):
            page, status = self._form(), 200
        else:
            page, status = _PAGE.format(title="Method not allowed", body=""), 405
        await HTMLResponse(page, status, _HEADERS)(scope, receive, send)

    def _form(self) -> str:
        session = self._gateway.session
        body = _FORM.format(
            login="logged in" if session.is_logged_in else "nobody is logged in",
            brokerage=_BROKERAGE_WORDS[session.brokerage.value],
            account=escape(self._gateway.options.account),
        )
        return _PAGE.format(title="Client Portal, simulated", body=body)
