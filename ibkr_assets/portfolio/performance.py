"""Profit and loss by day, and net asset value.

What goes here: sums over positions, exact. What does not: how executions make positions (`portfolio.positions`), how
far the account has fallen (`adapters.postgres.losses`), and what a loss stops (`risk`). A missing price is an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import TypeVar

from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.errors import DataError
from ibkr_assets.portfolio.positions import EXACT, ZERO, Event, Position, count_once, follow

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DayResult:
    """One day, in USD: what was realised and paid in commissions on it, and what is unrealised at its end.

    `total` is realised less commissions, and the change of what is unrealised.
    """

    day: date
    realized: Decimal
    commissions: Decimal
    unrealized: Decimal
    total: Decimal


def net_asset_value(cash: Decimal, positions: Iterable[Position], marks: Mapping[int, Decimal]) -> Decimal:
    """Cash and every position at its mark (by conid). Raises DataError naming a position without a price."""
    with localcontext(EXACT):
        return sum((p.quantity * _mark(p, marks) for p in positions if p.quantity), cash)


def results_by_day(
    executions: Iterable[Fill],
    marks: Mapping[date, Mapping[int, Decimal]],
    day_of: Callable[[datetime], date],
    events: Sequence[Event] = (),
) -> list[DayResult]:
    """The result of each day of `marks` (closing prices by day and conid), in order.

    `day_of` gives the trading day of an instant. Raises DataError for an execution or an event on a day without
    marks, and for a position held at the end of a day without a price of that day.
    """
    fills_of = _group(count_once(executions), lambda fill: day_of(fill.executed_at))
    events_of = _group(events, lambda event: day_of(event.at))
    for day in sorted((fills_of.keys() | events_of.keys()) - marks.keys()):
        raise DataError(f"marks: none of {day}, where something was traded or moved")
    positions: dict[int, Position] = {}
    results: list[DayResult] = []
    realized = commissions = unrealized = ZERO
    for day in sorted(marks):
        positions = follow(positions, fills_of.get(day, []), events_of.get(day, []))
        with localcontext(EXACT):
            ends = [position for position in positions.values() if position.quantity]
            before = realized - commissions + unrealized
            realized_before, commissions_before = realized, commissions
            realized = sum((p.realized for p in positions.values()), ZERO)
            commissions = sum((p.commissions for p in positions.values()), ZERO)
            unrealized = sum((p.unrealized(_mark(p, marks[day])) for p in ends), ZERO)
            results.append(
                DayResult(
                    day=day,
                    realized=realized - realized_before,
                    commissions=commissions - commissions_before,
                    unrealized=unrealized,
                    total=realized - commissions + unrealized - before,
                )
            )
    return results


def _group(items: Iterable[_T], day_of: Callable[[_T], date]) -> dict[date, list[_T]]:
    grouped: defaultdict[date, list[_T]] = defaultdict(list)
    for item in items:
        grouped[day_of(item)].append(item)
    return grouped


def _mark(position: Position, marks: Mapping[int, Decimal]) -> Decimal:
    mark = marks.get(position.conid)
    if mark is None or not mark.is_finite() or mark < 0:
        got = "there is none" if mark is None else f"got {mark}"
        raise DataError(f"price of {position.symbol} (conid {position.conid}): must be a number, {got}")
    return mark
