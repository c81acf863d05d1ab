"""The API port: opened, closed for a while as in a restart, and opened again at the same address.

What is served on it is in `face`, and when the whole process starts and ends is `server`'s work.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from ibkr_assets.domain.errors import ConfigurationError


class QuietServer(uvicorn.Server):
    """A server that leaves signals to the process: two of them share one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket. Raises ConfigurationError that names the option."""
    # Named as TCP, or asyncio would leave Nagle's delay on and every answer would take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A gateway that was killed may come back to its port at once.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"{option}: cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


class ApiPort:
    """One address, served by one server after another. `make_server` is called for each."""

    def __init__(self, listener: socket.socket, make_server: Callable[[], QuietServer]) -> None:
        self.host, self.port = listener.getsockname()
        self._listener = listener
        self._make_server = make_server
        self._server = make_server()
        self._down_s: float | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`. Raises ConfigurationError when somebody took the port while it was closed."""
        while True:
            await self._server.serve([self._listener])
            if self._down_s is None or self._stopped.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._down_s)
            if self._stopped.is_set():
                return
            self._down_s = None
            self._listener = listen(self.host, self.port, "port")
            self._server = self._make_server()

    @property
    def is_open(self) -> bool:
        """True when clients are answered."""
        return self._server.started and self._down_s is None

    def close_for(self, down_s: float) -> None:
        """Refuse connections for so many real seconds, and end those that are open without a word."""
        if self._down_s is not None:
            return
        self._down_s = down_s
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.should_exit = True

    def stop(self) -> None:
        """Serve no longer."""
        self._stopped.set()
        self._server.should_exit = True
