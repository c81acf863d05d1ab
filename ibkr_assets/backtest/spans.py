"""Runs that nothing stands in the way of: fills follow from the directions alone, so they are computed as columns.

A lane is one line of directions over one tape. What goes here: the stretches of one direction in each lane, the size
and the prices of each, and whether each opening can be paid. What does not: brackets and rules, which answer to what
has happened before (`backtest.engine`), and what becomes of lanes: one account (`backtest.straight`) or an account
each (`backtest.batch`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.commissions import BasisPoints, IbkrFixed
from ibkr_assets.backtest.lines import Ints
from ibkr_assets.backtest.sizes import FixedShares, PercentOfCash
from ibkr_assets.features.frame import Floats

if TYPE_CHECKING:
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.strategies.strategy import Directions

#: Cash that ends a hair below what an opening is worth, by rounding alone, still pays it.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Spans:
    """Stretches of one direction, lane by lane in order of time; each lane begins with one that is flat, at bar 0.

    Columns of one length: `lane`, first bar, and direction (-1, 0, 1); `has_end` says that another follows in its lane.
    """

    lane: Ints
    bar: Ints
    want: Floats
    has_end: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of each span: its shares, the prices that it opens and closes at and their commissions.

    Where a span is flat or does not end, they are zero.
    """

    shares: Floats
    opened: Floats
    entry_price: Floats
    exit_price: Floats
    entry_fee: Floats
    exit_fee: Floats

    def paid_in(self, want: Floats) -> Floats:
        """The change of cash by each opening."""
        return -want * self.shares * self.entry_price - self.entry_fee

    def paid_out(self, want: Floats) -> Floats:
        """The change of cash by each closing."""
        return want * self.shares * self.exit_price - self.exit_fee


def spans_of(directions: Directions) -> Spans:
    """The stretches of lanes x bars of directions wanted after each bar: each begins one bar after its change."""
    lanes, bars = directions.shape
    begins = np.empty((lanes, bars), dtype=np.bool_)
    begins[:, 0] = True
    if bars > 1:
        begins[:, 1] = directions[:, 0] != 0
        np.not_equal(directions[:, 1:-1], directions[:, :-2], out=begins[:, 2:])
    flat = np.flatnonzero(begins)
    lane, bar = np.divmod(flat, bars)
    want = np.where(bar > 0, directions.reshape(-1)[flat - 1], 0).astype(np.float64)
    return Spans(lane, bar, want, _followed(lane))


def join(parts: Sequence[Spans]) -> Spans:
    """Lanes of different lengths, one after the other."""
    lane = np.repeat(np.arange(len(parts)), [part.bar.size for part in parts])
    bar, want = (np.concatenate([getattr(part, name) for part in parts]) for name in ("bar", "want"))
    return Spans(lane, bar, want, _followed(lane))


def price(spans: Spans, tapes: Sequence[Tape], terms: Terms) -> Costs | None:
    """Shares and prices of every span; one tape is that of all lanes. Lanes of a size in percent have accounts apart.

    None where the size or the commission of one order depends on more than its lane.
    """
    if not isinstance(terms.commission, BasisPoints | IbkrFixed):
        return None
    opens, volumes, at = _at_opens(spans, tapes)
    ends = np.append(at[1:], [0])
    if isinstance(terms.size, FixedShares):
        shares = np.where(spans.want != 0, float(terms.size.count), 0.0)
    elif isinstance(terms.size, PercentOfCash):
        shares = _percents(spans, opens, volumes, at, ends, terms)
    else:
        return None
    slip = terms.slippage.fill_prices
    is_open, is_closed = spans.want != 0, (spans.want != 0) & spans.has_end
    entry = np.where(is_open, slip(opens[at], spans.want, shares, volumes[at]), 0.0)
    leave = np.where(is_closed, slip(opens[ends], -spans.want, shares, volumes[ends]), 0.0)
    charges = terms.commission.charges
    return Costs(shares, opens[at], entry, leave, charges(is_open * shares, entry), charges(is_closed * shares, leave))


def _at_opens(spans: Spans, tapes: Sequence[Tape]) -> tuple[Floats, Floats, Ints]:
    """Opens and volumes of all tapes in one column each, and where each span begins in them."""
    if len(tapes) == 1:
        return tapes[0].open, tapes[0].volume, spans.bar
    starts = np.cumsum([0, *(len(tape) for tape in tapes[:-1])])
    opens, volumes = (np.concatenate([getattr(tape, name) for tape in tapes]) for name in ("open", "volume"))
    return opens, volumes, starts[spans.lane] + spans.bar


def _percents(spans: Spans, opens: Floats, volumes: Floats, at: Ints, ends: Ints, terms: Terms) -> Floats:
    """Shares of each span where each lane has the cash that its spans before have left."""
    assert isinstance(terms.size, PercentOfCash)
    charge, slip, of_cash = terms.commission.begin(), terms.slippage.fill_price, terms.size.of_cash
    shares, cash = [], terms.cash
    columns = (spans.bar, spans.want, spans.has_end, opens[at], volumes[at], opens[ends], volumes[ends])
    for bar, want, is_ended, opened, volume, ended, last_volume in zip(*(c.tolist() for c in columns), strict=True):
        if bar == 0:
            cash = terms.cash
        size = of_cash(cash, opened) if want else 0.0
        shares.append(size)
        if size and is_ended:
            entry, leave = slip(opened, want, size, volume), slip(ended, -want, size, last_volume)
            cash -= want * size * entry + charge(size, entry, 0)
            cash += want * size * leave - charge(size, leave, 0)
    return np.array(shares)


def _followed(lane: Ints) -> npt.NDArray[np.bool_]:
    return np.append(lane[1:] == lane[:-1], [False])
