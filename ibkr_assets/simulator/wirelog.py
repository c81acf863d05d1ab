"""The newest requests and answers, for a look at what really went over the wire.

Bounded in memory. Bodies are kept for order routes only, and headers never: no cookie can be read here.
"""

from __future__ import annotations

from collections import deque
from typing import Any

#: Routes whose bodies are kept.
FULL_ROUTES = frozenset(
    {"submit", "reply", "modify", "cancel", "orders", "order_status", "trades", "whatif", "suppress", "suppress_reset"}
)
_KEPT = 5_000
_BODY_CHARACTERS = 20_000


class WireLog:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._rows: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._count = 0

    def request(
        self, route: str, method: str, path: str, query: str, body: bytes, *, at: str, t_mono: float, peer_port: int
    ) -> dict[str, Any]:
        """Note a request; the returned row is completed by `answer`."""
        self._count += 1
        row: dict[str, Any] = {
            "n": self._count, "t_virtual": at, "t_mono": round(t_mono, 6), "peer_port": peer_port, "route": route,
            "method": method, "path": path, "query": query,
            "body": _text(body) if route in FULL_ROUTES else None, "status": None, "answer": None,
        }  # fmt: skip
        self._rows.append(row)
        return row

    def answer(self, row: dict[str, Any], status: int | str, body: bytes) -> None:
        """Note what went back; `status` is a word where it was no HTTP answer."""
        row["status"] = status
        row["answer"] = _text(body) if row["route"] in FULL_ROUTES else None

    def rows(self) -> list[dict[str, Any]]:
        """All that are kept."""
        return list(self._rows)


def _text(body: bytes) -> str:
    return body[:_BODY_CHARACTERS].decode("utf-8", "replace")
