"""What the simulated account may do beyond a small real one.

What goes here: the defaults of mode sim, each of which an installation's own setting replaces. What does not: the
defaults where money is real (`risk.limits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: So that a simulation shows what its strategies want: 8 % of NAV an order, all five on one day, at limits 3 % from
#: the close whatever the daily range. A market that is moved by hand stands still or jumps: calls come as fast as it
#: jumps, ten minutes may be all of an evening, and the minute after the opening all of a session.
#: A simulated gateway that is not ours may know no previews.
SIMULATED: Mapping[str, Any] = {
    "max_order_nav_fraction": "0.10",
    "max_daily_notional_nav_fraction": "2",
    "price_collar_atr": "10",
    "max_messages_per_second": "10",
    "max_messages_per_minute": "600",
    "max_messages_per_day": "10000",
    "max_orders_per_day": "5000",
    "max_orders_per_day_and_instrument": "1000",
    "max_repeats_per_day": "1000",
    "max_working_orders": "20",
    "max_sector_nav_fraction": "1",
    "session_edge_minutes": "0",
    "may_lack_preview": "true",
    "look_alike_minutes": "0",
    "day_loss_disarm_fraction": "0.10",
    "day_loss_kill_fraction": "0.15",
    "drawdown_disarm_fraction": "0.50",
    "sectors": {
        "AAPL": "technology", "IBM": "technology", "MSFT": "technology", "FB": "communication",
        "GOOG": "communication",
    },
}  # fmt: skip
