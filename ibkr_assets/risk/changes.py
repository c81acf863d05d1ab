"""Which limits are in force when the configured ones were changed: tighter at once, looser only after a delay.

What goes here: what tighter means for each limit, and the delay. What does not: the history's table
(`adapters.postgres.limits`). Source of the delay: two persons raise a limit of a live account, and an installation of
one person waits a day instead; a raised limit then begins with a day of the market, never in the middle of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.domain.order import Mode
from ibkr_assets.risk.limits import Limits

DELAY = timedelta(hours=24)
#: In whose days a raised limit begins, which are the days that limits of a day count.
MARKET_ZONE = ZoneInfo("America/New_York")

#: Limits of which more is stricter; of every other number less is.
MORE_IS_TIGHTER = frozenset({
    "look_alike_minutes", "look_alike_price_fraction", "cash_reserve_fraction", "session_edge_minutes",
    "min_disk_free_fraction", "min_disk_free_bytes",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class LimitsChange:
    """From when on the configured limits were these. `actor` and `origin` say who was seen to use them, from where."""

    limits: Limits
    sha256: str
    mode: Mode
    actor: str
    origin: str
    at: datetime


def limits_in_force(history: Sequence[LimitsChange], configured: Limits, mode: Mode, now: datetime) -> Limits:
    """The configured limits; in mode live, of each limit the tightest that was configured within the delay.

    `history` is in order of time, its newest change the last; only those of mode live count for it. What has no order
    of strictness, like the sectors, stays for the delay as it was. `now` and the changes are of one clock.
    """
    if mode is not Mode.LIVE:
        return configured
    of_mode = [change for change in history if change.mode is mode]
    last = len(of_mode) - 1
    standing = [
        change.limits
        for place, change in enumerate(of_mode)
        if place == last or takes_effect(of_mode[place + 1].at) > now
    ]
    return reduce(tighter, reversed(standing), configured)


def takes_effect(at: datetime) -> datetime:
    """When what was raised at `at` is in force: at the first midnight of New York a day or more later."""
    earliest = (at + DELAY).astimezone(MARKET_ZONE)
    midnight = datetime.combine(earliest.date(), time(), MARKET_ZONE)
    return midnight if midnight == earliest else datetime.combine(
        earliest.date() + timedelta(days=1), time(), MARKET_ZONE
    )  # fmt: skip


def tighter(new: Limits, old: Limits) -> Limits:
    """Of each limit the stricter of the two; of what has no order, the old."""
    chosen = {item.name: _tighter(item.name, getattr(new, item.name), getattr(old, item.name)) for item in fields(new)}
    return replace(new, **chosen)


def raised(old: Limits, new: Limits) -> tuple[str, ...]:
    """Names of the limits in which `new` is not as strict as `old`."""
    kept = tighter(new, old)
    return tuple(item.name for item in fields(new) if getattr(kept, item.name) != getattr(new, item.name))


def changed(old: Limits, new: Limits) -> tuple[str, ...]:
    """Names of the limits that differ."""
    return tuple(item.name for item in fields(new) if getattr(old, item.name) != getattr(new, item.name))


def _tighter(name: str, new: Any, old: Any) -> Any:
    if isinstance(new, bool):
        return new and old
    if isinstance(new, frozenset):
        return new & old
    if isinstance(new, Mapping):
        return old
    for value in (new, old):
        if isinstance(value, Decimal) and not value.is_finite():
            return value  # denies wherever it is used
    return max(new, old) if name in MORE_IS_TIGHTER else min(new, old)
