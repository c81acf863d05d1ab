"""What a rule asks of the order itself: its worst price, its worst position, whether it can only make one smaller.

What goes here: arithmetic on one order and its instrument's shares. What does not: limits, and saying no.
"""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.domain.order import OrderIntent, Side
from ibkr_assets.risk.facts import Exposure
from ibkr_assets.risk.finding import ZERO, known


def worst_price(intent: OrderIntent) -> Decimal:
    """The higher of limit and reference price."""
    return intent.reference_price if intent.limit_price is None else max(intent.limit_price, intent.reference_price)


def worst_position(intent: OrderIntent, exposure: Exposure) -> tuple[Decimal, Decimal]:
    """Signed shares, highest and lowest, if all open orders of one side fill, this one included."""
    buys = exposure.open_buys + (intent.quantity if intent.side is Side.BUY else ZERO)
    sells = exposure.open_sells + (intent.quantity if intent.side is Side.SELL else ZERO)
    return exposure.held + buys, exposure.held - sells


def is_reducing(intent: OrderIntent, exposure: Exposure) -> bool:
    """True when all open orders of this side together, this one included, do not take the position past zero."""
    if known(exposure.held, exposure.open_buys, exposure.open_sells) is None:
        return False
    highest, lowest = worst_position(intent, exposure)
    if intent.side is Side.BUY:
        return exposure.held < ZERO and highest <= ZERO
    return exposure.held > ZERO and lowest >= ZERO
