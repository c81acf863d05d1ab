"""The last look at the price before an order leaves: is the limit still near the market?

What goes here: that one comparison. The review before approval is `risk.rules`.
"""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.order import OrderIntent, Side

#: A limit is rounded to a tick; the last price may be one too.
_ROUNDING = Decimal("0.0005")


def collar_problem(intent: OrderIntent, quote: Quote | None, fraction: Decimal) -> str | None:
    """Why the order must not leave at this price, or None.

    A limit may be at most `fraction` worse than the newest trade (above it for a buy, below it for a sell); a better
    limit is harmless. Without a price, or while the instrument is halted, the answer is no.
    """
    if quote is None or quote.last is None or quote.last <= 0:
        return f"no price of {intent.symbol} to hold the limit against"
    if quote.is_halted:
        return f"{intent.symbol} is halted"
    if intent.limit_price is None:
        return None
    worse = (intent.limit_price / quote.last - 1) * intent.side.sign
    if worse > fraction + _ROUNDING:
        direction = "above" if intent.side is Side.BUY else "below"
        return (
            f"limit {intent.limit_price} is {worse:.2%} {direction} the last price {quote.last}, more than "
            f"{fraction:.2%}"
        )
    return None
