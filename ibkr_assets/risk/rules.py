"""One small pure function per rule; each answers with the numbers it used.

What goes here: rules that need the intent, the facts, the exposure and the limits, and nothing else. Reading those
is not: whoever asks for a review brings them. A number that is missing or not finite denies in every rule that
needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.domain.order import Mode, OrderIntent, Side
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits

ZERO = Decimal(0)


class DenialCode(StrEnum):
    """Why an order was denied by us. Stored with the order, so a value once released keeps its meaning."""

    MODE = "mode"
    KILL = "kill"
    VALIDITY = "validity"
    ALLOW_LIST = "allow_list"
    PRICE_COLLAR = "price_collar"
    ORDER_VALUE = "order_value"
    POSITION = "position"
    NO_SHORT = "no_short"


#: What each code means, for people.
DESCRIPTIONS: dict[DenialCode, str] = {
    DenialCode.MODE: "the order's mode is neither dry_run nor the platform's",
    DenialCode.KILL: "a kill or a disarm is active for the account, the strategy or the instrument",
    DenialCode.VALIDITY: "the bar that was decided on is not over, or the order's time is past",
    DenialCode.ALLOW_LIST: "the symbol is not on the list of those that may be traded",
    DenialCode.PRICE_COLLAR: "the limit is too far from the reference price, or there is none",
    DenialCode.ORDER_VALUE: "the order is worth more than one order may be",
    DenialCode.POSITION: "the position could become larger than one position may be",
    DenialCode.NO_SHORT: "more would be sold than is held",
}


def check_mode(intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """A rehearsal passes everywhere; anything else only where the platform runs in that mode."""
    is_passed = intent.mode in (Mode.DRY_RUN, facts.mode)
    numbers = {"intent_mode": str(intent.mode), "platform_mode": str(facts.mode)}
    return _answer(
        DenialCode.MODE,
        numbers,
        f"order of mode {intent.mode} on a platform of mode {facts.mode}",
        is_passed=is_passed,
    )


def check_kill(_intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """Nothing new while trading is stopped."""
    numbers = {"killed_by": facts.killed_by or ""}
    return _answer(
        DenialCode.KILL, numbers, f"trading is stopped: {facts.killed_by}", is_passed=facts.killed_by is None
    )


def check_validity(intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """Decided on a bar that is over, and still in time: signal_bar_end <= now < valid_until."""
    is_passed = intent.signal_bar_end <= facts.now < intent.valid_until
    numbers = {
        "now": facts.now.isoformat(),
        "signal_bar_end": intent.signal_bar_end.isoformat(),
        "valid_until": intent.valid_until.isoformat(),
    }
    text = f"now {facts.now.isoformat()} is not within [{numbers['signal_bar_end']}, {numbers['valid_until']})"
    return _answer(DenialCode.VALIDITY, numbers, text, is_passed=is_passed)


def check_allow_list(intent: OrderIntent, _facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Only symbols that are listed; an empty list lets nothing trade."""
    numbers = {"symbol": intent.symbol, "allowed": ",".join(sorted(limits.allowed_symbols))}
    is_passed = intent.symbol in limits.allowed_symbols
    return _answer(
        DenialCode.ALLOW_LIST, numbers, f"symbol {intent.symbol} is not on the allow-list", is_passed=is_passed
    )


