"""The books of one account as columns that compiled code writes: cash, what is held, trades, and the equity line.

What goes here: the layout, and what one opening or closing does to it. What does not: which openings and closings
there are (`backtest.kernel`), and the values made of the columns (`backtest.compiled`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ibkr_assets.backtest.formulas import VOLUME_SHARE, fee_of, fill_price

#: Why an opening was not made.
ZERO_SIZE, UNPAID = 1, 2
#: A closed trade: what `backtest.result.Trade` says without the symbol and the times that the bars stand for.
TRADE = np.dtype(
    [
        ("direction", "i1"), ("size", "f8"), ("entry_bar", "i8"), ("exit_bar", "i8"), ("entry_price", "f8"),
        ("exit_price", "f8"), ("commission", "f8"), ("pnl_net", "f8"),
    ]
)  # fmt: skip
#: An opening that was not made: which instrument and bar, why, and what it was compared with.
MISSED = np.dtype([("place", "i8"), ("bar", "i8"), ("why", "i8"), ("shares", "f8"), ("price", "f8"), ("free", "f8")])


class Numbers(NamedTuple):
    """Terms of a run as numbers. A bracket of NaN is none."""

    cash: float
    size_by: int
    size: float
    fee_by: int
    fee_rate: float
    slip_by: int
    slip: float
    may_borrow: bool


class Columns(NamedTuple):
    """Bars of all instruments: where each begins, the moment and the month of each bar, prices and volumes.

    `ranks` is empty where all have the same moments; months, highs, lows and volumes are where no term reads them.
    """

    starts: Any
    ranks: Any
    months: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any


#: What is held of an instrument: signed shares (0 is none), and where, at what price and for what fee they were bought.
#: `retry_at` is the bar at whose open an opening is due, `hit_at` the one in which the bracket is touched; -1 is none.
POSITION = np.dtype(
    [
        ("held", "f8"), ("entry_at", "i8"), ("entry_price", "f8"), ("entry_fee", "f8"), ("retry_at", "i8"),
        ("hit_at", "i8"),
    ]
)  # fmt: skip
#: Money in USD; how many trades, missed openings and short positions there are; shares of the month of the last fill.
ACCOUNT = np.dtype(
    [
        ("cash", "f8"), ("traded", "f8"), ("fees", "f8"), ("month_shares", "f8"), ("month", "i8"), ("shorts", "i8"),
        ("trades", "i8"), ("misses", "i8"),
    ]
)  # fmt: skip


class Books(NamedTuple):
    """What a run writes: by moment, by trade with the `places` of their instruments, by missed opening.

    `positions` are by instrument, `account` is one. Records, because compiled code counts who refers to an array.
    """

    equity: Any
    exposed: Any
    trades: Any
    places: Any
    missed: Any
    positions: Any
    account: Any


def open_books(moments: int, turns: int, places: int) -> Books:
    """Room for as many trades as there are changes of direction, to be cleared before a run."""
    return Books(
        np.empty(moments), np.empty(moments, np.bool_), np.empty(turns, TRADE), np.empty(turns, np.int64),
        np.empty(turns, MISSED), np.empty(places, POSITION), np.empty(1, ACCOUNT),
    )  # fmt: skip


def clear(books: Books) -> None:
    """Nothing held, nothing traded yet; the equity is written as the run goes on."""
    books.exposed[:] = False
    for place in range(books.positions.size):
        position = books.positions[place]
        position.held, position.retry_at, position.hit_at = 0.0, -1, -1
    account = books.account[0]
    account.traded, account.fees, account.month_shares = 0.0, 0.0, 0.0
    account.month, account.shorts, account.trades, account.misses = 0, 0, 0, 0


def rank_of(columns: Columns, place: int, at: int) -> int:
    """Which moment a bar is of."""
    rank: int = columns.ranks[at] if columns.ranks.size else at - columns.starts[place]
    return rank


def filled_at(columns: Columns, terms: Numbers, at: int, price: float, side: float, shares: float) -> float:
    """The price of a market order in a bar."""
    volume = columns.volume[at] if terms.slip_by == VOLUME_SHARE else 0.0
    return fill_price(terms.slip_by, terms.slip, price, side, shares, volume)


def book_fill(columns: Columns, terms: Numbers, account: Any, at: int, change: float, price: float) -> float:
    """A fill of signed shares: cash, sums and shares of the month. Returns its commission."""
    shares = abs(change)
    if columns.months.size and columns.months[at] != account.month:
        account.month, account.month_shares = columns.months[at], 0.0
    fee = fee_of(terms.fee_by, terms.fee_rate, shares, price, account.month_shares)
    account.month_shares += shares
    account.cash += -change * price - fee
    account.traded += shares * price
    account.fees += fee
    return fee


def book_opening(
    columns: Columns, terms: Numbers, account: Any, position: Any, at: int, want: float, shares: float
) -> None:
    """A position from the open of a bar on."""
    price = filled_at(columns, terms, at, columns.open[at], want, shares)
    position.entry_fee = book_fill(columns, terms, account, at, want * shares, price)
    position.held, position.entry_at, position.entry_price = want * shares, at, price
    account.shorts += want < 0


def book_closing(columns: Columns, terms: Numbers, books: Books, place: int, at: int, price: float) -> None:
    """The trade that ends a position in a bar, and its part of the equity line."""
    account, position, first = books.account[0], books.positions[place], columns.starts[place]
    held = position.held
    fees = position.entry_fee + book_fill(columns, terms, account, at, -held, price)
    add_holding(columns, books, place, at)
    trade = books.trades[account.trades]
    trade.direction, trade.size = (1 if held > 0 else -1), abs(held)
    trade.entry_bar, trade.exit_bar = position.entry_at - first, at - first
    trade.entry_price, trade.exit_price = position.entry_price, price
    trade.commission, trade.pnl_net = fees, held * (price - position.entry_price) - fees
    books.places[account.trades] = place
    account.trades += 1
    account.shorts -= held < 0
    position.held = 0.0


def book_miss(columns: Columns, books: Books, place: int, at: int, why: int, shares: float, free: float) -> None:
    """An opening that was wanted and not made."""
    missed = books.missed[books.account[0].misses]
    missed.place, missed.bar, missed.why = place, at - columns.starts[place], why
    missed.shares, missed.price, missed.free = shares, columns.open[at], free
    books.account[0].misses += 1


def newest_before(columns: Columns, place: int, rank: int) -> int:
    """The last bar of an instrument before a moment, where it has one."""
    low: int = columns.starts[place]
    high: int = columns.starts[place + 1]
    if not columns.ranks.size:
        return low + rank - 1
    while low < high:
        middle = (low + high) // 2
        if columns.ranks[middle] < rank:
            low = middle + 1
        else:
            high = middle
    return low - 1


def worth_of_shorts(columns: Columns, books: Books, rank: int) -> float:
    """What it costs to buy back all that is sold short, at the last closes before a moment."""
    worth = 0.0
    for place in range(books.positions.size):
        held = books.positions[place].held
        if held < 0:
            worth -= held * columns.close[newest_before(columns, place, rank)]
    return worth


def write_cash(books: Books, first: int, end: int, cash: float) -> None:
    """Begin the equity of the moments from `first` to before `end`: what is held is added to it once it is known."""
    part = books.equity[first:end]
    for moment in range(part.size):
        part[moment] = cash


def add_holding(columns: Columns, books: Books, place: int, end: int) -> None:
    """Add what is held of an instrument to the equity, from its entry to before the moment of bar `end`."""
    held, first = books.positions[place].held, books.positions[place].entry_at
    if not columns.ranks.size:
        begin = first - columns.starts[place]
        closes, equity = columns.close[first:end], books.equity[begin : begin + end - first]
        exposed = books.exposed[begin : begin + end - first]
        for bar in range(closes.size):
            equity[bar] += held * closes[bar]
        for bar in range(closes.size):
            exposed[bar] = True
        return
    past = columns.starts[place + 1]
    until = columns.ranks[end] if end < past else books.equity.size
    for moment in range(columns.ranks[first], until):
        while first + 1 < past and columns.ranks[first + 1] <= moment:
            first += 1
        books.equity[moment] += held * columns.close[first]
        books.exposed[moment] = True
