"""R1 to R3: may anything be traded at all, here and now?

What goes here: the mode, what stops trading, and whether the books agree with the broker. What does not: arming for
live and the kill file, which are the submitter's (`execution`) and the database's own guards.
"""

from __future__ import annotations

from ibkr_assets.domain.order import Mode, OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, denied, known, show, unknown


def check_mode(intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """A rehearsal passes everywhere; anything else only where the platform runs in that mode.

    Source: SEC 15c3-5(c)(2), orders by those who are authorised alone.
    """
    numbers = show(intent_mode=intent.mode, platform_mode=facts.mode)
    text = f"order of mode {intent.mode} on a platform of mode {facts.mode}"
    return answer(DenialCode.MODE, numbers, text, is_passed=intent.mode in (Mode.DRY_RUN, facts.mode))


def check_kill(_intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """Nothing new while trading is stopped.

    Source: RTS 6 Article 12, kill functionality.
    """
    text = f"trading is stopped: {facts.killed_by}"
    numbers = {"killed_by": facts.killed_by or ""}
    return answer(DenialCode.KILL, numbers, text, is_passed=facts.killed_by is None)


def check_reconciled(_intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """The books were compared with the broker a short while ago, and nothing is open against this order.

    Source: RTS 6 Article 17, post-trade controls; what is not known to agree is not traded on.
    """
    numbers = show(
        reconciled_age_s=exposure.reconciled_age_s, allowed_s=limits.max_reconciled_age_s,
        difference=exposure.difference,
    )  # fmt: skip
    got = known(exposure.reconciled_age_s, limits.max_reconciled_age_s)
    if got is None or exposure.difference is None:
        return unknown(DenialCode.RECONCILED, numbers)
    if exposure.difference:
        return denied(DenialCode.RECONCILED, numbers, f"open difference: {exposure.difference}")
    age_s, allowed_s = got
    text = f"books and broker were compared {age_s:.0f} s ago; {allowed_s:f} s are allowed"
    return answer(DenialCode.RECONCILED, numbers, text, is_passed=age_s <= allowed_s)
