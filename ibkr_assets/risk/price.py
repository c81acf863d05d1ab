"""R8: is the limit near the market?

What goes here: the collar, once around the price that was decided on and once around the newest. What does not: the
quote being good enough to judge by (`risk.departure`).
"""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.order import OrderIntent, Side
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import ZERO, answer, denied, known, show, unknown

#: A limit is rounded to a tick; the last price may be one too.
_ROUNDING = Decimal("0.0005")


def collar_usd(reference: Decimal, average_true_range: Decimal, limits: Limits) -> Decimal:
    """How far a limit may be from `reference`: the smaller of a fraction of it and some daily ranges, in USD."""
    return min(limits.price_collar_fraction * reference, limits.price_collar_atr * average_true_range)


def check_price_collar(intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Limit near the reference price, on both sides; an order without a limit is denied.

    Source: SEC 15c3-5(c)(1)(ii), RTS 6 Article 15(1)(a) price collars, IBKR's percentage constraint of 3 %.
    """
    limit, reference, atr = intent.limit_price, intent.reference_price, facts.instrument.average_true_range
    numbers = show(
        limit_price=limit, reference_price=reference, fraction=limits.price_collar_fraction,
        average_true_range=atr, ranges=limits.price_collar_atr,
    )  # fmt: skip
    got = known(limit, reference, atr, limits.price_collar_fraction, limits.price_collar_atr)
    if got is None:
        return unknown(DenialCode.PRICE_COLLAR, numbers)
    limit, reference, atr, *_ = got
    distance, allowed = abs(limit - reference), collar_usd(reference, atr, limits)
    numbers |= show(distance=distance, allowed=allowed)
    text = f"limit {limit} is {distance} from the reference {reference}; allowed are {allowed}"
    return answer(DenialCode.PRICE_COLLAR, numbers, text, is_passed=distance <= allowed)


def check_collar(intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Limit not worse than the newest price by more than the collar: above it for a buy, below it for a sale.

    Source: SEC 15c3-5(c)(1)(ii), RTS 6 Article 15(1)(a), IBKR's percentage constraint.
    """
    return judge_collar(intent, facts.departure.quote, limits.price_collar_fraction)


def judge_collar(intent: OrderIntent, quote: Quote | None, fraction: Decimal) -> Finding:
    """The limit against the newest price: the middle of bid and ask, the last trade where one of them is missing.

    A better limit is harmless. Without a price, or while the instrument is halted, the answer is no.
    """
    limit, market = intent.limit_price, None if quote is None else quote.last
    if quote is not None and quote.bid is not None and quote.ask is not None:
        market = (quote.bid + quote.ask) / 2
    numbers = show(limit_price=limit, market=market, fraction=fraction)
    if quote is not None and quote.is_halted:
        return denied(DenialCode.COLLAR, numbers, f"{intent.symbol} is halted")
    got = known(limit, market, fraction)
    if got is None or got[1] <= ZERO:
        return denied(DenialCode.COLLAR, numbers, f"no price of {intent.symbol} to hold the limit {limit} against")
    limit, market, fraction = got
    worse = (limit / market - 1) * intent.side.sign
    direction = "above" if intent.side is Side.BUY else "below"
    text = f"limit {limit} is {worse:.2%} {direction} the market at {market}, more than {fraction:.2%}"
    return answer(DenialCode.COLLAR, numbers | show(worse=worse), text, is_passed=worse <= fraction + _ROUNDING)
