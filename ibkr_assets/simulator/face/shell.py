"""From a socket to a handler and back: length checks, limits, faults, sessions, the wire log, resets.

The order of these is the gateway's: the limiter stands before the login, and the login before everything else. What
a request means is the handlers' work.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email.utils import formatdate

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, Handler, Needs, Routes, refusal
from ibkr_assets.simulator.face.sessions import what_is_missing
from ibkr_assets.simulator.face.strikes import Line
from ibkr_assets.simulator.faults.board import FaultBoard
from ibkr_assets.simulator.faults.fault import Situation
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.pacing import HISTORY_CONCURRENT

PREFIX = "/v1/api"
_TOO_MANY_CHARTS = "Too many history charts requests, please try again later."


class Connections:
    """Open connections by peer, so that one can be written to, or ended, past the HTTP server."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], Line] = {}

    def protocol(self) -> type[HttpToolsProtocol]:
        """A protocol class that keeps this list."""
        lines = self._lines

        class ListedProtocol(HttpToolsProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client is not None:
                    lines[self.client] = Line(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if self.client in lines:
                    lines.pop(self.client).lost.set()

        return ListedProtocol

    def forget(self, peer: tuple[str, int]) -> Line | None:
        """Take a connection off the list that is no longer the HTTP server's."""
        return self._lines.pop(peer, None)

    def line(self, peer: tuple[str, int]) -> Line | None:
        """The connection of a client, or None when it has ended."""
        return self._lines.get(peer)


class ApiShell:
    """The ASGI application of the API port."""

    def __init__(self, gateway: Gateway, routes: Routes, connections: Connections, faults: FaultBoard) -> None:
        self._gateway = gateway
        self._faults = faults
        self._routes = routes
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        is_whole, body = True, b""
        try:
            body = await request.body()
        except ClientDisconnect:
            is_whole = False
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
        if not is_whole:  # nobody is there to be answered, and half a request is none
            gateway.wirelog.answer(row, "disconnected", b"")
            return
        answer = await self._answer(request, found, body, port)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.delivery is not None:
            has_status = not answer.delivery.is_headless
            gateway.wirelog.answer(
                row, answer.status if has_status else "reset" if answer.delivery.is_reset else "silence",
                answer.content if has_status else b"",
            )  # fmt: skip
            line = self._connections.line((host, port))
            if line is not None:
                await line.deliver(answer)
            return
        content = answer.content
        gateway.wirelog.answer(row, answer.status, content)
        headers = {"date": formatdate(usegmt=True), **answer.headers}
        response = Response(content, answer.status, headers, answer.media)
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
        params = {} if isinstance(found, int) else found[3]
        situation = Situation(gateway, route, request.method, params, dict(request.query_params), body)
        struck = self._faults.strike_instead(situation)
        if struck is not None:
            gateway.ledger.flush()
            return struck
        if isinstance(found, int):
            return refusal(found, "Not Found" if found == 404 else "Method Not Allowed")
        call = Call(gateway, route, params, situation.query, body, port)
        if route == "history":
            return await self._answer_history(call, found[1], found[2], situation)
        return self._handle(call, found[1], found[2], situation)

    async def _answer_history(self, call: Call, handler: Handler, needs: Needs, situation: Situation) -> Answer:
        gateway = self._gateway
        if gateway.history_running >= HISTORY_CONCURRENT:
            return Answer({"error": _TOO_MANY_CHARTS}, 429)
        gateway.history_running += 1
        try:
            await asyncio.sleep(gateway.options.history_latency_s)
            return self._handle(call, handler, needs, situation)
        finally:
            gateway.history_running -= 1

    def _handle(self, call: Call, handler: Handler, needs: Needs, situation: Situation) -> Answer:
        gateway = self._gateway
        gateway.session.touch()
        missing = what_is_missing(gateway, needs)
        if missing is not None:
            return missing
        book = gateway.venue.book
        accepted_before = book.order_count
        gateway.peer_port = call.peer_port
        try:
            answer = handler(call)
        except BadRequest as error:
            answer = refusal(400, str(error))
        else:
            accepted = next(reversed(book.orders.values())) if book.order_count > accepted_before else None
            answer = self._faults.strike_after(replace(situation, answer=answer, accepted=accepted))
        finally:
            gateway.peer_port = None
            gateway.ledger.flush()
        return answer
