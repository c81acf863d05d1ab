"""R5 to R7: is one order too large?

What goes here: value, shares, and the sum of what one decision orders. What does not: what it adds up to with other
orders (`risk.exposure`, `risk.pace`). An order that can only make a position smaller passes all but the last: a holding
that has grown past a limit must not be locked in by it.
"""

from __future__ import annotations

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, known, show, unknown
from ibkr_assets.risk.order import is_reducing, worst_price


def check_order_value(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Quantity x the higher of limit and reference price, against a sum of USD and a fraction of NAV.

    Source: SEC 15c3-5(c)(1)(ii), RTS 6 Article 15(1)(b) maximum order value, IBKR's total value preset.
    """
    price = worst_price(intent)
    numbers = show(nav_usd=facts.nav_usd, quantity=intent.quantity, price=price)
    got = known(
        facts.nav_usd, price, intent.quantity, limits.max_order_value_usd, limits.max_order_nav_fraction
    )  # fmt: skip
    if got is None:
        return unknown(DenialCode.ORDER_VALUE, numbers)
    nav, price, quantity, most_usd, fraction = got
    value, allowed = quantity * price, min(most_usd, fraction * nav)
    reduces = is_reducing(intent, exposure)
    numbers |= show(value_usd=value, allowed_usd=allowed, is_reducing=reduces)
    text = f"order value {value} USD exceeds {allowed} USD"
    return answer(DenialCode.ORDER_VALUE, numbers, text, is_passed=reduces or value <= allowed)


def check_order_size(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Shares, against a number of shares and a fraction of the average daily volume of twenty sessions.

    Source: RTS 6 Article 15(1)(c) maximum order volume, IBKR's size preset.
    """
    volume = facts.instrument.average_volume
    numbers = show(quantity=intent.quantity, average_volume=volume)
    got = known(intent.quantity, volume, limits.max_order_shares, limits.max_order_volume_fraction)
    if got is None:
        return unknown(DenialCode.ORDER_SIZE, numbers)
    quantity, volume, most, fraction = got
    allowed = min(most, fraction * volume)
    reduces = is_reducing(intent, exposure)
    numbers |= show(allowed=allowed, is_reducing=reduces)
    text = f"{quantity} shares exceed {allowed:f}"
    return answer(DenialCode.ORDER_SIZE, numbers, text, is_passed=reduces or quantity <= allowed)


def check_recent_volume(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Shares, against a fraction of what traded in the half hour up to the end of the bar decided on.

    Only decisions on bars of less than a day are held to it: for those of daily bars and for the opening auction there
    is no such half hour, and the facts say so. Where there should be one and it is not known, the order is denied.
    Source: RTS 6 Article 15(1)(c), maximum order volume.
    """
    volume, fraction = facts.instrument.recent_volume, limits.max_order_recent_volume_fraction
    if facts.instrument.without_recent_volume:
        numbers = show(quantity=intent.quantity, not_applicable=facts.instrument.without_recent_volume)
        return answer(DenialCode.RECENT_VOLUME, numbers, "", is_passed=True)
    numbers = show(quantity=intent.quantity, recent_volume=volume, fraction=fraction)
    got = known(intent.quantity, volume, fraction)
    if got is None:
        return unknown(DenialCode.RECENT_VOLUME, numbers)
    quantity, volume, fraction = got
    allowed, reduces = fraction * volume, is_reducing(intent, exposure)
    numbers |= show(allowed=allowed, is_reducing=reduces)
    text = f"{quantity} shares exceed {allowed:f}, {fraction:.0%} of the {volume:f} of the half hour before"
    return answer(DenialCode.RECENT_VOLUME, numbers, text, is_passed=reduces or quantity <= allowed)


def check_decision_sum(intent: OrderIntent, _facts: Facts, exposure: Exposure, _limits: Limits) -> Finding:
    """All orders of one decision together, orders in doubt as if filled, order no more than was decided.

    Source: SEC release 34-70694 (Knight Capital): children were sent on and on because nobody counted what the parent
    had filled; SEC 15c3-5(c)(1)(ii).
    """
    numbers = show(decided=exposure.decided_quantity, taken=exposure.taken_quantity, quantity=intent.quantity)
    got = known(exposure.decided_quantity, exposure.taken_quantity, intent.quantity)
    if got is None:
        return unknown(DenialCode.DECISION_SUM, numbers)
    decided, taken, quantity = got
    text = f"{quantity} shares on top of {taken} are more than the {decided} that were decided"
    return answer(DenialCode.DECISION_SUM, numbers, text, is_passed=taken + quantity <= decided)
