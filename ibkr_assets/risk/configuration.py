"""The section `risk` of the settings: an installation's own limits, each within bounds that still make sense.

What goes here: names, bounds and what each is for, in the words of a person who sets it. What does not: the defaults,
which are those of `risk.limits`, and where a value may come from (`settings`).
"""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ibkr_assets.risk.limits import Limits

_D = Limits()
Fraction = Annotated[Decimal, Field(gt=0, le=1)]
Leverage = Annotated[Decimal, Field(gt=0, le=4)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class RiskSettings(BaseModel):
    """The limits an order must keep. Empty allow-list: nothing trades."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    allowed_symbols: tuple[str, ...] = ()
    sectors: dict[str, str] = Field({}, description="sector by symbol; all others are one sector together")
    max_order_value_usd: Decimal = Field(_D.max_order_value_usd, gt=0)
    max_order_nav_fraction: Fraction = _D.max_order_nav_fraction
    max_order_shares: Decimal = Field(_D.max_order_shares, gt=0)
    max_order_volume_fraction: Fraction = Field(
        _D.max_order_volume_fraction, description="of the average daily volume of twenty sessions"
    )
    max_order_recent_volume_fraction: Fraction = Field(
        _D.max_order_recent_volume_fraction,
        description="of what traded in the half hour before, for decisions on bars of less than a day",
    )
    price_collar_fraction: Decimal = Field(_D.price_collar_fraction, gt=0, le=Decimal("0.2"))
    price_collar_atr: Decimal = Field(_D.price_collar_atr, gt=0, le=100, description="daily ATR(20)")
    may_short: bool = _D.may_short
    max_position_nav_fraction: Fraction = _D.max_position_nav_fraction
    max_gross_nav_fraction: Leverage = _D.max_gross_nav_fraction
    max_net_nav_fraction: Leverage = _D.max_net_nav_fraction
    max_sector_nav_fraction: Leverage = _D.max_sector_nav_fraction
    max_daily_notional_nav_fraction: Decimal = Field(_D.max_daily_notional_nav_fraction, gt=0, le=100)
    max_repeats_per_day: Count = Field(
        _D.max_repeats_per_day, description="filled orders of a strategy, instrument and side, until a person resumes"
    )
    max_orders_per_day: Count = _D.max_orders_per_day
    max_orders_per_day_and_instrument: Count = _D.max_orders_per_day_and_instrument
    max_working_orders: int = Field(
        _D.max_working_orders, ge=1, le=20, description="of one instrument and side; IBKR takes 20"
    )
    max_messages_per_second: int = Field(_D.max_messages_per_second, ge=1, le=1000)
    max_messages_per_minute: int = Field(_D.max_messages_per_minute, ge=1, le=60_000)
    max_messages_per_day: Count = _D.max_messages_per_day
    look_alike_minutes: int = Field(_D.look_alike_minutes, ge=0, le=24 * 60, description="0: no order looks alike")
    look_alike_price_fraction: Decimal = Field(_D.look_alike_price_fraction, ge=0, le=1)
    day_loss_disarm_fraction: Fraction = _D.day_loss_disarm_fraction
    day_loss_kill_fraction: Fraction = _D.day_loss_kill_fraction
    drawdown_disarm_fraction: Fraction = _D.drawdown_disarm_fraction
    cash_reserve_fraction: Decimal = Field(_D.cash_reserve_fraction, ge=0, le=1, description="on top of the cost")
    may_lack_preview: bool = Field(
        _D.may_lack_preview, description="let orders leave of which the broker gives no preview of margin"
    )
    max_signal_age_bars: Decimal = Field(_D.max_signal_age_bars, gt=0, le=10)
    max_quote_age_s: Decimal = Field(_D.max_quote_age_s, gt=0, le=300)
    session_edge_minutes: int = Field(_D.session_edge_minutes, ge=0, le=60)
    max_contract_age_hours: int = Field(_D.max_contract_age_hours, ge=1, le=24 * 7)
    max_reconciled_age_s: Decimal = Field(_D.max_reconciled_age_s, gt=0, le=3600)
    max_clock_skew_s: Decimal = Field(_D.max_clock_skew_s, gt=0, le=5)
    max_gateway_skew_s: Decimal = Field(_D.max_gateway_skew_s, gt=0, le=10)
    min_disk_free_fraction: Decimal = Field(_D.min_disk_free_fraction, ge=0, lt=1)
    min_disk_free_bytes: int = Field(_D.min_disk_free_bytes, ge=0)
    max_alert_age_s: Decimal = Field(_D.max_alert_age_s, gt=0, le=3600)
    max_llm_weight: Decimal = Field(_D.max_llm_weight, ge=0, le=1)

    def limits(self) -> Limits:
        """The limits as the rules take them."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["allowed_symbols"] = frozenset(self.allowed_symbols)
        values["sectors"] = MappingProxyType(dict(self.sectors))
        return Limits(**values)
