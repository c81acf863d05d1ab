"""Which split explains that the broker holds another number of shares than its executions add up to, if one does.

What goes here: the arithmetic of the evidence. What does not: reading it, and booking a split (`execution.splits`).
Three of the broker's own figures must agree: the shares are exact multiples, the whole position costs what it did,
and the price has moved by the inverse. Everything else is left to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import log

from ibkr_assets.domain.account import Fill
from ibkr_assets.portfolio.positions import ZERO, Position, Split, follow

#: A split is 7 for 1, or 3 for 2; a reverse one is 1 for 50. Other ratios come from parts of shares paid in cash.
MOST_SHARES = 100
MOST_OLD_SHARES = 5
#: Logarithm of a price: how far it may have moved beside the split, overnight. The smallest split (6 for 5) moves 0.18.
PRICE_TOLERANCE = 0.15
#: How far the broker's cost may be off: a part of it, and USD a share for what it rounds.
COST_TOLERANCE = Decimal("0.001")
COST_TOLERANCE_USD = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Held:
    """A position as the broker told it: signed shares, average cost and price a share, in the same currency."""

    quantity: Decimal
    average_cost: Decimal
    price: Decimal


def find_split(
    conid: int, before: Held, now: Held, since: Sequence[Fill], *, seen_at: datetime, symbol: str = ""
) -> Split | None:
    """The one split that leads from `before`, with the executions `since` then, to `now`; None for none or several.

    `before` is of the last look at which books and broker agreed. The split takes effect just before one of the
    executions, or at `seen_at` (aware UTC) after all of them.
    """
    found = []
    for moment in (*sorted({fill.executed_at for fill in since}), seen_at):
        split = _split_at(conid, moment, before, now, since, symbol)
        if split is not None:
            found.append(split)
    return found[0] if len(found) == 1 else None


def _split_at(
    conid: int, moment: datetime, before: Held, now: Held, since: Sequence[Fill], symbol: str
) -> Split | None:
    start = {conid: Position(conid, symbol, before.quantity, before.quantity * before.average_cost)}
    early = [fill for fill in since if fill.executed_at < moment]
    late = [fill for fill in since if fill.executed_at >= moment]
    old = follow(start, early, [])[conid].quantity
    new = now.quantity - sum((fill.side.sign * fill.quantity for fill in late), ZERO)
    if old == 0:
        return None
    ratio = Fraction(new) / Fraction(old)
    if not _is_usual(ratio):
        return None
    split = Split(conid, moment, ratio.numerator, ratio.denominator)
    after = follow(start, [*early, *late], [split])[conid]
    commissions = sum((abs(fill.commission) for fill in since), ZERO)
    allowed = commissions + abs(after.cost) * COST_TOLERANCE + abs(now.quantity) * COST_TOLERANCE_USD
    is_same_cost = abs(after.cost - now.quantity * now.average_cost) <= allowed
    return split if is_same_cost and _is_price_inverse(before.price, now.price, ratio) else None


def _is_usual(ratio: Fraction) -> bool:
    new, old = ratio.numerator, ratio.denominator
    return (new > old and old <= MOST_OLD_SHARES and new <= MOST_SHARES) or (new == 1 and 1 < old <= MOST_SHARES)


def _is_price_inverse(before: Decimal, now: Decimal, ratio: Fraction) -> bool:
    if before <= 0 or now <= 0:
        return False
    return abs(log(float(now) / float(before)) + log(ratio)) <= PRICE_TOLERANCE
