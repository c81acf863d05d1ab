"""Many accounts over the same bars, each trading directions of its own: the loop of a sweep, to be compiled as a whole.

What goes here: one account after the other, in the same memory, and its figures. What does not: an account's events
(`backtest.kernel`) and the formulas of figures (`backtest.figures`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ibkr_assets.backtest.account import TRADE, Books, Columns, Numbers, clear, open_books
from ibkr_assets.backtest.figures import Activity, figures_of, total
from ibkr_assets.backtest.kernel import BLOCK, count_turns, trade

_DAY_NS = 86_400_000_000_000


def trade_lanes(
    columns: Columns, lanes: Any, terms: Numbers, brackets: Any, times: Any, figures: Any, shapes: Any, counts: Any
) -> tuple[Books, Any]:
    """Trade lanes x bars of directions, an account each; `brackets` are their stops and targets, `times` nanoseconds.

    Writes the figures and shapes of each, and the number of its trades into `counts`. Returns the books of the last,
    and the trades of all, one account after the other. Without rows of `figures` one account is traded and not judged.
    """
    moments, most, room = times.size, 0, 0
    for lane in range(len(lanes)):
        counts[lane] = count_turns(columns.starts, lanes[lane])
        most = max(most, counts[lane])
        room += counts[lane]
    books = open_books(moments, most, columns.starts.size - 1)
    if not len(figures):
        clear(books)
        trade(columns, lanes[0], terms, brackets[0, 0], brackets[0, 1], counts[0], books)
        counts[0] = books.account[0].trades
        return books, books.trades[: counts[0]]
    ends = ends_of_days(times)
    found, past = np.empty(room, TRADE), 0
    by_day, returns, pnl = np.empty(ends.size), np.empty(ends.size - 1), np.empty(most)
    for lane in range(len(lanes)):
        clear(books)
        trade(columns, lanes[lane], terms, brackets[lane, 0], brackets[lane, 1], counts[lane], books)
        account = books.account[0]
        for place in range(account.trades):
            found[past + place] = books.trades[place]
            pnl[place] = books.trades[place].pnl_net
        counts[lane] = account.trades
        past += account.trades
        activity = Activity(
            terms.cash, books.equity[-1], total(books.equity) / moments, count_true(books.exposed) / moments,
            account.traded, account.fees, float(account.misses),
        )  # fmt: skip
        equity = books.equity if ends.size == moments else take(books.equity, ends, by_day)
        figures_of(equity, returns, pnl[: account.trades], activity, figures[lane], shapes[lane])
    return books, found[:past]


def judge(times: Any, equity: Any, exposed: Any, pnl: Any, sums: Any, figures: Any, shape: Any) -> None:
    """Write figures and shape of a run that is over; `sums` are starting cash, value of fills, commission, misses."""
    ends, mean = ends_of_days(times), total(equity) / equity.size
    held = count_true(exposed) / equity.size
    activity = Activity(sums[0], equity[-1], mean, held, sums[1], sums[2], sums[3])
    by_day = take(equity, ends, np.empty(ends.size))
    figures_of(by_day, np.empty(ends.size - 1), pnl, activity, figures, shape)


def ends_of_days(times: Any) -> Any:
    """Places of the last moment of each UTC day; `times` are nanoseconds, ascending.

    From each day's first moment the next day's is looked for in steps that double, then between the last two.
    """
    most = min(times.size, times[-1] // _DAY_NS - times[0] // _DAY_NS + 1)
    ends, found, first = np.empty(most, np.int64), 0, 0
    while first < times.size:
        midnight, low, step = times[first] // _DAY_NS * _DAY_NS + _DAY_NS, first, 1
        while low + step < times.size and times[low + step] < midnight:
            low += step
            step *= 2
        high = min(low + step, times.size)
        while high - low > 1:
            middle = (low + high) // 2
            if times[middle] < midnight:
                low = middle
            else:
                high = middle
        ends[found] = low
        found, first = found + 1, low + 1
    return ends[:found]


def count_true(flags: Any) -> int:
    """How many are true."""
    count = 0
    for begin in range(0, flags.size, BLOCK):
        part, few = flags[begin : begin + BLOCK], np.uint8(0)
        for place in range(part.size):
            few += np.uint8(part[place])
        count += int(few)
    return count


def take(equity: Any, ends: Any, by_day: Any) -> Any:
    """The equity at the ends of days."""
    for day in range(ends.size):
        by_day[day] = equity[ends[day]]
    return by_day
