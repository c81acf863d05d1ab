"""Bytes of an answer that do not travel the ordinary way: cut, slowed, held, reset, or with a false length.

Which answer it is, and why, is the work of `faults`; an ordinary answer goes through the HTTP server.
"""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from collections.abc import Iterator
from email.utils import formatdate

from ibkr_assets.simulator.answers import Answer, Delivery

_END_BOUND_S = 5.0
_SLOW_STEPS_PER_S = 10
_BUFFER_BYTES = 1 << 20


class Line:
    """One client's connection, written to past the HTTP server. `lost` is set when it has ended."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.lost = asyncio.Event()

    async def deliver(self, answer: Answer) -> None:
        """Send what the answer's delivery says, and end the connection, or let the client end it.

        The connection is over when this returns: the server must know, or it would answer a 500 itself.
        """
        delivery = answer.delivery
        assert delivery is not None
        if not delivery.is_headless:
            self._transport.write(_head(answer, delivery))
            for piece in _pieces(answer, delivery):
                if self.lost.is_set():
                    return
                self._transport.write(piece)
                if delivery.bytes_per_s is not None:
                    await self._rest(len(piece) / delivery.bytes_per_s)
                else:
                    await self._drain()
        if delivery.hangs:
            await self.lost.wait()
        elif delivery.is_reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
        await asyncio.wait_for(self.lost.wait(), _END_BOUND_S)

    def abort(self) -> None:
        """End the connection at once, with whatever waits to be sent."""
        self._transport.abort()

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.lost.wait(), seconds)
        except TimeoutError:
            return

    async def _drain(self) -> None:
        """Let the other side take what is written, so that a large body is never held whole."""
        await asyncio.sleep(0)
        # The transport tells nobody but its protocol, which is the HTTP server's, when its buffer empties.
        while not self.lost.is_set() and self._transport.get_write_buffer_size() > _BUFFER_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def _head(answer: Answer, delivery: Delivery) -> bytes:
    headers = {"date": formatdate(usegmt=True), "content-type": answer.media} | {
        name.lower(): value for name, value in answer.headers.items()
    }
    if delivery.has_length:
        length = len(answer.content) if delivery.content_length is None else delivery.content_length
        headers["content-length"] = str(length)
    lines = [f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _pieces(answer: Answer, delivery: Delivery) -> Iterator[bytes]:
    if delivery.chunks is not None:
        yield from delivery.chunks()
        return
    body = answer.content if delivery.cut_at is None else answer.content[: delivery.cut_at]
    step = len(body) or 1
    if delivery.bytes_per_s is not None:
        step = max(1, int(delivery.bytes_per_s / _SLOW_STEPS_PER_S))
    for start in range(0, len(body), step):
        yield body[start : start + step]
