"""R19 and R20: is the decision still fresh, and does its market trade?

What goes here: ages by the market clock and the exchange's sessions, and the hours in which nothing is sent. What does
not: the quote and IBKR's nightly reset, which are `risk.departure`'s.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from ibkr_assets.domain.order import OrderIntent, TimeInForce
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.departure import check_nightly_reset, check_quote
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, denied, known, show, unknown


def check_validity(intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """Decided on a bar that is over, and still in time: signal_bar_end <= now < valid_until.

    Source: SEC 15c3-5(c)(1)(ii), erroneous orders.
    """
    numbers = {
        "now": facts.now.isoformat(),
        "signal_bar_end": intent.signal_bar_end.isoformat(),
        "valid_until": intent.valid_until.isoformat(),
    }
    text = f"now {facts.now.isoformat()} is not within [{numbers['signal_bar_end']}, {numbers['valid_until']})"
    is_passed = intent.signal_bar_end <= facts.now < intent.valid_until
    return answer(DenialCode.VALIDITY, numbers, text, is_passed=is_passed)


def check_signal_age(_intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """The bar that was decided on is the newest, or not much older, counted in sessions of the exchange.

    Source: SEC 15c3-5(c)(1)(ii), erroneous orders; a decision that is late is another decision.
    """
    age = facts.data.signal_age_bars
    numbers = show(signal_age_bars=age, allowed=limits.max_signal_age_bars)
    got = known(age, limits.max_signal_age_bars)
    if got is None:
        return unknown(DenialCode.SIGNAL_AGE, numbers)
    text = f"the signal is {got[0]:.2f} bars old; {got[1]:f} are allowed"
    return answer(DenialCode.SIGNAL_AGE, numbers, text, is_passed=got[0] <= got[1])


def check_newest_quote(intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Prices of now, of a market that trades: live, not halted, positive, bid not above ask, at most a minute old.

    Source: RTS 6 Article 15(1)(a); IBKR marks a halted contract by the letter H before its last price.
    """
    quote, at = facts.departure.quote, facts.departure.quoted_at
    allowed = known(limits.max_quote_age_s)
    if quote is None or at is None or allowed is None:
        return denied(DenialCode.QUOTE, show(quote=quote, quoted_at=at), f"no quote of {intent.symbol}")
    return check_quote(intent, quote, at, age_limit=timedelta(seconds=float(allowed[0])))


def check_reset(_intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """Not around IBKR's nightly reset of the account's region.

    Source: IBKR's system status page; orders sent into a restart vanish.
    """
    zone = facts.departure.reset_zone
    if zone is None:
        return unknown(DenialCode.NIGHTLY_RESET, show(zone=zone))
    return check_nightly_reset(facts.now, ZoneInfo(zone))


def check_market_hours(intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """An order of the running session leaves within it, not in its first or last minutes; one on the open before it.

    Source: RTS 6 Article 15; the exchange's calendar, early closes included.
    """
    session, now, edge = facts.departure.session, facts.now, known(limits.session_edge_minutes)
    numbers = show(
        now=now.isoformat(), opens_at=None if session is None else session.opens_at.isoformat(),
        closes_at=None if session is None else session.closes_at.isoformat(), edge_minutes=limits.session_edge_minutes,
    )  # fmt: skip
    if not facts.departure.is_calendar_known or edge is None:
        return unknown(DenialCode.MARKET_HOURS, numbers)
    is_open = session is not None and session.is_open_at(now)
    if intent.time_in_force is TimeInForce.OPENING:
        return answer(DenialCode.MARKET_HOURS, numbers, "the session has opened already", is_passed=not is_open)
    if session is None or not is_open:
        return denied(DenialCode.MARKET_HOURS, numbers, f"the market is closed at {now.isoformat()}")
    margin = timedelta(minutes=int(edge[0]))
    is_passed = session.opens_at + margin <= now < session.closes_at - margin
    text = f"{now.isoformat()} is within {edge[0]} minutes of the session's opening or close"
    return answer(DenialCode.MARKET_HOURS, numbers, text, is_passed=is_passed)
