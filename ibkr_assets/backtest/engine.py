"""From directions to fills: the loop over everything that happens, in the order in which it happens.

The convention: decided after the close of bar t, filled at the open of t + 1, so a decision on the last bar never
fills; a reversal closes, then opens, as two orders at the same open; a stop before a target inside one bar, and through
a gap at the open; equity at t is cash + position x close after the fills of t; what is open at the end stays open.

What goes here: that order of events and the cash. What does not: directions (`strategies`), sizes, commissions,
slippage. Bars without an event cost nothing here: the equity line is computed over whole columns afterwards. Money is
in floats: a run adds up to 1e-9 of its cash at most, which a reference in exact arithmetic proves in the tests.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.account import UNPAID, ZERO_SIZE
from ibkr_assets.backtest.formulas import fill_price, is_at_or_above, is_at_or_below, is_unpaid, levels_of
from ibkr_assets.backtest.lines import Fills, clock_of, draw_lines
from ibkr_assets.backtest.result import NotOpened, OpenPosition, Result, Trade, why_not
from ibkr_assets.backtest.sizes import Opening, Size

if TYPE_CHECKING:
    from ibkr_assets.backtest.commissions import Commission
    from ibkr_assets.backtest.oversight import DeniedOrder, Oversight
    from ibkr_assets.backtest.slippage import Slippage
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.strategies.strategy import Bracket, Directions

_CLOSE, _OPEN, _INSIDE = 0, 1, 2  #: what happens at one moment happens in this order
#: Place among all moments, what happens, which tape, which of its bars.
_Event = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run starts from. Without `may_borrow` an opening worth more than the cash there is, is not made.

    `oversight` keeps openings from being made that the rules of live orders deny.
    """

    cash: float
    size: Size
    commission: Commission
    slippage: Slippage
    may_borrow: bool = False
    oversight: Oversight | None = None


def run(tapes: Sequence[Tape], wanted: Sequence[Directions], terms: Terms, *, bracket: Bracket | None = None) -> Result:
    """Trade each tape in the directions wanted after its bars, on one account."""
    return _Run(tapes, wanted, terms, bracket).result()


