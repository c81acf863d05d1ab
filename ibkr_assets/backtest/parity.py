"""One decision traded by the backtest's engine, and the money by which what really happened differs from it.

What goes here: what was to be expected of a decision, and the sum that each cause of a difference comes to. What does
not: which decisions there were and what happened (`execution.parity`). Money is exact from the engine's fills on.

Both are valued at the close of the session that the orders were for, so that a difference is what it was worth by then:

    real - expected = price + timing + size + fee + missed bar

`price`: filled at the opening, at another price than the bar's. `timing`: filled later than the opening. `size`: other
shares than expected, their fees by the schedule included. `fee`: other fees than the schedule says. `missed_bar`: as
size, where what was decided then is not what the bars of today decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms, run
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.tape import tapes_of

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.backtest.commissions import Charge
    from ibkr_assets.backtest.sizes import Opening

ZERO, CENT = Decimal(0), Decimal("0.01")
#: Causes, in the order in which they are told.
CAUSES = ("price", "timing", "size", "fee", "missed_bar")
#: What fills so soon after the opening has filled in it.
OPENING = timedelta(minutes=2)
_UNLIMITED = 1e12


@dataclass(frozen=True, slots=True)
class ActualFill:
    """One execution: signed shares, USD a share, the fee in USD, and when (aware UTC)."""

    shares: Decimal
    price: Decimal
    fee: Decimal
    at: datetime
    order: str


@dataclass(frozen=True, slots=True)
class ExpectedFill:
    """A fill of the engine: signed shares, the bar's open, and the schedule's fee to the cent."""

    shares: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Case:
    """One decision on one instrument: what was held, what is wanted, by which bars, and what happened.

    `bars` are two rows of BAR_COLUMNS, the session decided on and the next. `shares` is the size of a new position;
    `limit` the price an order may not fill beyond. `is_as_decided` is False where the bars of today decide otherwise
    than was decided then. `note` says what became of the orders.
    """

    strategy_id: str
    symbol: str
    held: Decimal
    wanted: int
    shares: Decimal
    limit: Decimal | None
    bars: pd.DataFrame
    fills: tuple[ActualFill, ...]
    is_as_decided: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was expected, what happened, and the differences in USD by cause; positive is better than expected."""

    strategy_id: str
    symbol: str
    expected: tuple[ExpectedFill, ...]
    fills: tuple[ActualFill, ...]
    note: str
    price: Decimal = ZERO
    timing: Decimal = ZERO
    size: Decimal = ZERO
    fee: Decimal = ZERO
    missed_bar: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """All causes together."""
        return sum((getattr(self, cause) for cause in CAUSES), ZERO)

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs, share for share and cent for cent; differences that cancel out are differences."""
        of_shares = sum((fill.shares for fill in self.fills), ZERO) - sum((fill.shares for fill in self.expected), ZERO)
        return of_shares == 0 and all(getattr(self, cause) == 0 for cause in CAUSES)

    @property
    def words(self) -> str:
        """Each difference as a sentence for people; empty where there is none."""
        said = [
            f"{cause.replace('_', ' ')} {getattr(self, cause):+,.2f} USD" for cause in CAUSES if getattr(self, cause)
        ]
        if not said and self.is_exact:
            return ""
        wanted = ", ".join(f"{fill.shares:+f} at {fill.price:f}" for fill in self.expected)
        got = ", ".join(f"{fill.shares:+f} at {fill.price:f}, {fill.at:%H:%M:%S} UTC" for fill in self.fills)
        note = f"; {self.note}" if self.note else ""
        return f"{', '.join(said) or 'shares differ'}: expected {wanted or 'nothing'}; got {got or 'nothing'}{note}"


@dataclass(frozen=True, slots=True)
class PastOrder:
    """An order as the ledger has it. `leg` 0 closes a reversal; `is_denied` by a rule, before it was approved."""

    leg: int
    limit: Decimal | None
    is_denied: bool
    note: str


@dataclass(frozen=True, slots=True)
class Happened:
    """What one account did about the decisions of one session, by strategy and conid.

    `nav_usd` and `held` (signed shares) are what was planned with; without a plan, what the account had at the next
    opening. `first_days` are the days of each strategy's first signal.
    """

    orders: Mapping[tuple[str, int], Sequence[PastOrder]]
    fills: Mapping[tuple[str, int], Sequence[ActualFill]]
    nav_usd: Mapping[tuple[str, int], Decimal]
    held: Mapping[tuple[str, int], Decimal]
    account_nav_usd: Decimal | None
    first_days: Mapping[str, date]


def compare(case: Case, *, commission: str = "ibkr-fixed") -> Comparison:
    """The case traded by the engine, beside what happened. Raises InputError for bars that are none."""
    expected = expect(case, commission)
    close, opened = (Decimal(repr(float(case.bars[name].iloc[1]))) for name in ("close", "open"))
    starts_at = case.bars["opened_at"].iloc[1].to_pydatetime()
    charge = _in_cents(parse_commission(commission).begin(), starts_at)
    price = timing = fees = ZERO
    by_order: dict[str, list[ActualFill]] = {}
    for fill in case.fills:
        worse = -fill.shares * (fill.price - opened)
        if fill.at - starts_at <= OPENING:
            price += worse
        else:
            timing += worse
        fees += fill.fee
        by_order.setdefault(fill.order, []).append(fill)
    scheduled = ZERO
    for own in by_order.values():
        shares = sum((abs(fill.shares) for fill in own), ZERO)
        scheduled += charge(shares, sum((abs(fill.shares) * fill.price for fill in own), ZERO))
    other = sum((fill.shares for fill in case.fills), ZERO) - sum((fill.shares for fill in expected), ZERO)
    size = other * (close - opened) - (scheduled - sum((fill.fee for fill in expected), ZERO))
    return Comparison(
        case.strategy_id, case.symbol, expected, case.fills, case.note,
        price=price, timing=timing, fee=scheduled - fees,
        **{"size" if case.is_as_decided else "missed_bar": size},
    )  # fmt: skip


def expect(case: Case, commission: str = "ibkr-fixed") -> tuple[ExpectedFill, ...]:
    """The engine's fills at the open after the decision: a closing, an opening, or both."""
    held = int(np.sign(float(case.held)))
    opened = Decimal(repr(float(case.bars["open"].iloc[1])))
    wanted = case.wanted if _is_within(case, opened, held) else held
    # What is held is opened one bar before the decision, so that the engine has it to close.
    before = case.bars.iloc[:1].assign(opened_at=case.bars["opened_at"].iloc[0] - timedelta(days=1))
    (tape,) = tapes_of(_stack(before, case.bars))
    sizes = _Sizes(float(abs(case.held)), float(case.shares))
    terms = Terms(_UNLIMITED, sizes, parse_commission("none"), parse_slippage("none"), may_borrow=True)
    result = run([tape], [np.array([held, wanted, wanted], dtype=np.int8)], terms)
    fills = [(-trade.direction * trade.size, trade.exit_price) for trade in result.trades if trade.exit_bar == 2]
    fills += [(own.direction * own.size, own.entry_price) for own in result.open_positions if own.entry_bar == 2]
    at = case.bars["opened_at"].iloc[1].to_pydatetime()
    charge = _in_cents(parse_commission(commission).begin(), at)
    exact = [(Decimal(repr(float(shares))), Decimal(repr(float(price)))) for shares, price in fills]
    return tuple(ExpectedFill(shares, price, charge(abs(shares), abs(shares) * price)) for shares, price in exact)


def _is_within(case: Case, opened: Decimal, held: int) -> bool:
    """Whether an order in the direction of the change fills at the open."""
    side = case.wanted - held
    if case.limit is None or side == 0:
        return True
    return opened <= case.limit if side > 0 else opened >= case.limit


def _stack(*frames: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What is held, and then the size of the decision."""

    held: float
    shares_wanted: float
    needs_nav: bool = False
    number: None = None

    def shares(self, opening: Opening) -> float:
        """By the bar that is opened in."""
        return self.held if opening.bar == 1 else self.shares_wanted


def _in_cents(charge: Charge, at: datetime) -> Callable[[Decimal, Decimal], Decimal]:
    """The fee of an order by its shares and what they are worth in USD."""
    month = at.year * 12 + at.month

    def of_order(shares: Decimal, value: Decimal) -> Decimal:
        return _to_cent(charge(float(shares), float(value / shares), month)) if shares else ZERO

    return of_order


def _to_cent(amount: float) -> Decimal:
    return Decimal(repr(float(amount))).quantize(CENT, ROUND_HALF_UP)
