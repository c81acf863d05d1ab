"""The two sources of time: the machine, and the market clock that a simulated gateway serves.

Nothing else reads a clock: everything that decides is handed one of these, and `bootstrap` picks which. Pacing and
timeouts use monotonic time and never this.
"""

from __future__ import annotations

import weakref
from datetime import UTC, datetime

import httpx

from ibkr_assets.domain.errors import Unavailable

TIMEOUT_S = 2.0


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return datetime.now(UTC)


class MarketClock:
    """The time of a simulated market, asked for at every call: `GET url` gives `{"now": ISO 8601 with a zone}`."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Without TLS no certificates are read: that alone is most of what a first look at the clock costs.
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=url.startswith("https://"))
        weakref.finalize(self, self._client.close)

    def now(self) -> datetime:
        """The market's present instant, aware UTC. Raises Unavailable when no such answer comes."""
        try:
            answer = self._ask()
        except httpx.HTTPError as error:
            raise Unavailable(f"clock_url {self._url}: no answer: {error}") from error
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"clock_url {self._url}: answered {answer.status_code}")
        try:
            moment = datetime.fromisoformat(answer.json()["now"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"clock_url {self._url}: not a market clock: {answer.text[:80]!r}") from error
        if moment.tzinfo is None:
            raise Unavailable(f"clock_url {self._url}: now {moment.isoformat()} has no zone")
        return moment.astimezone(UTC)

    def _ask(self) -> httpx.Response:
        """Once more on another connection where a kept one turned out to be closed, by the server or by a thread."""
        try:
            return self._client.get(self._url)
        except (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError):
            return self._client.get(self._url)
