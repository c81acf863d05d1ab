"""What must still be true at the moment an order leaves: of its quote, of the clocks, of the hour.

What goes here: what the submitter asks also by itself, each with the numbers it used; `risk.rules` says in which rules
they are heard. Reading quotes and clocks is not: whoever sends brings them. A number that is missing or not finite
denies. The collar around the newest price is `risk.price`'s.
"""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from ibkr_assets.domain.broker import Quote
from ibkr_assets.domain.order import OrderIntent, TimeInForce
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.finding import ZERO, Finding, denied, show

#: How old a quote may be when an order for the running session leaves.
QUOTE_AGE_LIMIT = timedelta(seconds=60)
#: How far the gateway's clock and ours may be apart.
CLOCK_SKEW_LIMIT_S = 2.0
#: First letters of IBKR's market data availability that mean prices of now: R is documented, S was recorded. Delayed,
#: frozen and missing subscriptions have others.
LIVE_DATA = ("R", "S")
#: IBKR's daily reset of a region and its maintenance after it, as times of the region's day; nothing is sent from
#: shortly before to a while after each.
NIGHTLY = (time(0, 0), time(1, 0))
BEFORE_NIGHTLY, AFTER_NIGHTLY = timedelta(minutes=5), timedelta(minutes=20)


def check_quote(intent: OrderIntent, quote: Quote, now: datetime, *, age_limit: timedelta = QUOTE_AGE_LIMIT) -> Finding:
    """Prices of now, of a market that trades: live, not halted, positive, bid not above ask, at most a minute old.

    `now` is the market clock when the quote was read. For the coming opening the prices since the close that was
    decided on are the newest that can be, so an order on the open may rest on them.
    """
    oldest = now - age_limit
    if intent.time_in_force is TimeInForce.OPENING:
        oldest = min(oldest, intent.signal_bar_end - age_limit)
    numbers = {
        "last": str(quote.last), "bid": str(quote.bid), "ask": str(quote.ask), "availability": quote.availability,
        "updated_at": quote.updated_at.isoformat(), "oldest": oldest.isoformat(),
    }  # fmt: skip
    if not quote.availability.startswith(LIVE_DATA):
        return denied(DenialCode.QUOTE, numbers, f"no live data of {intent.symbol}: {quote.availability!r}")
    if quote.is_halted:
        return denied(DenialCode.QUOTE, numbers, f"{intent.symbol} is halted")
    unsound = [name for name in ("last", "bid", "ask") if not _is_sound(getattr(quote, name))]
    if unsound:
        return denied(DenialCode.QUOTE, numbers, f"{unsound[0]} of {intent.symbol} is {numbers[unsound[0]]}")
    if quote.bid is not None and quote.ask is not None and quote.bid > quote.ask:
        text = f"bid {quote.bid} of {intent.symbol} is above its ask {quote.ask}"
        return denied(DenialCode.QUOTE, numbers, text)
    if quote.updated_at < oldest:
        age_s = (now - quote.updated_at).total_seconds()
        return denied(DenialCode.QUOTE, numbers, f"the quote of {intent.symbol} is {age_s:.0f} s old")
    return Finding(DenialCode.QUOTE, is_passed=True, numbers=numbers)


def check_clock(skew_s: float | None, *, limit_s: float = CLOCK_SKEW_LIMIT_S) -> Finding:
    """The gateway's clock and ours agree within two seconds; `skew_s` is None when no answer carried a time."""
    numbers = show(skew_s=skew_s, limit_s=limit_s)
    if skew_s is None or not math.isfinite(skew_s):
        return denied(DenialCode.CLOCK, numbers, "the gateway's answers carry no time to compare our clock with")
    if abs(skew_s) > limit_s:
        direction = "ahead of" if skew_s > 0 else "behind"
        text = f"the gateway's clock is {abs(skew_s):.0f} s {direction} ours; {limit_s:g} s are allowed"
        return denied(DenialCode.CLOCK, numbers, text)
    return Finding(DenialCode.CLOCK, is_passed=True, numbers=numbers)


def check_nightly_reset(now: datetime, zone: ZoneInfo) -> Finding:
    """Not around IBKR's nightly reset and maintenance; `now` is the market clock, `zone` the region's."""
    local = now.astimezone(zone)
    numbers = {"now": local.isoformat(), "zone": zone.key}
    days = (local.date(), local.date() + timedelta(days=1))
    for nightly in (datetime.combine(day, at, zone) for day in days for at in NIGHTLY):
        if nightly - BEFORE_NIGHTLY <= local < nightly + AFTER_NIGHTLY:
            text = f"IBKR's nightly reset: nothing is sent around {nightly:%H:%M} {zone.key}, it is {local:%H:%M}"
            return denied(DenialCode.NIGHTLY_RESET, numbers, text)
    return Finding(DenialCode.NIGHTLY_RESET, is_passed=True, numbers=numbers)


def _is_sound(price: Decimal | None) -> bool:
    return price is None or (price.is_finite() and price > ZERO)
