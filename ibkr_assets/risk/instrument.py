"""R4: may this instrument be traded?

What goes here: the allow-list, and whether the contract is the one that is meant, described lately. What does not:
the state of its market (`risk.market`).
"""

from __future__ import annotations

from decimal import Decimal

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, denied, known, show, unknown

_HOUR_S = Decimal(3600)
#: Sums of different currencies mean nothing, and all limits are in this one.
CURRENCY = "USD"


def check_allow_list(intent: OrderIntent, _facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Only symbols that are listed; an empty list lets nothing trade.

    Source: SEC 15c3-5(c)(2), no orders in securities that are restricted.
    """
    numbers = {"symbol": intent.symbol, "allowed": ",".join(sorted(limits.allowed_symbols))}
    text = f"symbol {intent.symbol} is not on the allow-list"
    return answer(DenialCode.ALLOW_LIST, numbers, text, is_passed=intent.symbol in limits.allowed_symbols)


def check_contract(intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """The broker described the contract within a day, and it is in USD.

    A delisted or renamed contract is not described again. Source: SEC 15c3-5(c)(2).
    """
    known_of = facts.instrument
    numbers = show(
        conid=intent.conid, currency=known_of.currency, contract_age_s=known_of.contract_age_s,
        allowed_h=limits.max_contract_age_hours,
    )  # fmt: skip
    got = known(known_of.contract_age_s, limits.max_contract_age_hours)
    if got is None or known_of.currency is None:
        return unknown(DenialCode.CONTRACT, numbers)
    if known_of.currency != CURRENCY:
        return denied(DenialCode.CONTRACT, numbers, f"{intent.symbol} is in {known_of.currency}, not in {CURRENCY}")
    age_s, allowed_h = got
    text = f"{intent.symbol} was last described {age_s / _HOUR_S:.1f} h ago; {allowed_h:f} h are allowed"
    return answer(DenialCode.CONTRACT, numbers, text, is_passed=age_s <= allowed_h * _HOUR_S)
