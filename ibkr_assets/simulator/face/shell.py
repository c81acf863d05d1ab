"""From a socket to a handler and back: length checks, limits, faults, sessions, the wire log, resets.

The order of these is the gateway's: the limiter stands before the login, and the login before everything else. What
a request means is the handlers' work.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, Handler, Needs, Routes, refusal
from ibkr_assets.simulator.face.strikes import answer_of
from ibkr_assets.simulator.faults import Effect
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.pacing import HISTORY_CONCURRENT

PREFIX = "/v1/api"
_RESET_BOUND_S = 5.0
_TOO_MANY_CHARTS = "Too many history charts requests, please try again later."


class Connections:
    """Open connections by peer, so that one can be reset in the middle of a request."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], tuple[asyncio.Transport, asyncio.Event]] = {}

    def protocol(self) -> type[HttpToolsProtocol]:
        """A protocol class that keeps this list."""
        transports = self._transports

        class ListedProtocol(HttpToolsProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client is not None:
                    transports[self.client] = transport, asyncio.Event()

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if self.client in transports:
                    transports.pop(self.client)[1].set()

        return ListedProtocol

    async def reset(self, peer: tuple[str, int]) -> None:
        """End a connection with a TCP reset: no byte of an answer, and no orderly end."""
        transport, lost = self._transports[peer]
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        # The server must know that the connection is gone before the request ends, or it would answer a 500 itself.
        await asyncio.wait_for(lost.wait(), _RESET_BOUND_S)


class ApiShell:
    """The ASGI application of the API port."""

    def __init__(self, gateway: Gateway, routes: Routes, connections: Connections) -> None:
        self._gateway = gateway
        self._routes = routes
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        path = request.url.path
        inner = path.removeprefix(PREFIX) if path.startswith(PREFIX + "/") else None
        found = self._routes.find(request.method, inner) if inner is not None else 404
        route = found if isinstance(found, int) else found[0]
        host, port = scope["client"]
        gateway = self._gateway
        row = gateway.wirelog.request(
            str(route), request.method, path, request.url.query, body,
            at=gateway.venue.now.isoformat(), t_mono=gateway.mono(), peer_port=port,
        )  # fmt: skip
        answer = await self._answer(request, found, body, port)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.body is Effect.RESET:
            gateway.wirelog.answer(row, "reset", b"")
            await self._connections.reset((host, port))
            return
        content = answer.content
        gateway.wirelog.answer(row, answer.status, content)
        response = Response(content, answer.status, dict(answer.headers), answer.media)
        await response(scope, receive, send)

    async def _answer(
        self, request: Request, found: tuple[str, Handler, Needs, dict[str, str]] | int, body: bytes, port: int
    ) -> Answer:
        if request.method == "POST" and "content-length" not in request.headers:
            return Answer(b"", 411, "text/plain")
        gateway = self._gateway
        route = "" if isinstance(found, int) else found[0]
        if not gateway.pacer.admits(route, gateway.mono()):
            return refusal(429, "Too Many Requests")
        gateway.tick()
        struck = gateway.faults.strikes(route, is_after=False)
        if struck is not None:
            return answer_of(struck)
        if isinstance(found, int):
            return refusal(found, "Not Found" if found == 404 else "Method Not Allowed")
        call = Call(gateway, route, found[3], dict(request.query_params), body, port)
        if route == "history":
            return await self._answer_history(call, found[1], found[2])
        return self._handle(call, found[1], found[2])

    async def _answer_history(self, call: Call, handler: Handler, needs: Needs) -> Answer:
        gateway = self._gateway
        if gateway.history_running >= HISTORY_CONCURRENT:
            return Answer({"error": _TOO_MANY_CHARTS}, 429)
        gateway.history_running += 1
        try:
            await asyncio.sleep(gateway.options.history_latency_s)
            return self._handle(call, handler, needs)
        finally:
            gateway.history_running -= 1

    def _handle(self, call: Call, handler: Handler, needs: Needs) -> Answer:
        gateway = self._gateway
        gateway.session.touch(gateway.mono())
        missing = _what_is_missing(gateway, needs)
        if missing is not None:
            return missing
        accepted_before = gateway.venue.book.order_count
        gateway.peer_port = call.peer_port
        try:
            answer = handler(call)
        except BadRequest as error:
            answer = refusal(400, str(error))
        finally:
            gateway.peer_port = None
            gateway.ledger.flush()
        if gateway.venue.book.order_count > accepted_before:
            struck = gateway.faults.strikes(call.route, is_after=True)
            if struck is not None:
                return answer_of(struck)
        return answer


def _what_is_missing(gateway: Gateway, needs: Needs) -> Answer | None:
    session = gateway.session
    if needs >= Needs.LOGIN and not session.is_logged_in:
        return refusal(401, "no session")
    if needs >= Needs.BROKERAGE and not session.is_ready:
        return refusal(400, "Bad Request: no bridge")
    if needs >= Needs.ACCOUNTS and not session.memory.is_accounts_read:
        return refusal(500, "Please query /accounts first")
    return None
