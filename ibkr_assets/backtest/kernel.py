"""What happens to one account, in the order in which it happens, written so that it can be compiled to machine code.

The convention is that of `backtest.engine`, which says it in full and trades the runs whose sizes or rules ask Python
at each opening. What goes here: the order of events over columns of all instruments, one after the other. What does
not: the formulas of orders (`backtest.formulas`), the books (`backtest.account`), and what is made of them
(`backtest.compiled`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ibkr_assets.backtest.account import (
    UNPAID,
    ZERO_SIZE,
    Books,
    Columns,
    Numbers,
    add_holding,
    book_closing,
    book_miss,
    book_opening,
    filled_at,
    rank_of,
    worth_of_shorts,
    write_cash,
)
from ibkr_assets.backtest.formulas import is_at_or_above, is_at_or_below, is_unpaid, levels_of, shares_of

_NEVER = np.iinfo(np.int64).max
#: So many directions are looked at together; few enough to be counted in a byte, which is many times faster.
BLOCK = 128


def trade(columns: Columns, wanted: Any, terms: Numbers, stop: float, target: float, turns: int, books: Books) -> None:
    """Trade every instrument in the directions wanted after its bars, which turn so often (`count_turns`).

    A stop of NaN means that there is no bracket.
    """
    moments, account = books.equity.size, books.account[0]
    at_of, place_of = turns_of(columns, wanted, moments, turns)
    account.cash = terms.cash
    turn, following, marked = 0, _NEVER, 0
    while turn < turns or following != _NEVER:
        rank = following
        if turn < turns:
            rank = min(rank, rank_of(columns, place_of[turn], at_of[turn]))
        write_cash(books, marked, rank, account.cash)
        marked = rank
        while turn < turns and rank_of(columns, place_of[turn], at_of[turn]) == rank:
            place, at = place_of[turn], at_of[turn]
            position = books.positions[place]
            if position.held != 0:
                side = -1.0 if position.held > 0 else 1.0
                price = filled_at(columns, terms, at, columns.open[at], side, abs(position.held))
                book_closing(columns, terms, books, place, at, price)
            if wanted[at - 1] != 0:
                position.retry_at = at
                following = rank
            turn += 1
        if following == rank:
            open_all(columns, wanted, terms, stop, target, books, rank)
            following = leave_all(columns, terms, stop, target, books, rank)
    write_cash(books, marked, moments, account.cash)
    for place in range(books.positions.size):
        if books.positions[place].held != 0:
            add_holding(columns, books, place, columns.starts[place + 1])


def count_turns(starts: Any, wanted: Any) -> int:
    """How often a direction changes so that the change fills: no run has more trades."""
    turns = 0
    for place in range(starts.size - 1):
        first, end = starts[place], starts[place + 1]
        if end - first > 1:
            turns += wanted[first] != 0
            before, after = wanted[first : end - 2], wanted[first + 1 : end - 1]
            for begin in range(0, after.size, BLOCK):
                turns += count_different(before[begin : begin + BLOCK], after[begin : begin + BLOCK])
    return turns


def count_different(before: Any, after: Any) -> int:
    """In how many places two parts of a block's length, at most, are not the same."""
    count = np.uint8(0)
    for place in range(after.size):
        count += np.uint8(before[place] != after[place])
    return int(count)


def turns_of(columns: Columns, wanted: Any, moments: int, turns: int) -> tuple[Any, Any]:
    """Where in the columns each change of direction fills, and of which instrument, by time and then by place."""
    starts = columns.starts
    at_of, place_of = np.empty(turns, np.int64), np.empty(turns, np.int64)
    found, count = 0, starts.size - 1
    for place in range(count):
        first, end = starts[place], starts[place + 1]
        if end - first > 1 and wanted[first] != 0:
            at_of[found], place_of[found] = first + 1, place
            found += 1
        before, after = wanted[first : max(first, end - 2)], wanted[first + 1 : max(first + 1, end - 1)]
        for begin in range(0, after.size, BLOCK):
            one, other = before[begin : begin + BLOCK], after[begin : begin + BLOCK]
            if count_different(one, other) == 0:
                continue
            for at in range(other.size):
                if one[at] != other[at]:
                    at_of[found], place_of[found] = first + begin + at + 2, place
                    found += 1
    if count == 1:
        return at_of, place_of
    begins = np.zeros(moments + 1, np.int64)
    for turn in range(turns):
        begins[rank_of(columns, place_of[turn], at_of[turn]) + 1] += 1
    for moment in range(moments):
        begins[moment + 1] += begins[moment]
    sorted_at, sorted_place = np.empty(turns, np.int64), np.empty(turns, np.int64)
    for turn in range(turns):
        rank = rank_of(columns, place_of[turn], at_of[turn])
        sorted_at[begins[rank]], sorted_place[begins[rank]] = at_of[turn], place_of[turn]
        begins[rank] += 1
    return sorted_at, sorted_place


