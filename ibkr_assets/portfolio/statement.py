"""What the account holds and has made: by instrument, by strategy, by day, from executions and marks on read.

What goes here: the sums, exact, with what is not known left open. What does not: loading the rows
(`adapters.postgres.account_history`). Nothing here is stored, so nothing can disagree with the executions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal, localcontext

from ibkr_assets.domain.account import Fill
from ibkr_assets.portfolio.performance import results_by_day
from ibkr_assets.portfolio.positions import EXACT, ZERO, Adjustment, Event, Opening, Position, Split, count_once, follow

#: Shares and executions that belong to no strategy.
NOBODY = "-"


@dataclass(frozen=True, slots=True)
class SharesMoved:
    """An event of the account by the broker's number: `change` shares at `at` (aware UTC).

    `price` is set where the shares were brought in at it; `split` (new, old) where a split made them.
    """

    conid: int
    symbol: str
    at: datetime
    change: Decimal
    price: Decimal | None = None
    split: tuple[int, int] | None = None

    @property
    def event(self) -> Event:
        """What it does to a position."""
        if self.price is not None:
            return Opening(self.conid, self.symbol, self.at, self.change, self.price)
        return Adjustment(self.conid, self.symbol, self.at, self.change)


@dataclass(frozen=True, slots=True)
class Valuation:
    """The account at `at` (aware UTC): NAV and what was paid in since the one before (USD), prices by conid.

    `day` is the session that ended with it, or None for one that is none's last.
    """

    at: datetime
    nav: Decimal
    paid_in: Decimal
    marks: Mapping[int, Decimal]
    day: date | None = None


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """Everything results are made of. `valuations` rise: the first, each session's last, the newest."""

    executions: Sequence[tuple[str, Fill]]
    moved: Sequence[SharesMoved]
    valuations: Sequence[Valuation]


@dataclass(frozen=True, slots=True)
class PositionResult:
    """One position in USD; `price`, `value`, `unrealized` and `total` are None where there is no price of it."""

    owner: str
    conid: int
    symbol: str
    quantity: Decimal
    average_cost: Decimal
    price: Decimal | None
    value: Decimal | None
    realized: Decimal
    unrealized: Decimal | None
    commissions: Decimal
    total: Decimal | None


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day in USD. `day` is None for the time since the last session's end.

    `other` is what changed the NAV beside trades, prices and payments: dividends, fees, late corrections.
    """

    day: date | None
    at: datetime
    nav: Decimal
    nav_change: Decimal
    paid_in: Decimal
    realized: Decimal
    unrealized_change: Decimal
    commissions: Decimal
    total: Decimal
    other: Decimal


@dataclass(frozen=True, slots=True)
class AccountSum:
    """The account from its first valuation to its newest, in USD; None where there is none or a price is missing.

    `other` is what trades, prices and payments do not explain: dividends, fees, interest.
    """

    since: datetime | None
    at: datetime | None
    opening_nav: Decimal | None
    nav: Decimal | None
    paid_in: Decimal
    realized: Decimal
    unrealized: Decimal | None
    commissions: Decimal
    total: Decimal | None
    other: Decimal | None


def sum_up(history: AccountHistory) -> AccountSum:
    """All positions together, held against what the net asset value did."""
    rows = results_by_position(history)
    first, newest = (history.valuations[0], history.valuations[-1]) if history.valuations else (None, None)
    with localcontext(EXACT):
        paid_in = sum((valuation.paid_in for valuation in history.valuations[1:]), ZERO)
        unrealized = _sum([row.unrealized for row in rows])
        total = _sum([row.total for row in rows])
        change = None if first is None or newest is None else newest.nav - first.nav - paid_in
        return AccountSum(
            since=None if first is None else first.at,
            at=None if newest is None else newest.at,
            opening_nav=None if first is None else first.nav,
            nav=None if newest is None else newest.nav,
            paid_in=paid_in,
            realized=sum((row.realized for row in rows), ZERO),
            unrealized=unrealized,
            commissions=sum((row.commissions for row in rows), ZERO),
            total=total,
            other=None if change is None or total is None else change - total,
        )


def _sum(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, ZERO) if len(known) == len(values) else None


def results_by_position(history: AccountHistory) -> list[PositionResult]:
    """Every instrument ever held, by conid."""
    fills = count_once(fill for _, fill in history.executions)
    held = follow({}, fills, [moved.event for moved in history.moved])
    return [_result("", held[conid], _marks(history)) for conid in sorted(held)]


def results_by_strategy(history: AccountHistory) -> list[PositionResult]:
    """Every instrument of every strategy; what belongs to none is `NOBODY`'s, parts of shares of a split too."""
    marks = _marks(history)
    books = _books_of(history)
    return [_result(owner, held[conid], marks) for owner, held in sorted(books.items()) for conid in sorted(held)]


