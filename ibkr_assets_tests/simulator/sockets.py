"""A websocket to the gateway, read frame by frame with a bound on every wait."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

from ibkr_assets_tests.gateway import RunningGateway
from ibkr_assets_tests.simulator.clients import Api

_BOUND_S = 5.0


class Stream:
    """One websocket. Heartbeats are left out unless they are asked for."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, text: str) -> None:
        self.connection.send(text)

    def next(self, bound_s: float = _BOUND_S) -> Any:
        """The next frame that is no heartbeat."""
        deadline = time.monotonic() + bound_s
        while True:
            text = self.connection.recv(timeout=max(deadline - time.monotonic(), 0.001))
            assert isinstance(text, str)
            frame = json.loads(text) if text.startswith("{") else text
            if not (isinstance(frame, dict) and "hb" in frame):
                return frame

    def until(self, topic: str) -> dict[str, Any]:
        """The next frame of a topic; what comes before is passed over."""
        while True:
            frame = self.next()
            if isinstance(frame, dict) and frame.get("topic") == topic:
                return frame

    def ask(self, text: str) -> Any:
        """Send, and give the next frame."""
        self.send(text)
        return self.next()

    def silence(self) -> None:
        """Make sure that nothing was to come: what follows next is the answer to an echo."""
        assert self.ask("ech+hb") == "ech+hb"


@contextlib.contextmanager
def open_socket(
    gateway: RunningGateway, *, session: str | None = None, query: str = "", context: ssl.SSLContext | None = None
) -> Iterator[Stream]:
    """A websocket, ready or not. Without `session` no cookie is shown."""
    cookie = {} if session is None else {"Cookie": "api=" + json.dumps({"session": session})}
    url = gateway.api_url.replace("http", "ws", 1) + "/ws" + query
    with connect(url, additional_headers=cookie, ssl=context, proxy=None, close_timeout=1) as connection:
        yield Stream(connection)


@contextlib.contextmanager
def open_stream(gateway: RunningGateway, api: Api) -> Iterator[Stream]:
    """A websocket that has been told everything that is told unasked."""
    with open_socket(gateway, session=api.post("/tickle").json()["session"]) as stream:
        while "serverName" not in stream.until("sts")["args"]:
            pass
        yield stream
