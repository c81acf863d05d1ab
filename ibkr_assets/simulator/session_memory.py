"""What a gateway remembers for the time of one brokerage session, and forgets with it.

Priming flags, open market data, accepted questions and the pending question. When a session begins and ends is
`sessions`' work; what the broker itself remembers is in `book`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ibkr_assets.simulator.account import Holding
from ibkr_assets.simulator.questions import PendingQuestion


@dataclass(slots=True)
class MarketDataLine:
    """An open stream of one contract's quotes: the fields that were asked for, and how often it was read."""

    fields: tuple[str, ...] = ()
    read_count: int = 0


@dataclass(frozen=True, slots=True)
class PositionsRead:
    """Positions as they were at a market time: contract, holding and price in USD."""

    at: datetime
    rows: tuple[tuple[int, Holding, Decimal], ...]


@dataclass(slots=True)
class SessionMemory:
    """`streams` by conid; `order_filter` is the statuses that a filtered order list left on the websocket."""

    is_accounts_read: bool = False
    is_orders_primed: bool = False
    is_trades_primed: bool = False
    is_pnl_primed: bool = False
    is_positions_primed: bool = False
    positions: PositionsRead | None = None
    streams: dict[int, MarketDataLine] = field(default_factory=dict)
    order_filter: frozenset[str] = frozenset()
    suppressed: set[str] = field(default_factory=set)
    pending: PendingQuestion | None = None
    stale: dict[str, PendingQuestion] = field(default_factory=dict)
