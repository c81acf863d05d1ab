"""IBKR's request limits and its penalty box, on monotonic seconds. What a 429 looks like is the face's work.

Limits as IBKR's Web API page gives them: 10 requests a second in all; orders, trades, profit and loss and portfolio
accounts once in 5 s each; tickle once a second; the login check once a minute; performance reports once in 15 minutes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

#: Requests and window in seconds, by the name of the route.
ROUTE_LIMITS: dict[str, tuple[int, float]] = {
    "orders": (1, 5.0),
    "trades": (1, 5.0),
    "pnl": (1, 5.0),
    "portfolio_accounts": (1, 5.0),
    "tickle": (1, 1.0),
    "sso_validate": (1, 60.0),
    "snapshot": (10, 1.0),
    "portfolio_subaccounts": (1, 5.0),
    "scanner_params": (1, 900.0),
    "pa_performance": (1, 900.0),
    "pa_transactions": (1, 900.0),
    "scanner_run": (1, 1.0),
    "unread_number": (1, 1.0),
}
GLOBAL_LIMIT = (10, 1.0)
HISTORY_CONCURRENT = 5
#: A client that keeps a limit exactly may look this much too early to a server on the same machine.
TOLERANCE_S = 0.05


@dataclass(slots=True)
class _Window:
    limit: int
    length_s: float
    hits: deque[float]

    def is_within(self, mono: float) -> bool:
        while self.hits and mono - self.hits[0] >= self.length_s:
            self.hits.popleft()
        self.hits.append(mono)
        return len(self.hits) <= self.limit


class Pacer:
    """Counts requests. `pace` divides every window; `penalty_s` is how long a breach shuts everybody out."""

    def __init__(self, pace: float, penalty_s: float) -> None:
        self.penalty_s = penalty_s
        self._pace = pace
        self._penalty_until = 0.0
        self._windows: dict[str, _Window] = {}

    def admits(self, route: str, mono: float) -> bool:
        """Count a request; False when it breaks a limit or comes while the penalty box is shut."""
        if mono < self._penalty_until:
            return False
        is_within = self._window("", GLOBAL_LIMIT).is_within(mono)
        if route in ROUTE_LIMITS:
            is_within = self._window(route, ROUTE_LIMITS[route]).is_within(mono) and is_within
        if not is_within:
            self._penalty_until = mono + self.penalty_s
            self._windows.clear()
        return is_within

    def set_pace(self, pace: float) -> None:
        """Another pace from now on; what was counted is forgotten."""
        self._pace = pace
        self._windows.clear()

    def _window(self, name: str, rule: tuple[int, float]) -> _Window:
        limit, length_s = rule
        if name not in self._windows:
            self._windows[name] = _Window(limit, length_s / self._pace - TOLERANCE_S, deque())
        return self._windows[name]
