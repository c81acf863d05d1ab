"""IBKR's request limits and its penalty box, on monotonic seconds. What a 429 looks like is the face's work.

Limits as the "Pacing Limitations" of IBKR's Web API page give them. A window is exact: whatever instant it begins at,
no more than the limit of requests fit into it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

_QUARTER_HOUR_S = 900.0
#: Requests and window in seconds, by the name of the route.
ROUTE_LIMITS: dict[str, tuple[int, float]] = {
    "orders": (1, 5.0),
    "trades": (1, 5.0),
    "pnl": (1, 5.0),
    "portfolio_accounts": (1, 5.0),
    "portfolio_subaccounts": (1, 5.0),
    "tickle": (1, 1.0),
    "sso_validate": (1, 60.0),
    "snapshot": (10, 1.0),
    "scanner_params": (1, _QUARTER_HOUR_S),
    "scanner_run": (1, 1.0),
    "pa_performance": (1, _QUARTER_HOUR_S),
    "pa_allperiods": (1, _QUARTER_HOUR_S),
    "pa_summary": (1, _QUARTER_HOUR_S),
    "pa_transactions": (1, _QUARTER_HOUR_S),
    "unread_number": (1, 1.0),
}
GLOBAL_LIMIT = (10, 1.0)
GLOBAL_RULE = "all"
HISTORY_CONCURRENT = 5
#: At a faster pace a window shrinks and a machine's jitter does not, so there it is this much shorter than divided.
TOLERANCE_S = 0.05


@dataclass(slots=True)
class _Window:
    limit: int
    length_s: float
    hits: deque[float] = field(default_factory=deque)

    def count(self, mono: float) -> int:
        """Note a request; how many there are in the window that it ends."""
        while self.hits and mono - self.hits[0] >= self.length_s:
            self.hits.popleft()
        self.hits.append(mono)
        return len(self.hits)


class Pacer:
    """Counts requests. `pace` divides every window; `penalty_s` is how long a breach shuts everybody out.

    `breaches` and `most`, the fullest window so far, are by the name of the rule: `all`, or a route.
    """

    def __init__(self, pace: float, penalty_s: float) -> None:
        self.penalty_s = penalty_s
        self.breaches: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._pace = pace
        self._penalty_until = 0.0
        self._windows: dict[str, _Window] = {}

    def admits(self, route: str, mono: float) -> bool:
        """Count a request; False when it breaks a limit or comes while the penalty box is shut."""
        if mono < self._penalty_until:
            return False
        broken = [name for name, rule in _rules_of(route) if not self._is_within(name, rule, mono)]
        if broken:
            self.breaches.update(broken)
            self._penalty_until = mono + self.penalty_s
            self._windows.clear()
        return not broken

    def set_pace(self, pace: float) -> None:
        """Another pace from now on; what was counted is forgotten."""
        self._pace = pace
        self._windows.clear()

    def _is_within(self, name: str, rule: tuple[int, float], mono: float) -> bool:
        limit, length_s = rule
        if name not in self._windows:
            tolerance_s = TOLERANCE_S if self._pace > 1 else 0.0
            self._windows[name] = _Window(limit, length_s / self._pace - tolerance_s)
        count = self._windows[name].count(mono)
        self.most[name] = max(self.most[name], count)
        return count <= limit


def _rules_of(route: str) -> list[tuple[str, tuple[int, float]]]:
    rules = [(GLOBAL_RULE, GLOBAL_LIMIT)]
    if route in ROUTE_LIMITS:
        rules.append((route, ROUTE_LIMITS[route]))
    return rules
