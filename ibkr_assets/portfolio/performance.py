"""Profit and loss by day, net asset value, and how far it has fallen: today, and from its peak.

What goes here: sums over positions and over a history of net asset values, exact. What does not: how executions make
positions (`portfolio.positions`), and what a loss stops (`risk`). A price or a value that is missing is an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from itertools import accumulate
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


@dataclass(frozen=True, slots=True)
class NavPoint:
    """Net asset value in USD at an instant (aware UTC), and what was paid in (or, negative, out) since the one before.

    Dividends are no payments in this sense: they are a result.
    """

    at: datetime
    nav: Decimal
    paid_in: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Loss:
    """USD lost, the net asset value it is a part of, and since when. Never negative: a gain is no loss."""

    amount: Decimal
    base: Decimal
    since: datetime

    @property
    def fraction(self) -> Decimal:
        """The part of `base` that was lost."""
        return self.amount / self.base


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


def loss_since(history: Sequence[NavPoint], start: datetime) -> Loss:
    """What was lost from the newest net asset value at or before `start` (the day's begin) to the newest of all.

    Raises DataError for a history that is out of order, holds a value that is not positive, or begins after `start`.
    """
    _check(history)
    known = [place for place, point in enumerate(history) if point.at <= start]
    if not known:
        raise DataError(f"net asset value: none is known at or before {start.isoformat()}")
    return _loss(history, known[-1])


def drawdown(history: Sequence[NavPoint]) -> Loss:
    """What was lost from the highest net asset value, payments left out, to the newest.

    Raises DataError for a history that is empty, out of order, or holds a value that is not positive.
    """
    _check(history)
    with localcontext(EXACT):
        paid_in = accumulate(point.paid_in for point in history)
        unpaid = [point.nav - paid for point, paid in zip(history, paid_in, strict=True)]
    return _loss(history, unpaid.index(max(unpaid)))


def _loss(history: Sequence[NavPoint], place: int) -> Loss:
    """From one value to the newest; what was paid in since then belongs to the base and is no gain."""
    with localcontext(EXACT):
        base = history[place].nav + sum((point.paid_in for point in history[place + 1 :]), ZERO)
        return Loss(max(base - history[-1].nav, ZERO), base, history[place].at)


def _check(history: Sequence[NavPoint]) -> None:
    if not history:
        raise DataError("net asset value: the history is empty")
    for place, point in enumerate(history):
        if not point.nav.is_finite() or point.nav <= 0:
            raise DataError(f"net asset value at {point.at.isoformat()}: must be a positive number, got {point.nav}")
        if place and point.at <= history[place - 1].at:
            raise DataError(f"net asset value at {point.at.isoformat()}: not after the one before it")


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
