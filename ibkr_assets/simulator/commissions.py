"""What the venue charges for US stocks: IBKR's fixed schedule. Other schedules belong to backtests, not here.

Source: interactivebrokers.co.uk/en/pricing/commissions-stocks.php, United States, column Fixed, read on 2026-11-21:
USD 0.005 a share, minimum USD 1.00 an order, maximum 1 % of trade value. Where the minimum is above the maximum, the
maximum is charged. Regulatory fees of the SEC and FINRA, which come on top of sales, are not simulated.
"""

from decimal import ROUND_HALF_UP, Decimal

PER_SHARE_USD = Decimal("0.005")
ORDER_MINIMUM_USD = Decimal("1.00")
VALUE_MAXIMUM = Decimal("0.01")
CENT = Decimal("0.01")


def order_commission(shares: Decimal, value_usd: Decimal) -> Decimal:
    """Commission in USD, to the cent, of an order of which `shares` worth `value_usd` in all are executed."""
    charged = max(shares * PER_SHARE_USD, ORDER_MINIMUM_USD)
    return min(charged, value_usd * VALUE_MAXIMUM).quantize(CENT, ROUND_HALF_UP)
