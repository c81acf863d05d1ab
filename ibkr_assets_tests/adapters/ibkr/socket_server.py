"""A small websocket gateway on loopback: a tickle over HTTP is the raw server's, frames are what a test says."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

READY_FRAMES = (
    {"topic": "system", "success": "user123"},
    {"topic": "act", "args": {"accounts": ["DU1234567"]}},
    {"topic": "sts", "args": {"authenticated": True}},
)


class SocketServer:
    """Takes one connection after another; `received` holds every frame from clients, `cookies` every cookie."""

    def __init__(self, *, context: ssl.SSLContext | None = None, greeting: tuple[dict[str, Any], ...] = READY_FRAMES):
        self.greeting = greeting
        self.received: list[str] = []
        self.cookies: list[str] = []
        self.paths: list[str] = []
        self._open: list[ServerConnection] = []
        self._scheme = "https" if context else "http"
        self._server: Server = serve(self._handle, "127.0.0.1", 0, ssl=context, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The API's URL as a client is given it."""
        return f"{self._scheme}://127.0.0.1:{self._server.socket.getsockname()[1]}/v1/api"

    @property
    def connections(self) -> int:
        return len(self.cookies)

    def send(self, *values: dict[str, Any] | str) -> None:
        """Send frames on the newest connection."""
        for value in values:
            self._open[-1].send(value if isinstance(value, str) else json.dumps(value))

    def drop(self) -> None:
        """End the newest connection without a word."""
        self._open[-1].socket.shutdown(2)

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._server.shutdown()
        self._thread.join(5)

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self._open.append(connection)
        self.paths.append(connection.request.path)
        self.cookies.append(connection.request.headers.get("Cookie", ""))
        try:
            for frame in self.greeting:
                connection.send(json.dumps(frame))
            for message in connection:
                self.received.append(str(message))
        except ConnectionClosed:
            pass


def wait(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
