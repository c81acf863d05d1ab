"""A run on one account that nothing stands in the way of, as columns: ten times faster than event after event.

What goes here: the lanes of all instruments on one account, and the result. What does not: the lanes
(`backtest.spans`). Wherever an opening might not be paid or has a size of zero, there is no result from here, and
`backtest.engine` trades the run; where both can, they agree, which the tests prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.backtest.lines import Clock, Fills, Ints, clock_of, draw_lines
from ibkr_assets.backtest.result import OpenPosition, Result, Trade
from ibkr_assets.backtest.sizes import PercentOfCash
from ibkr_assets.backtest.spans import ROUNDING, Costs, Spans, join, price, spans_of

if TYPE_CHECKING:
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.features.frame import Floats
    from ibkr_assets.strategies.strategy import Directions


def trade_straight(tapes: Sequence[Tape], wanted: Sequence[Directions], terms: Terms) -> Result | None:
    """As `backtest.engine.run` without a bracket. None for what must be traded event after event."""
    if terms.oversight is not None or (len(tapes) > 1 and isinstance(terms.size, PercentOfCash)):
        return None
    spans = _spans(wanted)
    costs = price(spans, tapes, terms)
    if costs is None or ((spans.want != 0) & (costs.shares <= 0)).any():
        return None
    clock = clock_of(tapes)
    fills, openings = _fills(spans, costs, clock)
    if not terms.may_borrow and not _is_paid(spans, costs, tapes, terms.cash, fills, openings):
        return None
    equity, exposed = draw_lines(tapes, clock, terms.cash, fills)
    return Result(
        starting_cash=terms.cash,
        trades=_trades(spans, costs, tapes, clock),
        open_positions=_left_open(spans, costs, tapes),
        not_opened=[],
        times=clock.times,
        equity=equity,
        exposed=exposed,
        traded_usd=float(np.sum(costs.shares * (costs.entry_price + costs.exit_price))),
    )


def _spans(wanted: Sequence[Directions]) -> Spans:
    if len({directions.size for directions in wanted}) == 1:
        return spans_of(np.stack(wanted))
    return join([spans_of(directions[None, :]) for directions in wanted])


def _fills(spans: Spans, costs: Costs, clock: Clock) -> tuple[Fills, Ints]:
    """Closings, then openings, of each moment, by instrument; and which span each opens (-1 closes)."""
    closed, opened = np.flatnonzero((spans.want != 0) & spans.has_end), np.flatnonzero(spans.want)
    want, shares = spans.want, costs.shares
    place = np.concatenate((spans.lane[closed], spans.lane[opened]))
    bar = np.concatenate((spans.bar[closed + 1], spans.bar[opened]))
    change = np.concatenate((-want[closed] * shares[closed], want[opened] * shares[opened]))
    paid = np.concatenate((costs.paid_out(want)[closed], costs.paid_in(want)[opened]))
    opens = np.concatenate((np.full(closed.size, -1), opened))
    starts = np.cumsum([0, *(rank.size for rank in clock.ranks)])
    rank = np.concatenate(clock.ranks)[starts[place] + bar] if len(clock.ranks) > 1 else bar
    order = np.lexsort((place, opens >= 0, rank))
    return Fills(rank[order], place[order], bar[order], change[order], paid[order]), opens[order]


def _is_paid(spans: Spans, costs: Costs, tapes: Sequence[Tape], cash: float, fills: Fills, openings: Ints) -> bool:
    """Whether the cash before each opening, less twice the most that other shorts can be worth, is its value."""
    is_opening = openings >= 0
    before = (cash + np.cumsum(fills.paid) - fills.paid)[is_opening]
    if len(tapes) > 1:
        is_short = spans.want < 0
        highest = np.array([float(tape.close.max()) for tape in tapes])[spans.lane]
        most = np.zeros(len(tapes))
        np.maximum.at(most, spans.lane[is_short], (costs.shares * highest)[is_short])
        before = before - 2 * most.sum()
    opened = openings[is_opening]
    value = costs.shares[opened] * costs.opened[opened]
    return bool((value <= before + ROUNDING * np.abs(before)).all())


def _trades(spans: Spans, costs: Costs, tapes: Sequence[Tape], clock: Clock) -> list[Trade]:
    """Closed positions in the order of their closings."""
    closed = np.flatnonzero((spans.want != 0) & spans.has_end)
    lane, entered, left = spans.lane[closed], spans.bar[closed], spans.bar[closed + 1]
    if len(tapes) > 1:
        starts = np.cumsum([0, *(len(tape) for tape in tapes[:-1])])
        times, ranks = np.concatenate([tape.times for tape in tapes]), np.concatenate(clock.ranks)
        order = np.lexsort((lane, ranks[starts[lane] + left]))
        closed, lane, entered, left = closed[order], lane[order], entered[order], left[order]
        entry_times, exit_times = times[starts[lane] + entered], times[starts[lane] + left]
    else:
        entry_times, exit_times = tapes[0].times[entered], tapes[0].times[left]
    want, shares = spans.want[closed], costs.shares[closed]
    opened, leave = costs.entry_price[closed], costs.exit_price[closed]
    fee = costs.entry_fee[closed] + costs.exit_fee[closed]
    symbols = [tapes[place].symbol for place in lane.tolist()]
    columns: tuple[Floats | Ints, ...] = (shares, entered, left)
    sides, money = want.astype(int), (opened, leave, fee, want * shares * (leave - opened) - fee)
    return list(
        map(
            Trade._make,
            zip(
                symbols, sides.tolist(), *(column.tolist() for column in columns), list(entry_times), list(exit_times),
                *(column.tolist() for column in money), strict=True,
            ),
        )
    )  # fmt: skip


def _left_open(spans: Spans, costs: Costs, tapes: Sequence[Tape]) -> list[OpenPosition]:
    found = []
    for at in np.flatnonzero((spans.want != 0) & ~spans.has_end).tolist():
        tape, bar = tapes[int(spans.lane[at])], int(spans.bar[at])
        found.append(
            OpenPosition(
                tape.symbol, int(spans.want[at]), float(costs.shares[at]), bar, tape.times[bar],
                float(costs.entry_price[at]), float(costs.entry_fee[at]),
            )
        )  # fmt: skip
    return found
