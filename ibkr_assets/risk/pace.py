"""R9 to R12 and R16: is too much being done?

What goes here: how often, how many and for how much within a while. What does not: the size of one order
(`risk.size`) and of a position (`risk.exposure`). A runaway is stopped here even where every single order is small.
"""

from __future__ import annotations

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, denied, known, show, unknown
from ibkr_assets.risk.order import is_reducing, worst_price


def check_repeated(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Orders of one strategy, instrument and side that filled today, until a person allows more.

    Source: RTS 6 Article 15(3) repeated automated execution throttle, FIA 2024.
    """
    numbers = show(repeats_today=exposure.repeats_today, allowed=limits.max_repeats_per_day)
    got = known(exposure.repeats_today, limits.max_repeats_per_day)
    if got is None:
        return unknown(DenialCode.REPEATED, numbers)
    text = (
        f"{intent.strategy_id} has {exposure.repeats_today} filled {intent.side} orders of {intent.symbol} today; "
        f"after {limits.max_repeats_per_day} a person must resume it"
    )
    return answer(DenialCode.REPEATED, numbers, text, is_passed=got[0] < got[1])


def check_messages(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Calls to the broker in a day, and orders of one instrument and side that work at once.

    Source: RTS 6 Article 15(1)(d) maximum messages; IBKR takes 20 active orders of one contract and side.
    """
    numbers = show(
        messages_today=exposure.messages_today, allowed_today=limits.max_messages_per_day,
        working_orders=exposure.working_orders, allowed_working=limits.max_working_orders,
    )  # fmt: skip
    got = known(
        exposure.messages_today, limits.max_messages_per_day, exposure.working_orders, limits.max_working_orders
    )
    if got is None:
        return unknown(DenialCode.MESSAGES, numbers)
    messages, most_messages, working, most_working = got
    if messages >= most_messages:
        return denied(DenialCode.MESSAGES, numbers, f"{messages} calls today; {most_messages} are allowed")
    text = f"{working} {intent.side} orders of {intent.symbol} are open; {most_working} are allowed"
    return answer(DenialCode.MESSAGES, numbers, text, is_passed=working < most_working)


def check_throttle(_intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Calls in the last second and minute; what is too fast waits.

    Source: RTS 6 Article 15(1)(d) and 18, IBKR's pacing.
    """
    numbers = show(
        last_second=exposure.messages_last_second, per_second=limits.max_messages_per_second,
        last_minute=exposure.messages_last_minute, per_minute=limits.max_messages_per_minute,
    )  # fmt: skip
    got = known(
        exposure.messages_last_second, limits.max_messages_per_second,
        exposure.messages_last_minute, limits.max_messages_per_minute,
    )  # fmt: skip
    if got is None:
        return unknown(DenialCode.THROTTLE, numbers)
    second, per_second, minute, per_minute = got
    text = f"{second} calls in a second and {minute} in a minute; {per_second} and {per_minute} are allowed"
    return answer(DenialCode.THROTTLE, numbers, text, is_passed=second < per_second and minute < per_minute)


def check_order_count(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Orders approved today, of the account and of the instrument.

    Source: FIA 2024, cumulative order count.
    """
    numbers = show(
        orders_today=exposure.orders_today, allowed=limits.max_orders_per_day,
        of_instrument=exposure.orders_today_of_instrument,
        allowed_of_instrument=limits.max_orders_per_day_and_instrument,
    )  # fmt: skip
    got = known(
        exposure.orders_today, limits.max_orders_per_day,
        exposure.orders_today_of_instrument, limits.max_orders_per_day_and_instrument,
    )  # fmt: skip
    if got is None:
        return unknown(DenialCode.ORDER_COUNT, numbers)
    total, most, own, most_own = got
    if own >= most_own:
        text = f"{own} orders of {intent.symbol} today; {most_own} are allowed"
        return denied(DenialCode.ORDER_COUNT, numbers, text)
    return answer(
        DenialCode.ORDER_COUNT, numbers, f"{total} orders today; {most} are allowed", is_passed=total < most
    )  # fmt: skip


def check_look_alike(_intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """No other decision ordered the same a few minutes ago: instrument, side, quantity, and nearly the price.

    Source: SEC 15c3-5(c)(1)(ii), orders that appear to be duplicates. It takes a person's release, an order of the
    next generation, to say that it is none.
    """
    numbers = show(
        look_alike=exposure.look_alike, minutes=limits.look_alike_minutes, fraction=limits.look_alike_price_fraction
    )
    if exposure.look_alike is None or known(limits.look_alike_minutes, limits.look_alike_price_fraction) is None:
        return unknown(DenialCode.LOOK_ALIKE, numbers)
    text = f"looks like {exposure.look_alike} of the last {limits.look_alike_minutes} minutes"
    return answer(DenialCode.LOOK_ALIKE, numbers, text, is_passed=not exposure.look_alike)


def check_daily_notional(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """What was approved today, this order included, against a fraction of NAV; what reduces a position passes.

    Source: FIA 2024, cumulative notional; SEC 15c3-5(c)(1)(i).
    """
    price = worst_price(intent)
    numbers = show(
        nav_usd=facts.nav_usd, approved_today_usd=exposure.approved_today_usd, quantity=intent.quantity, price=price
    )
    got = known(
        facts.nav_usd, exposure.approved_today_usd, intent.quantity, price, limits.max_daily_notional_nav_fraction
    )
    if got is None:
        return unknown(DenialCode.DAILY_NOTIONAL, numbers)
    nav, approved, quantity, price, fraction = got
    total, allowed = approved + quantity * price, fraction * nav
    reduces = is_reducing(intent, exposure)
    numbers |= show(total_usd=total, allowed_usd=allowed, is_reducing=reduces)
    text = f"{total} USD would be ordered today; {allowed} USD are allowed"
    return answer(DenialCode.DAILY_NOTIONAL, numbers, text, is_passed=reduces or total <= allowed)