def results_of_days(history: AccountHistory) -> list[DayRow]:
    """One row a session that was valued at its end, and one for the time since; what happened later is left out."""
    if not history.valuations:
        return []
    first, *later = history.valuations
    keys = _keys(later)
    marks = {first.at.date() - timedelta(days=3650): dict(first.marks)}
    (start,) = marks
    marks |= {key: dict(valuation.marks) for key, valuation in zip(keys, later, strict=True)}
    ends = [(start, first.at), *((key, valuation.at) for key, valuation in zip(keys, later, strict=True))]

    def day_of(moment: datetime) -> date:
        return next(key for key, end in ends if moment <= end)

    until = history.valuations[-1].at
    results = results_by_day(
        [fill for _, fill in history.executions if fill.executed_at <= until],
        marks,
        day_of,
        [moved.event for moved in history.moved if moved.at <= until],
    )
    rows = []
    with localcontext(EXACT):
        for before, valuation, result in zip(history.valuations, later, results[1:], strict=False):
            change = valuation.nav - before.nav - valuation.paid_in
            rows.append(
                DayRow(
                    day=valuation.day,
                    at=valuation.at,
                    nav=valuation.nav,
                    nav_change=change,
                    paid_in=valuation.paid_in,
                    realized=result.realized,
                    unrealized_change=result.total - result.realized + result.commissions,
                    commissions=result.commissions,
                    total=result.total,
                    other=change - result.total,
                )
            )
    return rows


def _keys(valuations: Sequence[Valuation]) -> list[date]:
    """A day for each valuation; what is none's last comes the day after the one before it."""
    keys: list[date] = []
    for valuation in valuations:
        after = keys[-1] + timedelta(days=1) if keys else valuation.at.date()
        keys.append(valuation.day or after)
    return keys


def _marks(history: AccountHistory) -> Mapping[int, Decimal]:
    return history.valuations[-1].marks if history.valuations else {}


def _books_of(history: AccountHistory) -> dict[str, dict[int, Position]]:
    """Positions by owner. A split gives each strategy its whole shares, and nobody what is left of the broker's."""
    newest = {fill.execution_id for fill in count_once(fill for _, fill in history.executions)}
    steps: list[tuple[datetime, int, str, Fill | SharesMoved]] = [
        (fill.executed_at, 1, owner, fill) for owner, fill in history.executions if fill.execution_id in newest
    ]
    steps += [(moved.at, 0, NOBODY, moved) for moved in history.moved]
    books: dict[str, dict[int, Position]] = {}
    for at, _, owner, step in sorted(steps, key=lambda step: (step[0], step[1], getattr(step[3], "execution_id", ""))):
        if isinstance(step, Fill):
            books[owner] = follow(books.get(owner, {}), [step], [])
        elif step.split is None:
            books[NOBODY] = follow(books.get(NOBODY, {}), [], [step.event])
        else:
            left = step.change
            for name, held in books.items():
                if name != NOBODY and step.conid in held and held[step.conid].quantity:
                    change = _whole_change(held[step.conid], Split(step.conid, at, *step.split))
                    books[name] = follow(held, [], [Adjustment(step.conid, step.symbol, at, change)])
                    left -= change
            if left:
                books[NOBODY] = follow(books.get(NOBODY, {}), [], [Adjustment(step.conid, step.symbol, at, left)])
    return books


def _whole_change(held: Position, split: Split) -> Decimal:
    whole = (held.quantity * split.new / split.old).quantize(Decimal("0.000001")).to_integral_value(ROUND_DOWN)
    return whole - held.quantity


def _result(owner: str, held: Position, marks: Mapping[int, Decimal]) -> PositionResult:
    price = marks.get(held.conid) if held.quantity else None
    with localcontext(EXACT):
        unrealized = ZERO if not held.quantity else None if price is None else held.unrealized(price)
        value = ZERO if not held.quantity else None if price is None else held.quantity * price
        total = None if unrealized is None else held.realized + unrealized - held.commissions
    return PositionResult(
        owner=owner,
        conid=held.conid,
        symbol=held.symbol,
        quantity=held.quantity,
        average_cost=round(held.average_cost, 6),
        price=price,
        value=value,
        realized=held.realized,
        unrealized=unrealized,
        commissions=held.commissions,
        total=total,
    )
