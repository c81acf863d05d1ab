"""Positions from executions: signed shares, what they cost on average, and what closing them has realised.

What goes here: executions with their revisions, splits and shares that come without a trade, in exact decimals. What
does not: results by day and net asset value (`portfolio.performance`), and what the broker says it holds
(`execution.account`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal, localcontext
from fractions import Fraction

from ibkr_assets.domain.account import Fill, split_execution_id
from ibkr_assets.domain.errors import DataError

ZERO = Decimal(0)
#: Wide enough that no sum or product of a ledger's figures is rounded.
EXACT = Context(prec=100)
#: Decimals kept of the cost of a part of a position; what is rounded off stays with the part that is left.
_COST_PLACES = 10


@dataclass(frozen=True, slots=True)
class Opening:
    """Signed shares that were there before the first execution, taken over at `price`; `at` is aware UTC."""

    conid: int
    symbol: str
    at: datetime
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Split:
    """`new` shares for each `old` ones; the whole position costs what it did."""

    conid: int
    at: datetime
    new: int
    old: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Signed shares that came or went without a trade, by the broker's number; the whole position costs what it did."""

    conid: int
    symbol: str
    at: datetime
    change: Decimal


#: What changes a position beside executions.
Event = Opening | Split | Adjustment


@dataclass(frozen=True, slots=True)
class Position:
    """Signed shares at average cost.

    `cost` is signed like `quantity` and in the instrument's currency, as are `realized` and `commissions`; neither of
    the first two contains commissions, a positive cost. Always: realized - cost = what trades did to cash.
    """

    conid: int
    symbol: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    commissions: Decimal = ZERO

    @property
    def average_cost(self) -> Decimal:
        """Cost a share, rounded; zero where nothing is held."""
        return self.cost / self.quantity if self.quantity else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        """What selling (or buying back) everything at `mark` would realise, before commissions."""
        with localcontext(EXACT):
            return self.quantity * mark - self.cost

    def after(self, fill: Fill) -> Position:
        """The position after one more execution. What closes is realised first, what is left over opens."""
        with localcontext(EXACT):
            change = fill.side.sign * fill.quantity
            closing = min(abs(change), abs(self.quantity)) if change * self.quantity < 0 else ZERO
            closed = closing.copy_sign(self.quantity)
            given = self._cost_of(closing)
            return replace(
                self,
                quantity=self.quantity + change,
                cost=self.cost - given + (change + closed) * fill.price,
                realized=self.realized + closed * fill.price - given,
                commissions=self.commissions + fill.commission,
            )

    def moved(self, event: Event) -> Position:
        """The position after an event. Raises DataError for a split that leaves part of a share."""
        with localcontext(EXACT):
            match event:
                case Opening():
                    added = event.quantity * event.price
                    return replace(self, quantity=self.quantity + event.quantity, cost=self.cost + added)
                case Split():
                    return replace(self, quantity=self._split(event))
                case Adjustment():
                    quantity = self.quantity + event.change
                    if quantity * self.quantity > 0:
                        return replace(self, quantity=quantity)
                    # Nothing is left that the cost was of: it is lost (or, for a short, won).
                    return replace(self, quantity=quantity, cost=ZERO, realized=self.realized - self.cost)

    def _cost_of(self, closing: Decimal) -> Decimal:
        """The cost of a part of what is held, rounded half to even."""
        if closing == 0 or closing == abs(self.quantity):
            return self.cost if closing else ZERO
        part = Fraction(self.cost) * Fraction(closing) / Fraction(abs(self.quantity))
        return Decimal(round(part * 10**_COST_PLACES)).scaleb(-_COST_PLACES)

    def _split(self, event: Split) -> Decimal:
        if event.new <= 0 or event.old <= 0:
            raise DataError(f"split of {self.symbol}: {event.new} for {event.old}; both must be positive")
        shares = Fraction(self.quantity) * event.new / event.old
        if shares.denominator != 1:
            raise DataError(
                f"split of {self.symbol}: {event.new} for {event.old} makes {float(shares)} of {self.quantity} shares; "
                "the broker pays parts in cash, so its own number is needed"
            )
        return Decimal(shares.numerator)


def count_once(executions: Iterable[Fill]) -> list[Fill]:
    """Each execution in its newest revision, by time and id, whatever order they come in and however often.

    A revision of zero shares takes its execution back; a commission it still names is paid all the same. Raises
    DataError where one id says two things.
    """
    newest: dict[str, tuple[int, Fill]] = {}
    seen: dict[str, Fill] = {}
    for fill in executions:
        if seen.setdefault(fill.execution_id, fill) != fill:
            raise DataError(f"execution_id {fill.execution_id}: two different executions of {fill.symbol}")
        root, revision = split_execution_id(fill.execution_id)
        if root not in newest or newest[root][0] < revision:
            newest[root] = revision, fill
    return sorted((fill for _, fill in newest.values()), key=lambda fill: (fill.executed_at, fill.execution_id))


def positions_of(executions: Iterable[Fill], events: Sequence[Event] = ()) -> dict[int, Position]:
    """Positions by conid, closed ones included. An event goes before the executions of its instant."""
    return follow({}, count_once(executions), events)


def follow(positions: dict[int, Position], counted: Sequence[Fill], events: Sequence[Event]) -> dict[int, Position]:
    """These positions after what `count_once` has counted and some events, in order of time."""
    after = dict(positions)
    steps: list[tuple[datetime, int, Fill | Event]] = [(event.at, 0, event) for event in events]
    steps += [(fill.executed_at, 1, fill) for fill in counted]
    for _, _, step in sorted(steps, key=lambda step: step[:2]):
        if isinstance(step, Split):
            if step.conid in after:
                after[step.conid] = after[step.conid].moved(step)
            continue
        held = after.get(step.conid, Position(step.conid, step.symbol))
        after[step.conid] = held.after(step) if isinstance(step, Fill) else held.moved(step)
    return after
