"""Which loopback ports the stack's processes listen on.

All below 32768, where the system takes no ports for outgoing connections. A port is reserved from its choice until
the stack ends, so that two stacks that start at the same time do not choose the same one.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from ibkr_assets.domain.errors import ConfigurationError

#: IBKR's own gateway listens on 5000 as well, and so does MLflow by default: it has 5001 here.
PREFERRED_PORTS = {
    "gateway": 5000,
    "gateway_admin": 5010,
    "analyst": 5020,
    "mlflow": 5001,
    "dashboard": 8000,
    "webserver": 3000,
    "code": 4000,
    "postgres": 15432,
}
_LAST_PORT = 32767


class Ports:
    """The chosen ports, by service, while entered. Use as a context manager; leaving gives the reservations back.

    The reservation is the UDP port of the same number, which nothing here uses and which the system frees when the
    process dies, however it dies. Entering raises ConfigurationError when a requested port cannot be had.
    """

    def __init__(self, requested: Mapping[str, int] | None = None) -> None:
        self.numbers: dict[str, int] = {}
        self._requested = dict(requested or {})
        self._reserved = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Choose and reserve."""
        asked = self._requested
        if unknown := sorted(set(asked) - set(PREFERRED_PORTS)):
            raise ConfigurationError(f"ports: {unknown[0]}: no such service, one of {', '.join(PREFERRED_PORTS)}")
        with contextlib.ExitStack() as undo:
            undo.callback(self._reserved.close)
            for name in sorted(PREFERRED_PORTS, key=lambda name: name not in asked):
                self.numbers[name] = self._exactly(name, asked[name]) if name in asked else self._near(name)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reserved.close()

    def _exactly(self, name: str, port: int) -> int:
        if not 0 < port <= 65535:
            raise ConfigurationError(f"ports.{name}: {port} is not a port number, 1 to 65535")
        if not self._reserve(port):
            raise ConfigurationError(
                f"ports.{name}: port {port} on 127.0.0.1 is in use; stop what listens there, name another, "
                "or leave it out to have a free one chosen"
            )
        return port

    def _near(self, name: str) -> int:
        for port in range(PREFERRED_PORTS[name], _LAST_PORT + 1):
            if port in PREFERRED_PORTS.values() and port != PREFERRED_PORTS[name]:
                continue
            if self._reserve(port):
                return port
        raise ConfigurationError(f"ports.{name}: no free port from {PREFERRED_PORTS[name]} to {_LAST_PORT}")

    def _reserve(self, port: int) -> bool:
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            return False
        if not is_free(port):
            reservation.close()
            return False
        self._reserved.enter_context(contextlib.closing(reservation))
        return True


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; connections that linger do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True