def open_all(
    columns: Columns, wanted: Any, terms: Numbers, stop: float, target: float, books: Books, rank: int
) -> None:
    """Make the openings of a moment, by instrument. What is not made is tried at the next open while it is wanted."""
    account = books.account[0]
    for place in range(books.positions.size):
        position = books.positions[place]
        at = position.retry_at
        if at < 0 or rank_of(columns, place, at) != rank:
            continue
        position.retry_at = -1
        want, price, free = float(wanted[at - 1]), columns.open[at], account.cash
        shares = shares_of(terms.size_by, terms.size, account.cash, price)
        why = ZERO_SIZE if shares <= 0 else 0
        if not why and not terms.may_borrow:
            if account.shorts:
                free -= 2 * worth_of_shorts(columns, books, rank)
            why = UNPAID if is_unpaid(shares * price, free) else 0
        if not why:
            book_opening(columns, terms, account, position, at, want, shares)
            if not math.isnan(stop):
                position.hit_at = touched_at(columns, wanted, place, at, stop, target)
            continue
        if wanted[at - 1] != (wanted[at - 2] if at - 1 > columns.starts[place] else 0):
            book_miss(columns, books, place, at, why, shares, free)
        if at + 1 < columns.starts[place + 1] and wanted[at] == wanted[at - 1]:
            position.retry_at = at + 1


def leave_all(columns: Columns, terms: Numbers, stop: float, target: float, books: Books, rank: int) -> int:
    """Leave the positions whose brackets are touched within this moment. Returns the moment of what follows next."""
    following = _NEVER
    for place in range(books.positions.size):
        position = books.positions[place]
        at = position.hit_at
        if at >= 0 and rank_of(columns, place, at) == rank:
            position.hit_at = -1
            price = leave_price(columns, terms, position, at, stop, target)
            book_closing(columns, terms, books, place, at, price)
        elif at >= 0:
            following = min(following, rank_of(columns, place, at))
        if position.retry_at >= 0:
            following = min(following, rank_of(columns, place, position.retry_at))
    return following


def touched_at(columns: Columns, wanted: Any, place: int, at: int, stop: float, target: float) -> int:
    """The first bar, from the entry's own to the next change, in which stop or target is touched; -1 is none."""
    want = float(wanted[at - 1])
    stop_at, target_at = levels_of(columns.close[at - 1], want, stop, target)
    lower, upper = (stop_at, target_at) if want > 0 else (target_at, stop_at)
    for bar in range(at, columns.starts[place + 1]):
        if bar > at and wanted[bar - 1] != wanted[bar - 2]:
            return -1
        if is_at_or_below(columns.low[bar], lower) or is_at_or_above(columns.high[bar], upper):
            return bar
    return -1


def leave_price(columns: Columns, terms: Numbers, position: Any, at: int, stop: float, target: float) -> float:
    """The price at which a position leaves in a bar that touches its bracket: the stop first, a gap at the open."""
    held, opened = position.held, columns.open[at]
    want = 1.0 if held > 0 else -1.0
    stop_at, target_at = levels_of(columns.close[position.entry_at - 1], want, stop, target)
    is_stopped = is_at_or_below(columns.low[at], stop_at) if want > 0 else is_at_or_above(columns.high[at], stop_at)
    if not is_stopped:
        limited: float = max(opened, target_at) if want > 0 else min(opened, target_at)
        return limited
    worst = min(opened, stop_at) if want > 0 else max(opened, stop_at)
    return filled_at(columns, terms, at, worst, -want, abs(held))
