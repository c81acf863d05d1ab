"""An order that every rule passes, for tests to change one thing of."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.domain.broker import MarginMove, OrderPreview, Quote
from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce
from ibkr_assets.risk.facts import (
    DataFacts,
    DepartureFacts,
    Exposure,
    Facts,
    InstrumentFacts,
    Limits,
    PlatformFacts,
    Versions,
)

CLOSE = datetime(2012, 10, 1, 20, tzinfo=UTC)
NEXT_OPEN = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)

INTENT = OrderIntent(
    strategy_id="sma", account_ref="acct-1", mode=Mode.SIM, conid=8314, symbol="IBM", side=Side.BUY,
    order_type=OrderType.LIMIT, quantity=Decimal(40), limit_price=Decimal("206.00"),
    time_in_force=TimeInForce.OPENING, reference_price=Decimal("200.00"), session_date=date(2012, 10, 1),
    signal_bar_end=CLOSE, valid_until=NEXT_OPEN,
)  # fmt: skip
NOW = datetime(2012, 10, 1, 20, 30, tzinfo=UTC)
VERSIONS = Versions(code="c0de", configuration="c0f1", schema="0009")
FACTS = Facts(
    now=NOW, mode=Mode.SIM, nav_usd=Decimal(100_000), killed_by=None,
    instrument=InstrumentFacts(
        currency="USD", contract_age_s=Decimal(60), average_volume=Decimal(1_000_000), average_true_range=Decimal(8),
        recent_volume=Decimal(20_000),
    ),
    data=DataFacts(
        has_signal=True, signal_age_bars=Decimal(0), bars=20, unproven_bars=0, revised_bars=0, features=12,
        infinite_features=0, score=Decimal(1), model="", llm_weight=Decimal(0),
    ),
    platform=PlatformFacts(
        own=VERSIONS, submitter=VERSIONS, clock_skew_s=Decimal("0.01"), disk_free_bytes=50 * 10**9,
        disk_size_bytes=100 * 10**9,
    ),
    departure=DepartureFacts(
        quote=Quote(
            8314, Decimal("200.00"), Decimal("199.99"), Decimal("200.01"), is_halted=False, availability="RpB",
            updated_at=NOW,
        ),
        quoted_at=NOW, gateway_skew_s=0.1, session=None, is_calendar_known=True, reset_zone="America/New_York",
        preview=OrderPreview(
            Decimal(100_000), MarginMove(Decimal(4_120), Decimal(4_120)), MarginMove(Decimal(2_060), Decimal(2_060)),
            Decimal(1),
        ),
    ),
)  # fmt: skip
NOTHING = Exposure(
    held=Decimal(0), open_buys=Decimal(0), open_sells=Decimal(0), others_gross_usd=Decimal(0),
    others_net_high_usd=Decimal(0), others_net_low_usd=Decimal(0), others_sector_usd=Decimal(0),
    cash_usd=Decimal(100_000), settled_cash_usd=Decimal(100_000), broker_settled_cash_usd=Decimal(100_000),
    open_buy_cost_usd=Decimal(0), approved_today_usd=Decimal(0), orders_today=0,
    orders_today_of_instrument=0, working_orders=0, messages_last_second=0, messages_last_minute=0, messages_today=0,
    repeats_today=0, look_alike="", decided_quantity=Decimal(10**6), taken_quantity=Decimal(0),
    reconciled_age_s=Decimal(10), difference="", day_loss_fraction=Decimal(0), drawdown_fraction=Decimal(0),
)  # fmt: skip
LIMITS = Limits(allowed_symbols=frozenset({"IBM", "MSFT"}), max_order_nav_fraction=Decimal("0.10"))


def intent(**changes: Any) -> OrderIntent:
    return replace(INTENT, **changes)


def facts(**changes: Any) -> Facts:
    """The facts with some changed; a dictionary changes some of a group."""
    groups = {
        name: replace(getattr(FACTS, name), **change) for name, change in changes.items() if isinstance(change, dict)
    }
    return replace(FACTS, **{**changes, **groups})


def limits(**changes: Any) -> Limits:
    return replace(LIMITS, **changes)


def exposure(held: int | str = 0, open_buys: int | str = 0, open_sells: int | str = 0, **changes: Any) -> Exposure:
    shares = {"held": Decimal(held), "open_buys": Decimal(open_buys), "open_sells": Decimal(open_sells)}
    return replace(NOTHING, **shares, **changes)
