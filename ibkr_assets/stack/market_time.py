"""Moves the market clock of a simulated gateway, over its admin port.

Reading it is `adapters.clock`; what happens when it moves is the simulator's work.
"""

from __future__ import annotations

from datetime import datetime

import httpx

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.domain.errors import StackFailure, Unavailable

#: Everything between two sessions happens inside one call.
_TIMEOUT_S = 60.0


class MarketTime:
    """The market clock that is read at `url`, ours to move with the admin token of the same port."""

    def __init__(self, url: str, token: str) -> None:
        self._url = str(httpx.URL(url).join("/admin/clock"))
        self._token = token
        self._clock = MarketClock(url)

    def now(self) -> datetime:
        """The market's present instant, aware UTC. Raises Unavailable."""
        return self._clock.now()

    def set(self, moment: datetime) -> None:
        """Move the clock forward; all that lies between has happened when this returns."""
        self._post({"set": moment.isoformat()})

    def run(self, speed: float) -> None:
        """Let the clock run, `speed` market seconds a real second; 0 stops it."""
        self._post({"speed": speed})

    def _post(self, body: dict[str, object]) -> None:
        try:
            answer = httpx.post(
                self._url, json=body, headers={"Authorization": f"Bearer {self._token}"}, timeout=_TIMEOUT_S,
                trust_env=False,
            )  # fmt: skip
        except httpx.HTTPError as error:
            raise Unavailable(f"market clock {self._url}: {type(error).__name__}: {error}") from None
        if not answer.is_success:
            raise StackFailure(f"market clock {self._url}: {answer.status_code}: {answer.text[:200]}")