class _Run:
    """One run's books. `held` are signed shares by tape; `entries` the openings of what is held."""

    def __init__(
        self, tapes: Sequence[Tape], wanted: Sequence[Directions], terms: Terms, bracket: Bracket | None
    ) -> None:
        self.tapes, self.wanted, self.terms, self.bracket = tapes, wanted, terms, bracket
        self.clock = clock_of(tapes)
        self.times, self.ranks = self.clock
        self.months = [_months(tape) if terms.commission.counts_months else None for tape in tapes]
        self.changes = [_fill_bars(directions) for directions in wanted]
        self.charge = terms.commission.begin()
        self.cash = terms.cash
        self.nav, self.nav_rank = terms.cash, -1
        self.held = [0.0] * len(tapes)
        self.shorts: set[int] = set()
        self.entries: list[OpenPosition | None] = [None] * len(tapes)
        self.trades: list[Trade] = []
        self.not_opened: list[NotOpened] = []
        self.fills: list[tuple[int, int, int, float, float]] = []  # rank, tape, bar, signed shares, cash change
        self.traded_usd = 0.0
        self.denied: list[DeniedOrder] = []
        self.overseer = (
            None if terms.oversight is None else terms.oversight.begin(tapes, self.times, self.ranks, self.cash)
        )
        self.queue: list[_Event] = []  # what follows from fills

    def result(self) -> Result:
        """Work through the queue, then draw the lines."""
        for rank, what, place, bar in self._events():
            if self.terms.size.needs_nav and rank != self.nav_rank:
                self.nav, self.nav_rank = self._nav_before(rank), rank
            if what == _CLOSE:
                self._turn(rank, place, bar)
            elif what == _OPEN:
                self._open(rank, place, bar)
            else:
                self._leave_inside(rank, place, bar)
        columns = list(zip(*self.fills, strict=True)) or [()] * 5
        ranks, places, bars = (np.array(column, dtype=np.int64) for column in columns[:3])
        changes, paid = (np.array(column, dtype=np.float64) for column in columns[3:])
        fills = Fills(ranks, places, bars, changes, paid)
        equity, exposed = draw_lines(self.tapes, self.clock, self.terms.cash, fills)
        return Result(
            starting_cash=self.terms.cash,
            trades=self.trades,
            open_positions=[entry for entry in self.entries if entry is not None],
            not_opened=self.not_opened,
            times=self.times,
            equity=equity,
            exposed=exposed,
            traded_usd=self.traded_usd,
            denied=None if self.overseer is None else self.denied,
        )

    def _events(self) -> Iterator[_Event]:
        """Changes of direction, known from the start, and what follows from fills, in order of time."""
        turns = sorted(
            (rank, _CLOSE, place, bar)
            for place, bars in enumerate(self.changes)
            for bar, rank in zip(bars.tolist(), self.ranks[place][bars].tolist(), strict=True)
        )
        for turn in turns:
            while self.queue and self.queue[0] < turn:
                yield heapq.heappop(self.queue)
            yield turn
        while self.queue:
            yield heapq.heappop(self.queue)

    def _turn(self, rank: int, place: int, bar: int) -> None:
        """At an open after a change of direction: leave what is held, and ask for what is wanted."""
        tape, want = self.tapes[place], int(self.wanted[place][bar - 1])
        if self.held[place]:
            side, shares = (-1, self.held[place]) if self.held[place] > 0 else (1, -self.held[place])
            opened, volume = float(tape.open[bar]), float(tape.volume[bar])
            price = fill_price(*self.terms.slippage.number, opened, side, shares, volume)
            self._close(rank, place, bar, price)
        if not want:
            return
        if len(self.tapes) == 1:
            self._open(rank, place, bar)
        else:  # after the closings of the others at the same open
            heapq.heappush(self.queue, (rank, _OPEN, place, bar))

    def _open(self, rank: int, place: int, bar: int) -> None:
        tape, want = self.tapes[place], int(self.wanted[place][bar - 1])
        opening = Opening(tape, bar, want, float(tape.open[bar]), self.cash, self.nav)
        shares = self.terms.size.shares(opening)
        reason = self._why_not(opening, shares, rank) or self._why_denied(opening, shares, rank, place)
        if reason is not None:
            self._put_off(place, bar, want, reason)
            return
        price = fill_price(*self.terms.slippage.number, opening.price, want, shares, float(tape.volume[bar]))
        fee = self._fill(rank, place, bar, want * shares, price)
        self.entries[place] = OpenPosition(tape.symbol, want, shares, bar, tape.times[bar], price, fee)
        if self.bracket is not None:
            self._set_bracket(place, bar, want, self.bracket)

    def _why_not(self, opening: Opening, shares: float, rank: int) -> str | None:
        if shares <= 0:
            return why_not(ZERO_SIZE, shares, opening.price, self.cash)
        if not self.terms.may_borrow:
            free = self.cash
            if self.shorts:
                free -= 2 * sum(-self.held[place] * self._last_close(place, rank) for place in self.shorts)
            if is_unpaid(shares * opening.price, free):
                return why_not(UNPAID, shares, opening.price, free)
        return None

    def _why_denied(self, opening: Opening, shares: float, rank: int, place: int) -> str | None:
        denied = None if self.overseer is None else self.overseer.deny(opening, shares, rank, place)
        if denied is None:
            return None
        self.denied.append(denied)
        return f"{denied.code}: {denied.text}"

    def _put_off(self, place: int, bar: int, want: int, reason: str) -> None:
        """Try again at the next open for as long as the direction stays."""
        tape = self.tapes[place]
        if self._is_fill_bar(place, bar):
            self.not_opened.append(NotOpened(tape.symbol, bar, reason))
        if bar + 1 < len(tape) and self.wanted[place][bar] == want:
            heapq.heappush(self.queue, (int(self.ranks[place][bar + 1]), _OPEN, place, bar + 1))

    def _set_bracket(self, place: int, bar: int, want: int, bracket: Bracket) -> None:
        """Find the first bar from the entry's own to the next change in which the stop or the target is touched."""
        tape, changes = self.tapes[place], self.changes[place]
        stop, target = self._levels(place, bar, want, bracket)
        following = int(np.searchsorted(changes, bar, side="right"))
        until = int(changes[following]) if following < changes.size else len(tape)
        low, high = tape.low[bar:until], tape.high[bar:until]
        lower, upper = (stop, target) if want > 0 else (target, stop)
        is_touched = is_at_or_below(low, lower) | is_at_or_above(high, upper)
        if is_touched.any():
            at = bar + int(is_touched.argmax())
            heapq.heappush(self.queue, (int(self.ranks[place][at]), _INSIDE, place, at))

    def _levels(self, place: int, bar: int, want: int, bracket: Bracket) -> tuple[float, float]:
        return levels_of(float(self.tapes[place].close[bar - 1]), want, bracket.stop_fraction, bracket.target_fraction)

    def _leave_inside(self, rank: int, place: int, bar: int) -> None:
        tape, entry, bracket = self.tapes[place], self.entries[place], self.bracket
        assert entry is not None
        assert bracket is not None
        want, opened = entry.direction, float(tape.open[bar])
        stop, target = self._levels(place, entry.entry_bar, want, bracket)
        if is_at_or_below(tape.low[bar], stop) if want > 0 else is_at_or_above(tape.high[bar], stop):
            worst = min(opened, stop) if want > 0 else max(opened, stop)
            price = fill_price(*self.terms.slippage.number, worst, -want, entry.size, float(tape.volume[bar]))
        else:
            price = max(opened, target) if want > 0 else min(opened, target)
        self._close(rank, place, bar, price)

    def _close(self, rank: int, place: int, bar: int, price: float) -> None:
        entry, tape = self.entries[place], self.tapes[place]
        assert entry is not None
        fee = self._fill(rank, place, bar, -self.held[place], price)
        gross = entry.direction * entry.size * (price - entry.entry_price)
        self.trades.append(
            Trade(
                tape.symbol, entry.direction, entry.size, entry.entry_bar, bar, entry.entry_time, tape.times[bar],
                entry.entry_price, price, entry.commission + fee, gross - (entry.commission + fee),
            )
        )  # fmt: skip
        self.entries[place] = None

    def _fill(self, rank: int, place: int, bar: int, change: float, price: float) -> float:
        """Book a fill of signed shares. Returns its commission."""
        months, shares = self.months[place], abs(change)
        fee = self.charge(shares, price, 0 if months is None else int(months[bar]))
        paid = -change * price - fee
        self.cash += paid
        self.held[place] += change
        self.traded_usd += shares * price
        if self.held[place] < 0:
            self.shorts.add(place)
        else:
            self.shorts.discard(place)
        self.fills.append((rank, place, bar, change, paid))
        if self.overseer is not None:
            self.overseer.book(rank, place, change, price, paid)
        return fee

    def _is_fill_bar(self, place: int, bar: int) -> bool:
        changes = self.changes[place]
        at = int(np.searchsorted(changes, bar))
        return at < changes.size and int(changes[at]) == bar

    def _nav_before(self, rank: int) -> float:
        return self.cash + sum(shares * self._last_close(place, rank) for place, shares in enumerate(self.held))

    def _last_close(self, place: int, rank: int) -> float:
        """The last close of a tape before a moment; a tape that has not begun is not held."""
        bar = int(np.searchsorted(self.ranks[place], rank)) - 1
        return float(self.tapes[place].close[bar]) if bar >= 0 else 0.0


def _months(tape: Tape) -> npt.NDArray[np.int64]:
    return tape.times.astype("datetime64[M]").astype(np.int64)


def _fill_bars(directions: Directions) -> npt.NDArray[np.int64]:
    """The bars at whose open a change of direction fills: one after each change; after the last bar there is none."""
    before = np.concatenate((np.zeros(1, dtype=directions.dtype), directions[:-1]))
    bars = np.flatnonzero(directions != before) + 1
    return bars[bars < directions.size]
