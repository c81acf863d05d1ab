"""Which symbols belong to the universe on a day: those of the settings, as people changed them since.

What goes here: the rule. What does not: keeping the changes (`adapters.postgres.universe`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class UniverseChange:
    """From the session of `day` on the symbol is a member, or is none any more: by whom, why, and when it was said."""

    id: int
    symbol: str
    is_member: bool
    day: date
    reason: str
    actor: str
    changed_at: datetime


def members(configured: Iterable[str], changes: Sequence[UniverseChange], day: date) -> tuple[str, ...]:
    """The members on a day: the configured ones in their order, then added ones by symbol.

    Of one symbol the change of the latest day up to this one holds, of the same day the one that was said last.
    """
    newest: dict[str, bool] = {}
    for change in sorted(changes, key=lambda one: (one.day, one.id)):
        if change.day <= day:
            newest[change.symbol] = change.is_member
    kept = [symbol for symbol in dict.fromkeys(configured) if newest.get(symbol, True)]
    return (*kept, *sorted(symbol for symbol, is_member in newest.items() if is_member and symbol not in kept))
