"""What one venue does differently from another: IBKR's precautions, and behaviour that was seen but is not the rule.

Nothing here is state of the broker: a restarted gateway starts from these defaults. The admin port changes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal


@dataclass(slots=True)
class VenueRules:
    """Limits above which an order is questioned, and switches. The limits' defaults are IBKR's presets for stocks.

    `tick_limit` is a distance from the market in ticks; None asks nothing. `asked` are ids of questions that this
    account is asked besides, where they fit the order. `cancel_after` is how long (market time) a working order
    stays PendingCancel, and may still fill, before a cancel happens; None cancels at once. With
    `is_stale_order_taken` the order of a question that went stale goes live when its reply is refused.
    """

    price_fraction: Decimal = Decimal("0.03")
    size_limit: Decimal = Decimal(500)
    value_limit_usd: Decimal = Decimal(100_000)
    tick_limit: int | None = None
    asked: set[str] = field(default_factory=set)
    cancel_after: timedelta | None = None
    is_stale_order_taken: bool = False
