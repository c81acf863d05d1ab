"""The smallest price steps of a US stock, and how IBKR tells them. Whether an order keeps them is `admission`'s work.

SEC Rule 612: no order finer than a cent at or above 1 USD, nor finer than a hundredth of one below.
"""

from __future__ import annotations

from decimal import Decimal

TICK = Decimal("0.01")
SUB_DOLLAR_TICK = Decimal("0.0001")


def tick_at(price: Decimal) -> Decimal:
    """The step at `price`, in USD; a cent where there is no price (zero)."""
    return SUB_DOLLAR_TICK if 0 < price < 1 else TICK


def increment_rules(last: Decimal) -> list[dict[str, float]]:
    """IBKR's `incrementRules` of a stock at `last` USD; zero where there is no price.

    One rule from zero on is what was recorded, of stocks far above a dollar. A stock below it is told both steps.
    """
    edges = {0.0: SUB_DOLLAR_TICK, 1.0: TICK} if tick_at(last) == SUB_DOLLAR_TICK else {0.0: TICK}
    return [{"lowerEdge": edge, "increment": float(tick)} for edge, tick in edges.items()]
