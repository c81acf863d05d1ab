"""Many accounts over the same bars, each trading directions of its own: the loop of a sweep, to be compiled as a whole.

What goes here: one account after the other, in the same memory, and its figures. What does not: an account's events
(`backtest.kernel`) and the formulas of figures (`backtest.figures`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ibkr_assets.backtest.account import Books, Columns, Numbers, clear, open_books
from ibkr_assets.backtest.figures import Activity, figures_of, total
from ibkr_assets.backtest.kernel import count_turns, trade

_DAY_NS = 86_400_000_000_000


def trade_lanes(
    columns: Columns, lanes: Any, terms: Numbers, brackets: Any, times: Any, figures: Any, shapes: Any, found: Any,
    counts: Any,
) -> Books:  # fmt: skip
    """Trade lanes x bars of directions, an account each; `brackets` are their stops and targets, `times` nanoseconds.

    Writes the figures and shapes of each, its trades one after the other into `found`, and their number into `counts`.
    Returns the books of the last.
    """
    moments, most = times.size, 0
    for lane in range(len(lanes)):
        most = max(most, count_turns(columns.starts, lanes[lane]))
    ends = ends_of_days(times)
    books = open_books(moments, most, columns.starts.size - 1)
    by_day, returns, pnl, past = np.empty(ends.size), np.empty(ends.size - 1), np.empty(most), 0
    for lane in range(len(lanes)):
        clear(books)
        trade(columns, lanes[lane], terms, brackets[lane, 0], brackets[lane, 1], books)
        account, exposed = books.account[0], 0
        for place in range(account.trades):
            found[past + place] = books.trades[place]
            pnl[place] = books.trades[place].pnl_net
        counts[lane] = account.trades
        past += account.trades
        for moment in range(moments):
            exposed += books.exposed[moment]
        activity = Activity(
            terms.cash, books.equity[-1], total(books.equity) / moments, exposed / moments, account.traded,
            account.fees, float(account.misses),
        )  # fmt: skip
        equity = books.equity if ends.size == moments else take(books.equity, ends, by_day)
        figures_of(equity, returns, pnl[: account.trades], activity, figures[lane], shapes[lane])
    return books


def judge(times: Any, equity: Any, exposed: Any, pnl: Any, sums: Any, figures: Any, shape: Any) -> None:
    """Write figures and shape of a run that is over; `sums` are starting cash, value of fills, commission, misses."""
    ends, held = ends_of_days(times), 0
    for moment in range(exposed.size):
        held += exposed[moment]
    mean = total(equity) / equity.size
    activity = Activity(sums[0], equity[-1], mean, held / equity.size, sums[1], sums[2], sums[3])
    by_day = take(equity, ends, np.empty(ends.size))
    figures_of(by_day, np.empty(ends.size - 1), pnl, activity, figures, shape)


def ends_of_days(times: Any) -> Any:
    """Places of the last moment of each UTC day; `times` are nanoseconds, ascending."""
    count, midnight = 0, times[0] // _DAY_NS * _DAY_NS + _DAY_NS
    for moment in range(times.size):
        if times[moment] >= midnight:
            count += 1
            midnight = times[moment] // _DAY_NS * _DAY_NS + _DAY_NS
    ends, found, midnight = np.empty(count + 1, np.int64), 0, times[0] // _DAY_NS * _DAY_NS + _DAY_NS
    for moment in range(times.size):
        if times[moment] >= midnight:
            ends[found] = moment - 1
            found += 1
            midnight = times[moment] // _DAY_NS * _DAY_NS + _DAY_NS
    ends[count] = times.size - 1
    return ends


def take(equity: Any, ends: Any, by_day: Any) -> Any:
    """The equity at the ends of days."""
    for day in range(ends.size):
        by_day[day] = equity[ends[day]]
    return by_day
