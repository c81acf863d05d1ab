"""Sockets that keep a deadline, know whether a byte has left, and check a pinned certificate.

What goes here: what must be true below HTTP. What a request or an answer is goes to `transport`. A deadline here is
for a whole call, because a peer that sends one byte a second never trips a timeout of single reads.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpcore
import httpx

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.host import is_loopback

PIN_PREFIX = "sha256:"

#: An idle connection is not used again after this long: the shorter, the smaller the chance that the peer closes it
#: just as an order is written, which would leave the order in doubt.
KEEP_ALIVE_S = 2.0
MAX_CONNECTIONS = 16


@dataclass(slots=True)
class Call:
    """One HTTP call in progress. `deadline` is monotonic; `on_sent` runs once, just before the first byte leaves."""

    deadline: float
    on_sent: Callable[[], None]
    has_sent: bool = False

    def mark_sent(self) -> None:
        """Note that a byte of the request is about to leave."""
        if not self.has_sent:
            self.has_sent = True
            self.on_sent()


#: The call of the running thread; httpcore has no other way to tell a socket which request it serves.
current_call: ContextVar[Call] = ContextVar("current_call")


@dataclass(frozen=True, slots=True)
class Trust:
    """How the gateway proves who it is: a TLS context, and the certificate's SHA-256 when one is pinned."""

    context: ssl.SSLContext | None
    pin: bytes | None


def trust_of(url: httpx.URL, ca: str | None) -> Trust:
    """Read `gateway.ca`: a PEM file, `sha256:<64 hex>`, or None for the machine's own authorities.

    Raises ConfigurationError for plain HTTP to anything but this machine, and for a file or pin that cannot be used.
    """
    if url.scheme == "http":
        if not is_loopback(url.host):
            raise ConfigurationError(f"gateway.url: plain http is for this machine only, got host {url.host}")
        return Trust(None, None)
    if url.scheme != "https" or not url.host:
        raise ConfigurationError(f"gateway.url: must be http or https with a host, got {url.scheme or 'no scheme'}")
    if ca is None:
        return Trust(ssl.create_default_context(), None)
    if ca.startswith(PIN_PREFIX):
        digits = ca.removeprefix(PIN_PREFIX).replace(":", "").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            raise ConfigurationError(f"gateway.ca: a pin is sha256: and 64 hex digits, got {len(digits)} characters")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The pin names exactly one certificate and is compared before a byte of a request leaves, so neither a name
        # nor an authority can add anything; the gateway's own certificate is self-signed for another name.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return Trust(context, bytes.fromhex(digits))
    try:
        return Trust(ssl.create_default_context(cafile=str(Path(ca))), None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"gateway.ca: cannot read certificates from {ca}: {error}") from None


def open_socket(url: httpx.URL, trust: Trust, timeout_s: float) -> socket.socket:
    """A connection to the host of `url`, its certificate checked, over which nothing has been sent yet.

    For what is not HTTP calls (`stream`). Raises OSError, ssl.SSLError among them, and TimeoutError.
    """
    port = url.port or (80 if trust.context is None else 443)
    plain = socket.create_connection((url.host, port), timeout_s)
    if trust.context is None:
        return plain
    try:
        secure = trust.context.wrap_socket(plain, server_hostname=url.host)
    except OSError:
        plain.close()
        raise
    try:
        _check_pin(secure.getpeercert(binary_form=True), trust.pin)
    except httpcore.ConnectError as error:
        secure.close()
        raise ssl.SSLError(str(error)) from None
    return secure


def _check_pin(shown: bytes | None, pin: bytes | None) -> None:
    if pin is None:
        return
    if shown is None or not hmac.compare_digest(hashlib.sha256(shown).digest(), pin):
        raise httpcore.ConnectError("the gateway's certificate is not the pinned one")


def _left(timeout: float | None, expired: type[Exception]) -> float:
    left = current_call.get().deadline - time.monotonic()
    if left <= 0:
        raise expired("the time for the whole call is over")
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, pin: bytes | None) -> None:
        self._inner = inner
        self._pin = pin

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = _left(timeout, httpcore.WriteTimeout)
        current_call.get().mark_sent()
        self._inner.write(buffer, left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secure = self._inner.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout))
        try:
            _check_pin(secure.get_extra_info("socket").getpeercert(binary_form=True), self._pin)
        except httpcore.ConnectError:
            secure.close()
            raise
        return _Stream(secure, self._pin)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, pin: bytes | None) -> None:
        self._pin = pin

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self._pin)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class GuardedTransport(httpx.BaseTransport):
    """An httpx transport over the sockets above. Never repeats anything; errors are httpcore's own."""

    def __init__(self, trust: Trust) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust.context,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
            retries=0,
            network_backend=_Backend(trust.pin),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the body of the answer is read by whoever iterates it."""
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
