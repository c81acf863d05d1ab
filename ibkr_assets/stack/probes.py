"""When a process counts as ready: it answers, it accepts, or it said so.

A probe is called about ten times a second and returns within about a second. What is done with the answer is
`stack.supervisor`'s business; which service has which probe is `stack.services`'.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

Probe = Callable[[], bool]


def answers_http(url: str) -> Probe:
    """Ready when a GET is answered with 200."""
    parts = urlsplit(url)

    def probe() -> bool:
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=1)
        try:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def accepts_tcp(port: int, host: str = "127.0.0.1") -> Probe:
    """Ready when a connection is accepted."""

    def probe() -> bool:
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False

    return probe


class SaysLine:
    """Ready when the log has a line that matches, written since `mark` was last called."""

    def __init__(self, log_path: Path, pattern: str) -> None:
        self._path = log_path
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._start = 0

    def mark(self) -> None:
        """Forget what the log holds so far."""
        self._start = self._path.stat().st_size if self._path.exists() else 0

    def __call__(self) -> bool:
        """Look at what was written since the mark."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._start)
                return self._pattern.search(log.read().decode(errors="replace")) is not None
        except FileNotFoundError:
            return False


def is_always_ready() -> bool:
    """For a step, which is over when it returns, and for a process without a sign of life."""
    return True