def check_price_collar(intent: OrderIntent, _facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Limit within a fraction of the reference price, on both sides; an order without limit is denied."""
    limit, reference, fraction = intent.limit_price, intent.reference_price, limits.price_collar_fraction
    numbers = {"limit_price": str(limit), "reference_price": str(reference), "fraction": str(fraction)}
    if limit is None or not _are_finite(limit, reference, fraction):
        text = f"limit {limit}, reference {reference} and collar {fraction} must all be numbers"
        return _denied(DenialCode.PRICE_COLLAR, numbers, text)
    distance, allowed = abs(limit - reference), fraction * reference
    numbers |= {"distance": str(distance), "allowed": str(allowed)}
    text = f"limit {limit} is {distance} from the reference {reference}; allowed are {allowed}"
    return _answer(DenialCode.PRICE_COLLAR, numbers, text, is_passed=distance <= allowed)


def check_order_value(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Quantity x the higher of limit and reference price, against a sum of USD and a fraction of NAV.

    An order that can only make the position smaller passes: a holding that has grown past the limit must not be
    locked in by it.
    """
    nav, price = facts.nav_usd, _worst_price(intent)
    numbers = {"nav_usd": str(nav), "quantity": str(intent.quantity), "price": str(price)}
    if nav is None or not _are_finite(nav, price, intent.quantity, limits.max_order_value_usd):
        return _denied(DenialCode.ORDER_VALUE, numbers, f"value cannot be judged: {_show(numbers)}")
    value = intent.quantity * price
    allowed = min(limits.max_order_value_usd, limits.max_order_nav_fraction * nav)
    is_reducing = _is_reducing(intent, exposure)
    numbers |= {"value_usd": str(value), "allowed_usd": str(allowed), "is_reducing": str(is_reducing)}
    text = f"order value {value} USD exceeds {allowed} USD"
    return _answer(DenialCode.ORDER_VALUE, numbers, text, is_passed=is_reducing or value <= allowed)


def check_position(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """The worst position if all open orders of one side fill, at the order's price, against a fraction of NAV.

    An order that can only make the position smaller passes whatever the position is worth.
    """
    nav, price = facts.nav_usd, _worst_price(intent)
    held, buys, sells = exposure.held, exposure.open_buys, exposure.open_sells
    numbers = {
        "nav_usd": str(nav), "held": str(held), "open_buys": str(buys), "open_sells": str(sells),
        "quantity": str(intent.quantity), "price": str(price),
    }  # fmt: skip
    if nav is None or not _are_finite(nav, price, intent.quantity, held, buys, sells):
        return _denied(DenialCode.POSITION, numbers, f"position cannot be judged: {_show(numbers)}")
    is_reducing = _is_reducing(intent, exposure)
    if intent.side is Side.BUY:
        buys += intent.quantity
    else:
        sells += intent.quantity
    worst = max(abs(held + buys), abs(held - sells)) * price
    allowed = limits.max_position_nav_fraction * nav
    numbers |= {"worst_usd": str(worst), "allowed_usd": str(allowed), "is_reducing": str(is_reducing)}
    text = f"position could reach {worst} USD; allowed are {allowed} USD"
    return _answer(DenialCode.POSITION, numbers, text, is_passed=is_reducing or worst <= allowed)


def check_no_short(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Held shares less all open sales, this one included, stay at zero or above unless shorts are allowed."""
    numbers = {
        "held": str(exposure.held), "open_sells": str(exposure.open_sells),
        "quantity": str(intent.quantity), "may_short": str(limits.may_short),
    }  # fmt: skip
    if intent.side is Side.BUY or limits.may_short:
        return _passed(DenialCode.NO_SHORT, numbers)
    if not _are_finite(exposure.held, exposure.open_sells, intent.quantity):
        return _denied(DenialCode.NO_SHORT, numbers, f"sale cannot be judged: {_show(numbers)}")
    left = exposure.held - exposure.open_sells - intent.quantity
    numbers |= {"left": str(left)}
    text = f"a sale of {intent.quantity} would leave {left} shares, and shorts are not allowed"
    return _answer(DenialCode.NO_SHORT, numbers, text, is_passed=left >= ZERO)


Rule = Callable[[OrderIntent, Facts, Exposure, Limits], Finding]

#: Every rule, in the order in which a denial is named.
RULES: dict[DenialCode, Rule] = {
    DenialCode.MODE: check_mode,
    DenialCode.KILL: check_kill,
    DenialCode.VALIDITY: check_validity,
    DenialCode.ALLOW_LIST: check_allow_list,
    DenialCode.PRICE_COLLAR: check_price_collar,
    DenialCode.ORDER_VALUE: check_order_value,
    DenialCode.POSITION: check_position,
    DenialCode.NO_SHORT: check_no_short,
}


def _denied(code: DenialCode, numbers: dict[str, str], text: str) -> Finding:
    return Finding(str(code), is_passed=False, numbers=numbers, text=text)


def _passed(code: DenialCode, numbers: dict[str, str]) -> Finding:
    return Finding(str(code), is_passed=True, numbers=numbers)


def _answer(code: DenialCode, numbers: dict[str, str], text: str, *, is_passed: bool) -> Finding:
    """`text` is what a denial says."""
    return _passed(code, numbers) if is_passed else _denied(code, numbers, text)


def _is_reducing(intent: OrderIntent, exposure: Exposure) -> bool:
    """True when all open orders of this side together, this one included, do not take the position past zero."""
    if not _are_finite(exposure.held, exposure.open_buys, exposure.open_sells):
        return False
    if intent.side is Side.BUY:
        return exposure.held < ZERO and exposure.held + exposure.open_buys + intent.quantity <= ZERO
    return exposure.held > ZERO and exposure.held - exposure.open_sells - intent.quantity >= ZERO


def _worst_price(intent: OrderIntent) -> Decimal:
    return intent.reference_price if intent.limit_price is None else max(intent.limit_price, intent.reference_price)


def _are_finite(*values: Decimal) -> bool:
    return all(value.is_finite() for value in values)


def _show(numbers: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in numbers.items())
