"""The two sessions of a gateway: the login, and the brokerage session on top of it; and what a session remembers.

Priming flags, open market data, accepted questions and the pending question belong to a brokerage session and go
with it. What the broker itself remembers is in `book`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.simulator.account import Holding
from ibkr_assets.simulator.questions import PendingQuestion


class Brokerage(StrEnum):
    """Where the brokerage session stands."""

    READY = "ok"
    LOST = "lost"
    COMPETING = "competing"


@dataclass(frozen=True, slots=True)
class PositionsRead:
    """Positions as they were at a market time: contract, holding and price in USD."""

    at: datetime
    rows: tuple[tuple[int, Holding, Decimal], ...]


@dataclass(slots=True)
class SessionMemory:
    """What the gateway remembers for the time of one brokerage session."""

    is_accounts_read: bool = False
    is_orders_primed: bool = False
    is_trades_primed: bool = False
    is_pnl_primed: bool = False
    is_positions_primed: bool = False
    positions: PositionsRead | None = None
    streams: set[int] = field(default_factory=set)
    suppressed: set[str] = field(default_factory=set)
    pending: PendingQuestion | None = None
    stale: dict[str, PendingQuestion] = field(default_factory=dict)


class GatewaySession:
    """State of login and brokerage session. Times are monotonic seconds.

    A gateway starts as after a successful login in a browser. Without a request for `idle_limit_s` the brokerage
    session ends; an init brings it back.
    """

    def __init__(self, new_id: Callable[[], str], idle_limit_s: float, mono: float) -> None:
        self._new_id = new_id
        self.idle_limit_s = idle_limit_s
        self.id = new_id()
        self.is_logged_in = True
        self.brokerage = Brokerage.READY
        self.memory = SessionMemory()
        self._last_request = mono

    def touch(self, mono: float) -> None:
        """A request came in."""
        if mono - self._last_request > self.idle_limit_s and self.brokerage is Brokerage.READY:
            self.lose(Brokerage.LOST)
        self._last_request = mono

    def lose(self, state: Brokerage) -> None:
        """The brokerage session ends, and its memory with it."""
        self.brokerage = state
        self.memory = SessionMemory()

    def init(self, *, may_compete: bool) -> None:
        """Bring the brokerage session up, unless another platform holds it and we may not compete."""
        if self.brokerage is Brokerage.COMPETING and not may_compete:
            return
        if self.brokerage is not Brokerage.READY:
            self.brokerage = Brokerage.READY
            self.memory = SessionMemory()

    def log_out(self) -> None:
        """Both sessions end; only a person can log in again."""
        self.is_logged_in = False
        self.lose(Brokerage.LOST)

    def log_in(self) -> None:
        """A person logged in; the brokerage session comes with it."""
        self.is_logged_in = True
        self.init(may_compete=True)

    def restart(self) -> None:
        """The gateway process came up anew: another session id, and nothing remembered."""
        self.id = self._new_id()
        self.memory = SessionMemory()
        self.log_in()

    @property
    def is_ready(self) -> bool:
        """True when everything under /iserver answers."""
        return self.is_logged_in and self.brokerage is Brokerage.READY
