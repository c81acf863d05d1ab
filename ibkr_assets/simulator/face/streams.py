"""The websocket: who may connect, when it is ready, what is told unasked, and how it ends.

What a client's frames mean is `stream_topics`' work, who waits for what is `simulator.stream_hub`'s. A frame that
comes before the gateway said `success` vanishes, as at IBKR.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import cookie_parser
from starlette.types import Receive, Scope, Send

from ibkr_assets.simulator.face.accounts import accounts_object
from ibkr_assets.simulator.face.exchange import Needs
from ibkr_assets.simulator.face.sessions import SERVER, USER, what_is_missing
from ibkr_assets.simulator.face.shell import PREFIX, Connections
from ibkr_assets.simulator.face.stream_topics import UNSUBSCRIBES, StreamRefusal, Wish, subscribe, unsubscribe
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.stream_hub import StreamConnection

_GOING_AWAY = 1001


class StreamShell:
    """The ASGI application of the websocket."""

    def __init__(self, gateway: Gateway, connections: Connections) -> None:
        self._gateway = gateway
        self._sockets = connections
        gateway.session.watch(self._session_changed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until either side ends it."""
        await receive()
        gateway = self._gateway
        gateway.tick()
        peer = (str(scope["client"][0]), int(scope["client"][1]))
        refused = what_is_missing(gateway, Needs.LOGIN)
        status = 404 if scope["path"].rstrip("/") != f"{PREFIX}/ws" else refused.status if refused else 101
        row = gateway.wirelog.request(
            "ws", "GET", scope["path"], "", b"", at=gateway.venue.now.isoformat(), t_mono=gateway.mono(),
            peer_port=peer[1],
        )  # fmt: skip
        gateway.wirelog.answer(row, status, b"")
        if status != 101:
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        connection = StreamConnection(peer, gateway.mono())
        gateway.streams.connections.append(connection)
        try:
            await self._converse(connection, scope, receive, send)
        finally:
            gateway.streams.connections.remove(connection)
            connection.end_feeds(brokerage_only=False)
            line = self._sockets.forget(peer)
            if line is not None and connection.is_dropped:
                line.abort()

    async def _converse(self, connection: StreamConnection, scope: Scope, receive: Receive, send: Send) -> None:
        talks = [
            asyncio.create_task(self._listen(connection, scope, receive)),
            asyncio.create_task(_speak(connection, send)),
            asyncio.create_task(connection.until_dropped()),
        ]
        try:
            done, _ = await asyncio.wait(talks, return_when=asyncio.FIRST_COMPLETED)
            for talk in done:
                talk.result()
        finally:
            for talk in talks:
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)

    async def _listen(self, connection: StreamConnection, scope: Scope, receive: Receive) -> None:
        given = _session_of(scope)
        if given == self._gateway.session.id:
            asyncio.get_running_loop().call_later(
                self._gateway.options.stream_ready_s, self._make_ready, connection, given
            )
        else:
            connection.push({"message": "waiting for session"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text") or (message.get("bytes") or b"").decode("utf-8", "replace")
            self._gateway.tick()
            if connection.is_ready:
                self._take(connection, text)
            elif connection.session_id is None and _session_in(text) == self._gateway.session.id:
                self._make_ready(connection, self._gateway.session.id)

    def _make_ready(self, connection: StreamConnection, session_id: str) -> None:
        """Tell who is there and how the sessions stand; from now on frames are heard."""
        if connection not in self._gateway.streams.connections or session_id != self._gateway.session.id:
            return
        connection.session_id = session_id
        connection.is_ready = True
        connection.heartbeat_at = self._gateway.mono()
        connection.push({"topic": "system", "success": USER, "isFT": False, "isPaper": True})
        if self._gateway.session.is_authenticated:
            connection.push({"topic": "act", "args": accounts_object(self._gateway)})
        self._tell_status(connection)

    def _take(self, connection: StreamConnection, text: str) -> None:
        gateway, wish = self._gateway, Wish.parse(text)
        if text.strip() == "ech+hb":
            connection.push("ech+hb")
        elif wish.topic == "tic":
            now_ms = round(time.time() * 1000)
            connection.push({"topic": "tic", "alive": True, "id": gateway.session.id, "lastAccessed": now_ms})
        else:
            try:
                if wish.topic in UNSUBSCRIBES:
                    unsubscribe(connection, wish)
                else:
                    subscribe(gateway, connection, wish, gateway.mono())
            except StreamRefusal as refusal:
                connection.push({"error": str(refusal)})

    def _session_changed(self) -> None:
        """Tell everybody; the connections of a session that is over end."""
        session = self._gateway.session
        for connection in self._gateway.streams.connections:
            if not connection.is_ready:
                continue
            connection.end_feeds(brokerage_only=True)
            self._tell_status(connection)
            if not session.is_logged_in or connection.session_id != session.id:
                connection.finish()
            elif session.is_authenticated:
                connection.push({"topic": "act", "args": accounts_object(self._gateway)})

    def _tell_status(self, connection: StreamConnection) -> None:
        session = self._gateway.session
        is_there = session.is_authenticated and connection.session_id == session.id
        connection.push({"topic": "sts", "args": {"authenticated": is_there}})
        connection.push({"topic": "sts", "args": {"competing": session.brokerage.value == "competing"}})
        connection.push({"topic": "sts", "args": {"message": "", "fail": "", **SERVER, "username": USER}})


async def _speak(connection: StreamConnection, send: Send) -> None:
    while True:
        text = await connection.next_text()
        try:
            if text is None:
                await send({"type": "websocket.close", "code": _GOING_AWAY})
                return
            await send({"type": "websocket.send", "text": text})
        except OSError:  # what the server raises when the other side has gone
            return


def _session_of(scope: Scope) -> str | None:
    """The session id that came with the connection: in the cookie `api`, as JSON or bare, or in the query."""
    raw: bytes = scope["query_string"]
    query = parse_qs(raw.decode("latin-1"))
    for name in ("session", "oauth_token"):
        if name in query:
            return query[name][0]
    header = next((value for name, value in scope["headers"] if name == b"cookie"), b"")
    cookie = str(cookie_parser(header.decode("latin-1")).get("api", ""))
    return _session_in(cookie) or cookie or None


def _session_in(text: str) -> str | None:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    session = value.get("session") if isinstance(value, dict) else None
    return session if isinstance(session, str) else None
