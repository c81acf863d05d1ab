"""Splits and cash dividends read out of a series of unadjusted and adjusted closes.

What the actions do to positions and cash is in `account`; this module only finds them. Nothing is known of pay
dates, since an adjusted close carries none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from ibkr_assets.simulator.tape import ActionKind, CorporateAction

_SMALLEST_STEP = 8e-4
_WHOLE_RATIO_TOLERANCE = 0.1
_CENT_TOLERANCE = Decimal("0.0006")
_CENT = Decimal("0.01")


def find_actions(
    conid: int, days: Sequence[date], closes: Sequence[float], adjusted: Sequence[float]
) -> list[CorporateAction]:
    """Actions by ex-date, oldest first.

    With f = adjusted / unadjusted close, a step r = f / f of the day before near a whole number from 2 up is a split
    into r shares; any other step above 8e-4 is a cash dividend of (r - 1) x close, rounded to the cent where it is
    within 0.0006 USD of one. Smaller steps are the rounding of the source.
    """
    found = []
    for i in range(1, len(days)):
        step = (adjusted[i] / closes[i]) / (adjusted[i - 1] / closes[i - 1])
        ratio = round(step)
        if ratio >= 2 and abs(step - ratio) < _WHOLE_RATIO_TOLERANCE:
            found.append(CorporateAction(conid, days[i], ActionKind.SPLIT, Decimal(ratio)))
        elif step - 1 > _SMALLEST_STEP:
            amount = Decimal(str(round((step - 1) * closes[i], 6)))
            cents = amount.quantize(_CENT)
            whole = cents if abs(amount - cents) <= _CENT_TOLERANCE else amount
            found.append(CorporateAction(conid, days[i], ActionKind.DIVIDEND, whole))
    return found
