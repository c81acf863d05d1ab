"""R13 to R15: what could be held if everything that is open fills?

What goes here: worst cases of one instrument, of all, of a sector. What does not: the size of a single order
(`risk.size`). Orders in doubt count as open; what can only make a position smaller passes, whatever it is worth.
"""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.domain.order import OrderIntent, Side
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import ZERO, answer, known, show, unknown
from ibkr_assets.risk.order import is_reducing, worst_position, worst_price


def check_position(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """The worst position if all open orders of one side fill, at the order's price, against a fraction of NAV.

    Source: SEC 15c3-5(c)(1)(i), pre-set capital thresholds.
    """
    return _judge(
        DenialCode.POSITION, "position", intent, facts, exposure,
        fraction=limits.max_position_nav_fraction, others=ZERO,
    )  # fmt: skip


def check_gross(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """The worst of all instruments together, long and short added, against a fraction of NAV.

    Source: SEC 15c3-5(c)(1)(i), pre-set capital thresholds.
    """
    return _judge(
        DenialCode.GROSS, "gross exposure", intent, facts, exposure,
        fraction=limits.max_gross_nav_fraction, others=exposure.others_gross_usd,
    )  # fmt: skip


def check_sector(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """The worst of all instruments of the order's sector together, against a fraction of NAV.

    Source: SEC 15c3-5(c)(1)(i), thresholds finely tuned by sector.
    """
    sector = limits.sector(intent.symbol)
    finding = _judge(
        DenialCode.SECTOR, f"exposure to the sector {sector}", intent, facts, exposure,
        fraction=limits.max_sector_nav_fraction, others=exposure.others_sector_usd,
    )  # fmt: skip
    finding.numbers["sector"] = sector
    return finding


def check_net(intent: OrderIntent, facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """The worst of long less short, on either side of zero, against a fraction of NAV.

    Source: SEC 15c3-5(c)(1)(i), pre-set capital thresholds.
    """
    high, low = exposure.others_net_high_usd, exposure.others_net_low_usd
    price = worst_price(intent)
    numbers = _shares(intent, facts, exposure, price) | show(others_high_usd=high, others_low_usd=low)
    got = known(facts.nav_usd, high, low, price, limits.max_net_nav_fraction)
    if got is None or not _are_shares_known(exposure):
        return unknown(DenialCode.NET, numbers)
    nav, high, low, price, fraction = got
    most, least = worst_position(intent, exposure)
    worst = max(abs(high + most * price), abs(low + least * price))
    allowed, reduces = fraction * nav, is_reducing(intent, exposure)
    numbers |= show(worst_usd=worst, allowed_usd=allowed, is_reducing=reduces)
    text = f"net exposure could reach {worst} USD; allowed are {allowed} USD"
    return answer(DenialCode.NET, numbers, text, is_passed=reduces or worst <= allowed)


def check_no_short(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """Held shares less all open sales, this one included, stay at zero or above unless shorts are allowed.

    Source: SEC 15c3-5(c)(2), requirements that must be met before an order (Regulation SHO).
    """
    numbers = show(
        held=exposure.held, open_sells=exposure.open_sells, quantity=intent.quantity, may_short=limits.may_short
    )
    if intent.side is Side.BUY or limits.may_short:
        return answer(DenialCode.NO_SHORT, numbers, "", is_passed=True)
    got = known(exposure.held, exposure.open_sells, intent.quantity)
    if got is None:
        return unknown(DenialCode.NO_SHORT, numbers)
    held, sells, quantity = got
    left = held - sells - quantity
    text = f"a sale of {quantity} would leave {left} shares, and shorts are not allowed"
    return answer(DenialCode.NO_SHORT, numbers | show(left=left), text, is_passed=left >= ZERO)


def _judge(
    code: DenialCode,
    what: str,
    intent: OrderIntent,
    facts: Facts,
    exposure: Exposure,
    *,
    fraction: Decimal,
    others: Decimal | None,
) -> Finding:
    """The order's instrument at its worst, on top of what `others` are worth."""
    price = worst_price(intent)
    numbers = _shares(intent, facts, exposure, price) | show(others_usd=others)
    got = known(facts.nav_usd, others, price, fraction)
    if got is None or not _are_shares_known(exposure):
        return unknown(code, numbers)
    nav, others_usd, price, fraction = got
    most, least = worst_position(intent, exposure)
    worst = others_usd + max(abs(most), abs(least)) * price
    allowed, reduces = fraction * nav, is_reducing(intent, exposure)
    numbers |= show(worst_usd=worst, allowed_usd=allowed, is_reducing=reduces)
    text = f"{what} could reach {worst} USD; allowed are {allowed} USD"
    return answer(code, numbers, text, is_passed=reduces or worst <= allowed)


def _shares(intent: OrderIntent, facts: Facts, exposure: Exposure, price: Decimal) -> dict[str, str]:
    return show(
        nav_usd=facts.nav_usd, held=exposure.held, open_buys=exposure.open_buys, open_sells=exposure.open_sells,
        quantity=intent.quantity, price=price,
    )  # fmt: skip


def _are_shares_known(exposure: Exposure) -> bool:
    return known(exposure.held, exposure.open_buys, exposure.open_sells) is not None
