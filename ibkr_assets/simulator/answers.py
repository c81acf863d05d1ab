"""What goes back for one request, as a value: status, body, and how its bytes travel.

Handlers and faults make these; turning them into bytes on a socket is the face's work (`face.shell`, `face.strikes`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer's bytes travel where that is not the ordinary way.

    `cut_at` is after how many bytes of the body nothing more comes, `content_length` what the header claims of it
    (None: the true length), `has_length` False leaves that header out. `is_reset` ends the connection with a TCP
    reset instead of an orderly end; with `is_headless` not even a status line is sent before. `hangs` keeps the
    connection open without another byte until the client gives up. `bytes_per_s` slows the body down. `chunks`
    gives the body piece by piece instead of the answer's own, for one too large to hold.
    """

    cut_at: int | None = None
    content_length: int | None = None
    has_length: bool = True
    is_reset: bool = False
    is_headless: bool = False
    hangs: bool = False
    bytes_per_s: float | None = None
    chunks: Callable[[], Iterator[bytes]] | None = None


RESET = Delivery(is_reset=True, is_headless=True)
HANGING = Delivery(hangs=True, is_headless=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` becomes JSON unless it is bytes already. `delay_s` is how long the answer is held back (real seconds).

    `delivery` None is the ordinary way of an HTTP server.
    """

    body: Any = None
    status: int = 200
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    delivery: Delivery | None = None

    @property
    def content(self) -> bytes:
        """The body's bytes. A number that is no JSON number raises ValueError."""
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, allow_nan=False, separators=(",", ":")).encode()


def refusal(status: int, text: str) -> Answer:
    """An error as IBKR's gateway writes it."""
    return Answer({"error": text, "statusCode": status}, status)
