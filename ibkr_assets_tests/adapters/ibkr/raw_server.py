"""A server of bytes on loopback: resets, truncation, slow bytes and wrong headers are real ones."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ibkr_assets.adapters.ibkr.pacing import Limiter
from ibkr_assets.adapters.ibkr.pacing_state import MemoryState
from ibkr_assets.adapters.ibkr.transport import Transport

ACCOUNT = "DU1234567"
READY = {"authenticated": True, "connected": True, "competing": False, "established": True, "message": ""}
ACCOUNTS = {"accounts": [ACCOUNT], "selectedAccount": ACCOUNT}


class HandClock:
    """Monotonic seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def hand_limiter(clock: HandClock | None = None) -> Limiter:
    """The real limits, in time that passes by hand: nothing waits."""
    clock = clock or HandClock()
    return Limiter(MemoryState(), clock=clock, sleep=clock.sleep)


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def http(body: Any = b"", *, status: int = 200, kind: str = "application/json", length: int | None = None) -> bytes:
    """An answer as bytes; `length` lies about the body's."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(content) if length is None else length}"
    )
    return head.encode() + b"\r\n\r\n" + content


def reset(connection: socket.socket) -> None:
    """Close with a RST instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(prefix: bytes, every_s: float = 0.05) -> Callable[[socket.socket], None]:
    """Send `prefix`, then one byte at a time for ever."""

    def send(connection: socket.socket) -> None:
        connection.sendall(prefix)
        while True:
            connection.sendall(b" ")
            time.sleep(every_s)

    return send


Reply = bytes | Callable[[socket.socket], None]


@dataclass
class RawServer:
    """Answers "METHOD path" from `replies`: one reply, or a list used up one by one (the last stays)."""

    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    bytes_received: int = 0
    replies: dict[str, Any] = field(
        default_factory=lambda: {
            "POST iserver/auth/status": http(READY),
            "GET iserver/accounts": http(ACCOUNTS),
            "GET portfolio/accounts": http([{"id": ACCOUNT, "accountId": ACCOUNT, "currency": "USD"}]),
        }
    )

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1/api"

    def count(self, name: str) -> int:
        return sum(f"{r.method} {r.path}" == name for r in self.requests)

    def transport(self, **changes: Any) -> Transport:
        """A transport to this server that shares its limits with nobody."""
        given = {
            "ca": None, "limiter": Limiter(MemoryState(), first_penalty_s=0.3), "connect_timeout_s": 1.0,
            "read_timeout_s": 2.0, **changes,
        }  # fmt: skip
        return Transport(self.url, **given)

    def close(self) -> None:
        if self._listener.fileno() == -1:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            while (request := self._read(connection)) is not None:
                reply = self._choose(request)
                if callable(reply):
                    reply(connection)
                    return
                connection.sendall(reply)
                if b"Connection: close" in reply or self._is_short(reply):
                    return
        except (OSError, ValueError):
            pass  # the client went away, which is what many tests are about
        finally:
            connection.close()

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return None
            self.bytes_received += len(chunk)
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        request = Request(method, parts.path.removeprefix("/v1/api/"), query, headers, body)
        with self._lock:
            self.requests.append(request)
        return request

    def _choose(self, request: Request) -> Reply:
        with self._lock:
            reply = self.replies.get(f"{request.method} {request.path}", http({"error": "no route"}, status=404))
            if isinstance(reply, list):
                reply = reply.pop(0) if len(reply) > 1 else reply[0]
        if callable(reply) and getattr(reply, "wants_request", False):
            return reply(request)
        return reply

    @staticmethod
    def _is_short(reply: bytes) -> bool:
        head, _, body = reply.partition(b"\r\n\r\n")
        declared = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), None)
        return declared is None or int(declared.split(b":")[1]) > len(body)


def by_request(answer: Callable[[Request], bytes]) -> Callable[[Request], bytes]:
    """A reply that is made from the request."""
    answer.wants_request = True  # type: ignore[attr-defined]
    return answer
