"""An order that every rule passes, for tests to change one thing of."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce
from ibkr_assets.risk.facts import Exposure, Facts, Limits

CLOSE = datetime(2012, 10, 1, 20, tzinfo=UTC)
NEXT_OPEN = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)

INTENT = OrderIntent(
    strategy_id="sma", account_ref="acct-1", mode=Mode.SIM, conid=8314, symbol="IBM", side=Side.BUY,
    order_type=OrderType.LIMIT, quantity=Decimal(40), limit_price=Decimal("206.00"),
    time_in_force=TimeInForce.OPENING, reference_price=Decimal("200.00"), session_date=date(2012, 10, 1),
    signal_bar_end=CLOSE, valid_until=NEXT_OPEN,
)  # fmt: skip
FACTS = Facts(now=datetime(2012, 10, 1, 20, 30, tzinfo=UTC), mode=Mode.SIM, nav_usd=Decimal(100_000), killed_by=None)
NOTHING = Exposure(held=Decimal(0), open_buys=Decimal(0), open_sells=Decimal(0))
LIMITS = Limits(
    allowed_symbols=frozenset({"IBM", "MSFT"}),
    max_order_value_usd=Decimal(10_000),
    max_order_nav_fraction=Decimal("0.10"),
    max_position_nav_fraction=Decimal("0.10"),
    price_collar_fraction=Decimal("0.03"),
    may_short=False,
)


def intent(**changes: Any) -> OrderIntent:
    return replace(INTENT, **changes)


def facts(**changes: Any) -> Facts:
    return replace(FACTS, **changes)


def limits(**changes: Any) -> Limits:
    return replace(LIMITS, **changes)


def exposure(held: int | str = 0, open_buys: int | str = 0, open_sells: int | str = 0) -> Exposure:
    return Exposure(Decimal(held), Decimal(open_buys), Decimal(open_sells))
