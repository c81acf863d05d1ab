"""The rules that live orders keep, heard for the openings of a backtest: the same functions, asked of the past.

What goes here: which rules mean something over bars alone, and the facts and the exposure they are given. What does
not: the rules (`risk`) and the run (`backtest.engine`). A closing is never held back: what is open must be able to end.
The limit price is the open that would be paid, or the close decided on where the open is better: an open that has
gapped past the collar is one that a live order's limit would not have reached either. A day is one of New York; a sale
settles so many of the run's own days after it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ibkr_assets.domain.order import Mode, OrderIntent, OrderType, Side, TimeInForce
from ibkr_assets.market.settlement import cycle_days
from ibkr_assets.risk.engine import hear
from ibkr_assets.risk.facts import Exposure, Facts, InstrumentFacts
from ibkr_assets.risk.rules import RULES, DenialCode
from ibkr_assets.risk.stored import digest

if TYPE_CHECKING:
    from ibkr_assets.backtest.sizes import Opening
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.features.frame import Floats
    from ibkr_assets.risk.facts import Finding
    from ibkr_assets.risk.limits import Limits

#: Rules of the platform and of the broker (sessions, clocks, books, messages) have no meaning over bars.
HEARD = (
    DenialCode.ALLOW_LIST, DenialCode.PRICE_COLLAR, DenialCode.ORDER_VALUE, DenialCode.ORDER_SIZE,
    DenialCode.RECENT_VOLUME, DenialCode.REPEATED, DenialCode.ORDER_COUNT, DenialCode.POSITION, DenialCode.GROSS,
    DenialCode.NET, DenialCode.SECTOR, DenialCode.NO_SHORT, DenialCode.DAILY_NOTIONAL, DenialCode.LOSS, DenialCode.CASH,
    DenialCode.SETTLED_CASH,
)  # fmt: skip
#: Sessions that volume and true range are averaged over, as before a live order.
WINDOW = 20
#: What traded in the half hour up to the end of the bar decided on is recent; bars of half a day or more are daily.
RECENT, DAILY = np.timedelta64(30, "m"), np.timedelta64(12, "h")


class DeniedOrder(NamedTuple):
    """An opening that a rule denied at a bar's open; one that is wanted again at the next open is another."""

    symbol: str
    bar: int
    time: np.datetime64
    direction: int
    size: float
    price: float
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Oversight:
    """By which limits the openings of a run are reviewed."""

    limits: Limits

    def begin(
        self, tapes: Sequence[Tape], times: npt.NDArray[np.datetime64], ranks: Sequence[npt.NDArray[np.int64]],
        cash: float,
    ) -> Overseer:  # fmt: skip
        """The books of one run. `ranks` say where the bars of each tape stand among `times`."""
        return Overseer(self.limits, tapes, times, ranks, cash)

    def describe(self) -> str:
        """The version of the limits."""
        return f"limits {digest(self.limits)}"


class Overseer:
    """One run's orders and shares as the rules see them. Moments must come in order."""

    def __init__(
        self, limits: Limits, tapes: Sequence[Tape], times: npt.NDArray[np.datetime64],
        ranks: Sequence[npt.NDArray[np.int64]], cash: float,
    ) -> None:  # fmt: skip
        self._limits, self._tapes, self._cash = limits, tapes, cash
        self._days = _days(times)
        self._day_numbers = np.unique(self._days, return_inverse=True)[1]
        self._sales: deque[tuple[int, float]] = deque()
        self._lengths = [np.diff(tape.times).min() if len(tape) > 1 else DAILY for tape in tapes]
        self._closes = np.array([_at_moments(tape, own, times.size) for tape, own in zip(tapes, ranks, strict=True)])
        self._held = np.zeros(len(tapes))
        self._rules = [RULES[code] for code in HEARD]
        self._looked_at, self._peak = 0, cash
        self._day, self._day_began = None, cash
        self._orders: Counter[int] = Counter()
        self._fills: Counter[tuple[int, int]] = Counter()
        self._ordered_usd = 0.0

    def deny(self, opening: Opening, shares: float, rank: int, place: int) -> DeniedOrder | None:
        """The first rule's word against an opening of `shares` at moment `rank`, or None."""
        self._move_on(rank)
        intent = _intent(opening, shares)
        facts = Facts(
            now=intent.signal_bar_end, mode=Mode.DRY_RUN, nav_usd=_exact(self._nav(rank)), killed_by=None,
            instrument=_instrument(opening.tape, opening.bar, self._lengths[place]),
        )  # fmt: skip
        findings = hear(self._rules, intent, facts, self._exposure(rank, place, intent), self._limits)
        failed: Finding | None = next((finding for finding in findings if not finding.is_passed), None)
        if failed is None:
            return None
        tape, bar = opening.tape, opening.bar
        return DeniedOrder(
            tape.symbol, bar, tape.times[bar], opening.direction, shares, opening.price, failed.code, failed.text
        )

    def book(self, rank: int, place: int, change: float, price: float, paid: float) -> None:
        """Take note of a fill: signed shares, and what it changed the cash by."""
        self._move_on(rank)
        self._held[place] += change
        self._cash += paid
        self._orders[place] += 1
        self._fills[place, 1 if change > 0 else -1] += 1
        self._ordered_usd += abs(change) * price
        if change < 0:
            self._sales.append((rank, -change * price))

    def _exposure(self, rank: int, place: int, intent: OrderIntent) -> Exposure:
        values = self._held * self._closes_before(rank)
        values[place] = 0.0
        sector = self._limits.sector(intent.symbol)
        in_sector = [self._limits.sector(tape.symbol) == sector for tape in self._tapes]
        nav = self._nav(rank)
        return Exposure(
            held=_exact(self._held[place]), open_buys=Decimal(0), open_sells=Decimal(0),
            others_gross_usd=_exact(np.abs(values).sum()), others_net_high_usd=_exact(values.sum()),
            others_net_low_usd=_exact(values.sum()), others_sector_usd=_exact(np.abs(values)[in_sector].sum()),
            cash_usd=_exact(self._cash), settled_cash_usd=_exact(self._cash - self._unsettled(rank)),
            open_buy_cost_usd=Decimal(0), approved_today_usd=_exact(self._ordered_usd),
            orders_today=self._orders.total(), orders_today_of_instrument=self._orders[place],
            repeats_today=self._fills[place, intent.side.sign],
            day_loss_fraction=_lost(self._day_began, nav), drawdown_fraction=_lost(self._peak, nav),
        )  # fmt: skip

    def _unsettled(self, rank: int) -> float:
        """Proceeds of sales that are not settled cash yet, in USD."""
        while self._sales:
            sold_at = self._sales[0][0]
            passed = self._day_numbers[rank] - self._day_numbers[sold_at]
            if passed < cycle_days(self._days[sold_at].astype(date)):
                break
            self._sales.popleft()
        return sum(proceeds for _, proceeds in self._sales)

    def _move_on(self, rank: int) -> None:
        """Everything up to the moment before `rank` has been; a new day begins with the value of the one before."""
        if rank > self._looked_at:
            worth = self._cash + self._held @ self._closes[:, self._looked_at : rank]
            self._peak, self._looked_at = max(self._peak, float(worth.max())), rank
        if self._days[rank] != self._day:
            first = int(np.searchsorted(self._days, self._days[rank]))
            self._day, self._day_began = self._days[rank], self._nav(first)
            self._orders.clear()
            self._fills.clear()
            self._ordered_usd = 0.0

    def _nav(self, rank: int) -> float:
        return float(self._cash + self._held @ self._closes_before(rank))

    def _closes_before(self, rank: int) -> Floats:
        """The last close of each tape before a moment; zero for one that has not begun, which is not held."""
        closes: Floats = self._closes[:, rank - 1].copy() if rank else np.zeros(len(self._tapes))
        return closes


