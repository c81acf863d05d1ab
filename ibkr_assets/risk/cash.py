"""R18: can it be paid for?

What goes here: cash by the platform's own books. What does not: reading them, and margin, which only the broker knows:
an account that borrows nothing needs none.
"""

from __future__ import annotations

from ibkr_assets.domain.order import OrderIntent, Side
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, known, show, unknown
from ibkr_assets.risk.order import worst_price


def check_cash(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Cash less what open purchases may cost covers this one and a reserve; a sale needs none.

    Source: SEC 15c3-5(c)(1)(i), capital thresholds.
    """
    price = worst_price(intent)
    numbers = show(
        cash_usd=exposure.cash_usd, open_buy_cost_usd=exposure.open_buy_cost_usd, quantity=intent.quantity, price=price
    )
    got = known(
        exposure.cash_usd, exposure.open_buy_cost_usd, intent.quantity, price, limits.cash_reserve_fraction
    )  # fmt: skip
    if got is None:
        return unknown(DenialCode.CASH, numbers)
    cash, open_cost, quantity, price, reserve = got
    if intent.side is Side.SELL:
        return answer(DenialCode.CASH, numbers, "", is_passed=True)
    needed, left = quantity * price * (1 + reserve), cash - open_cost
    text = f"{needed} USD are needed with the reserve; {left} USD are free"
    return answer(DenialCode.CASH, numbers | show(needed_usd=needed, free_usd=left), text, is_passed=needed <= left)
