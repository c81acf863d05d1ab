"""R17: has too much been lost, and what follows from it?

What goes here: the rule that denies new risk, and the consequence a loss has for the permission to trade, as a value.
What does not: the figures (`portfolio.performance`) and writing the permission down (`execution.account`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import answer, known, show, unknown
from ibkr_assets.risk.order import is_reducing


@dataclass(frozen=True, slots=True)
class LossConsequence:
    """What the permission to trade becomes: `action` is a row of `oms.control`, `disarm` or `kill_cancel`."""

    action: str
    reason: str


def check_loss(intent: OrderIntent, _facts: Facts, exposure: Exposure, limits: Limits) -> Finding:
    """No new risk after a loss of the day, or a fall from the highest NAV, that is too large.

    Both are fractions of NAV, realised, unrealised and fees together. What reduces a position passes here; whether it
    may leave is for the permission to trade. Source: FIA 2024, loss limits.
    """
    day, fall = exposure.day_loss_fraction, exposure.drawdown_fraction
    numbers = show(
        day_loss=day, allowed_day_loss=limits.day_loss_disarm_fraction,
        drawdown=fall, allowed_drawdown=limits.drawdown_disarm_fraction,
    )  # fmt: skip
    if known(day, fall, limits.day_loss_disarm_fraction, limits.drawdown_disarm_fraction) is None:
        return unknown(DenialCode.LOSS, numbers)
    found = loss_consequence(day, fall, limits)
    text = "" if found is None else found.reason
    return answer(DenialCode.LOSS, numbers, text, is_passed=found is None or is_reducing(intent, exposure))


def loss_consequence(loss_of_day: Decimal | None, drawdown: Decimal | None, limits: Limits) -> LossConsequence | None:
    """What losses of these fractions of NAV do to the permission to trade, the graver first; None: nothing.

    A loss that is not known, or not a number, disarms. Source: FIA 2024, loss limits.
    """
    got = known(
        loss_of_day, drawdown, limits.day_loss_kill_fraction, limits.day_loss_disarm_fraction,
        limits.drawdown_disarm_fraction,
    )  # fmt: skip
    if got is None:
        return LossConsequence("disarm", f"the loss cannot be judged: day {loss_of_day}, from the peak {drawdown}")
    day, fall, kill, disarm, most_fall = got
    if day >= kill:
        return LossConsequence("kill_cancel", f"the day's loss is {day:.2%} of net asset value, limit {kill:.2%}")
    if fall >= most_fall:
        text = f"net asset value fell {fall:.2%} from its highest, limit {most_fall:.2%}; wants a review"
        return LossConsequence("disarm", text)
    if day >= disarm:
        return LossConsequence("disarm", f"the day's loss is {day:.2%} of net asset value, limit {disarm:.2%}")
    return None
