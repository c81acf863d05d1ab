"""The limits an order must keep, as one value with the defaults of a small account.

What goes here: names, units and defaults. What does not: where an installation sets its own (`settings.RiskSettings`),
and what each limit is held against (the rules). An empty allow-list lets nothing trade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any

#: The sector of every symbol that nobody put into one: together they are held to one sector's limit.
UNSORTED = "unsorted"

#: By how a limit's name ends, the longer endings first.
_UNITS = {
    "_nav_fraction": "of NAV", "_volume_fraction": "of volume", "_fraction": "fraction", "_usd": "USD",
    "_shares": "shares", "_atr": "daily ATR", "_bars": "bars", "_hours": "h", "_minutes": "min", "_bytes": "bytes",
    "_s": "s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force. Money in USD; fractions of net asset value, volume or price in (0, 1] unless said otherwise.

    `sectors` names the sector of a symbol. A day is one of New York by the market clock; ages are in real seconds.
    """

    allowed_symbols: frozenset[str] = frozenset()
    max_order_value_usd: Decimal = Decimal(10_000)
    max_order_nav_fraction: Decimal = Decimal("0.02")
    max_position_nav_fraction: Decimal = Decimal("0.10")
    price_collar_fraction: Decimal = Decimal("0.03")
    may_short: bool = False
    #: The collar is never wider than so many daily ATR(20).
    price_collar_atr: Decimal = Decimal(1)
    max_order_shares: Decimal = Decimal(1_000)
    #: Of the average daily volume of twenty sessions.
    max_order_volume_fraction: Decimal = Decimal("0.01")
    #: Of what traded in the half hour before, for orders that were decided on bars of less than a day.
    max_order_recent_volume_fraction: Decimal = Decimal("0.05")
    #: Gross and net may exceed 1 where the account may borrow.
    max_gross_nav_fraction: Decimal = Decimal(1)
    max_net_nav_fraction: Decimal = Decimal(1)
    max_sector_nav_fraction: Decimal = Decimal("0.30")
    max_daily_notional_nav_fraction: Decimal = Decimal("0.20")
    #: Fills of one strategy, instrument and side a day, until a person allows more.
    max_repeats_per_day: int = 3
    max_orders_per_day: int = 50
    max_orders_per_day_and_instrument: int = 5
    #: Orders at the broker of one instrument and side; IBKR itself takes no more than 20.
    max_working_orders: int = 5
    #: Calls that place or cancel.
    max_messages_per_second: int = 1
    max_messages_per_minute: int = 6
    max_messages_per_day: int = 100
    #: Two decisions for the same trade within so many minutes and so near a price look like one taken twice.
    look_alike_minutes: int = 10
    look_alike_price_fraction: Decimal = Decimal("0.001")
    day_loss_disarm_fraction: Decimal = Decimal("0.02")
    day_loss_kill_fraction: Decimal = Decimal("0.03")
    drawdown_disarm_fraction: Decimal = Decimal("0.10")
    #: On top of what an order costs, in cash and in settled cash.
    cash_reserve_fraction: Decimal = Decimal("0.02")
    #: Whether an order may leave of which the broker gives no preview; one that it gives is heard either way.
    may_lack_preview: bool = False
    max_signal_age_bars: Decimal = Decimal("1.5")
    max_quote_age_s: Decimal = Decimal(60)
    #: Nothing is sent so long after the opening and before the close, but for orders on the opening.
    session_edge_minutes: int = 5
    max_contract_age_hours: int = 24
    max_reconciled_age_s: Decimal = Decimal(300)
    max_clock_skew_s: Decimal = Decimal(1)
    max_gateway_skew_s: Decimal = Decimal(2)
    min_disk_free_fraction: Decimal = Decimal("0.05")
    min_disk_free_bytes: int = 2_000_000_000
    max_alert_age_s: Decimal = Decimal(600)
    max_llm_weight: Decimal = Decimal("0.2")
    sectors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def sector(self, symbol: str) -> str:
        """The symbol's sector; all without one share `UNSORTED`."""
        return self.sectors.get(symbol, UNSORTED)

    def as_text(self) -> dict[str, Any]:
        """Every limit as JSON can carry it, numbers as text, the same for equal limits."""
        return {item.name: _text(getattr(self, item.name)) for item in fields(self)}


def unit_of(name: str) -> str:
    """The unit of a limit, which its name ends with; empty for counts and lists."""
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(sorted(value.items()))
    return f"{value.normalize():f}" if isinstance(value, Decimal) and value.is_finite() else str(value)
