"""Many accounts over one tape at once, each trading directions of its own: a chunk of a sweep.

What goes here: trades and equity lines of all of them as matrices. What does not: the lanes (`backtest.spans`) and the
figures (`backtest.figures`). A lane whose openings might not all be made is left to `backtest.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ibkr_assets.backtest.figures import Accounts
from ibkr_assets.backtest.lines import Ints, sum_by
from ibkr_assets.backtest.metrics import last_of_days
from ibkr_assets.backtest.spans import ROUNDING, Costs, Spans, price, spans_of
from ibkr_assets.features.frame import Floats

if TYPE_CHECKING:
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.result import Trade
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.strategies.strategy import Directions

#: A closed trade: what `backtest.result.Trade` says without the symbol and the times that the bars stand for.
TRADE = np.dtype(
    [
        ("direction", "i1"), ("size", "f8"), ("entry_bar", "i8"), ("exit_bar", "i8"), ("entry_price", "f8"),
        ("exit_price", "f8"), ("commission", "f8"), ("pnl_net", "f8"),
    ]
)  # fmt: skip
Trades = npt.NDArray[np.void]


class Batch(NamedTuple):
    """The accounts, the closed trades of each (dtype TRADE, in order of time), and which lanes count for nothing."""

    accounts: Accounts
    trades: list[Trades]
    is_left: npt.NDArray[np.bool_]


def trade_batch(tape: Tape, directions: Directions, terms: Terms) -> Batch | None:
    """Trade lanes x bars of directions, an account each. None where orders depend on more than their lane."""
    if terms.oversight is not None:
        return None
    spans = spans_of(directions)
    costs = price(spans, [tape], terms)
    if costs is None:
        return None
    lanes, bars = directions.shape
    cash_in, cash_out = costs.paid_in(spans.want), _before(costs.paid_out(spans.want))
    changed = _sums_by_lane(spans.lane, cash_out + cash_in, lanes)
    cash = terms.cash + changed
    value, free = costs.shares * costs.opened, cash - cash_in
    is_missed = (spans.want != 0) & (costs.shares <= 0)
    if not terms.may_borrow:
        is_missed |= value > free + ROUNDING * np.abs(free)
    lengths = np.append(
        np.diff(spans.lane * bars + spans.bar), [lanes * bars - int(spans.lane[-1]) * bars - int(spans.bar[-1])]
    )
    held = spans.want * costs.shares
    equity = np.repeat(held, lengths).reshape(lanes, bars)
    equity *= tape.close
    equity += np.repeat(cash, lengths).reshape(lanes, bars)
    closed = np.flatnonzero((spans.want != 0) & spans.has_end)
    fees, traded = costs.entry_fee + costs.exit_fee, costs.shares * (costs.entry_price + costs.exit_price)
    records = _records(spans, costs, closed, fees)
    is_last = last_of_days(tape.times.astype("datetime64[D]"))
    edges = np.searchsorted(spans.lane[closed], np.arange(1, lanes))
    return Batch(
        Accounts(
            starting_cash=terms.cash,
            equity=equity if is_last.all() else equity[:, is_last],
            final_equity=equity[:, -1],
            mean_equity=equity.mean(axis=1),
            exposure=sum_by(spans.lane, lengths * (spans.want != 0), lanes) / bars,
            traded_usd=sum_by(spans.lane, traded, lanes),
            commission=sum_by(spans.lane, fees, lanes),
            not_opened=np.zeros(lanes),
            trade_account=spans.lane[closed],
            pnl_net=np.ascontiguousarray(records["pnl_net"]),
        ),
        np.split(records, edges),
        sum_by(spans.lane, is_missed, lanes) > 0,
    )


def record_trades(trades: Sequence[Trade]) -> Trades:
    """Trades of a result in the form of a batch's."""
    return np.array([(t.direction, t.size, t.entry_bar, t.exit_bar, *t[7:]) for t in trades], dtype=TRADE)


def _records(spans: Spans, costs: Costs, closed: Ints, fees: Floats) -> Trades:
    records = np.empty(closed.size, dtype=TRADE)
    want, shares, fee = spans.want[closed], costs.shares[closed], fees[closed]
    entry, leave = costs.entry_price[closed], costs.exit_price[closed]
    columns = want, shares, spans.bar[closed], spans.bar[closed + 1], entry, leave, fee
    for name, values in zip(TRADE.names or (), columns, strict=False):
        records[name] = values
    records["pnl_net"] = want * shares * (leave - entry) - fee
    return records


def _before(values: Floats) -> Floats:
    """What the span before has; the last of a lane has nothing to pass on, since it does not end."""
    return np.concatenate(([0.0], values[:-1]))


def _sums_by_lane(lane: Ints, values: Floats, lanes: int) -> Floats:
    """Running sums within each lane, added in the same order whatever the other lanes are."""
    counts = np.bincount(lane, minlength=lanes)
    place = np.arange(lane.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.zeros((lanes, int(counts.max())))
    table[lane, place] = values
    sums: Floats = np.cumsum(table, axis=1)[lane, place]
    return sums