def _intent(opening: Opening, shares: float) -> OrderIntent:
    tape, bar, side = opening.tape, opening.bar, Side.BUY if opening.direction > 0 else Side.SELL
    reference, opened = _exact(tape.close[bar - 1]), _exact(opening.price)
    moment = tape.times[bar].astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
    return OrderIntent(
        strategy_id="backtest", account_ref="backtest", mode=Mode.DRY_RUN, conid=tape.conid, symbol=tape.symbol,
        side=side, order_type=OrderType.LIMIT, quantity=Decimal(int(shares)),
        limit_price=max(reference, opened) if side is Side.BUY else min(reference, opened),
        time_in_force=TimeInForce.OPENING, reference_price=reference, session_date=moment.date(),
        signal_bar_end=moment, valid_until=moment + timedelta(seconds=1),
    )  # fmt: skip


def _instrument(tape: Tape, bar: int, length: np.timedelta64) -> InstrumentFacts:
    """Averages over the window before `bar`; not known where there are fewer bars. Bars are `length` long."""
    recent = _recent_volume(tape, bar, length)
    without = "it was decided on daily bars" if recent is None else ""
    if bar <= WINDOW:
        return InstrumentFacts(currency="USD", recent_volume=recent, without_recent_volume=without)
    window, before = slice(bar - WINDOW, bar), slice(bar - WINDOW - 1, bar - 1)
    closes = tape.close[before]
    ranges = np.maximum(tape.high[window], closes) - np.minimum(tape.low[window], closes)
    return InstrumentFacts(
        currency="USD", average_volume=_exact(tape.volume[window].mean()), average_true_range=_exact(ranges.mean()),
        recent_volume=recent, without_recent_volume=without,
    )  # fmt: skip


def _recent_volume(tape: Tape, bar: int, length: np.timedelta64) -> Decimal | None:
    """Of the half hour that the bar before `bar` ended; of a longer bar its part of that; None for daily bars."""
    if length >= DAILY:
        return None
    if length > RECENT:
        return _exact(tape.volume[bar - 1] * (RECENT / length))
    first = int(np.searchsorted(tape.times, tape.times[bar - 1] + length - RECENT))
    return _exact(tape.volume[first:bar].sum())


def _at_moments(tape: Tape, ranks: npt.NDArray[np.int64], moments: int) -> Floats:
    """The tape's last close at each moment; zero before its first."""
    newest = np.searchsorted(ranks, np.arange(moments), side="right") - 1
    closes: Floats = np.where(newest >= 0, tape.close[newest], 0.0)
    return closes


def _days(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    import pandas as pd

    local = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert("America/New_York").tz_localize(None)
    days: npt.NDArray[np.datetime64] = local.to_numpy().astype("datetime64[D]")
    return days


def _lost(of: float, left: float) -> Decimal:
    return _exact(max(0.0, (of - left) / of)) if of > 0 else Decimal("NaN")


def _exact(value: float | np.floating) -> Decimal:
    return Decimal(repr(float(value)))
