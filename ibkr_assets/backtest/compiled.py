"""Backtests as machine code: the kernel compiled, columns and terms in, results and figures out.

What goes here: compiling, and the way between values and columns. What does not: what happens to an account
(`backtest.kernel`), the figures' arithmetic (`backtest.figures`), and when a run is traded here (`backtest.study`).
Compiling takes seconds, once a machine and version: numba keeps the code beside this file or, where that cannot be
written, in the user's cache. It keeps it by the content of one file; a digest of all that is compiled is part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from inspect import isfunction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ibkr_assets.backtest.account import TRADE, Books, Columns, Numbers
from ibkr_assets.backtest.formulas import IBKR_TIERED, VOLUME_SHARE
from ibkr_assets.backtest.lines import Clock, clock_of
from ibkr_assets.backtest.result import NotOpened, OpenPosition, Records, Result, Trades, records_of, why_not

if TYPE_CHECKING:
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.features.frame import Floats
    from ibkr_assets.strategies.strategy import Bracket, Directions

#: All that is compiled, in the order of who calls whom.
_SOURCES = ("formulas", "account", "kernel", "figures", "lanes")
_FIGURES, _SHAPE = 17, 3


class Machine(NamedTuple):
    """What is compiled to be called from here."""

    trade_lanes: Callable[..., Books]
    judge: Callable[..., None]


class Batch(NamedTuple):
    """Of many accounts: figures and shapes (a row each), and the closed trades of each (dtype TRADE)."""

    figures: Floats
    shapes: Floats
    trades: list[Records]


@cache
def machine() -> Machine:
    """The compiled functions of this process; they are loaded or compiled when they are first called."""
    from numba import njit
    from numba.extending import register_jitable

    digest, modules = hashlib.sha256(), []
    for name in _SOURCES:
        digest.update(files("ibkr_assets.backtest").joinpath(f"{name}.py").read_bytes())
        modules.append(import_module(f"ibkr_assets.backtest.{name}"))
    for module in modules:
        for function in vars(module).values():
            if isfunction(function) and function.__module__ == module.__name__:
                # The loop over events is a sixth faster where it stands in the loop over accounts.
                register_jitable(error_model="numpy", forceinline=function.__name__ == "trade")(function)
    return Machine(*(njit(cache=True, error_model="numpy")(one) for one in _entries(digest.hexdigest(), modules[-1])))


def _entries(digest: str, lanes: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The functions that are called from here. What they close over is part of the name that their code is kept by."""
    run, judged = lanes.trade_lanes, lanes.judge

    def trade_lanes(columns, wanted, terms, brackets, ends, figures, shapes, found, counts):  # type: ignore[no-untyped-def]
        assert digest
        return run(columns, wanted, terms, brackets, ends, figures, shapes, found, counts)

    def judge(times, equity, exposed, pnl, sums, figures, shape):  # type: ignore[no-untyped-def]
        assert digest
        judged(times, equity, exposed, pnl, sums, figures, shape)

    return trade_lanes, judge


def numbers_of(terms: Terms) -> Numbers | None:
    """The terms as numbers. None where rules or a size ask Python at each opening."""
    if terms.oversight is not None or terms.size.number is None:
        return None
    size, commission, slippage = terms.size.number, terms.commission.number, terms.slippage.number
    return Numbers(float(terms.cash), *size, *commission, *slippage, bool(terms.may_borrow))


def trade_one(
    tapes: Sequence[Tape], wanted: Sequence[Directions], terms: Terms, bracket: Bracket | None
) -> Result | None:
    """As `backtest.engine.run`. None for what must be traded there."""
    numbers = numbers_of(terms)
    if numbers is None:
        return None
    clock = clock_of(tapes)
    lane = wanted[0] if len(wanted) == 1 else np.concatenate(wanted)
    books, _ = _trade(tapes, clock, lane[None, :], numbers, [bracket])
    account = books.account[0]
    symbols, count = [tape.symbol for tape in tapes], account["trades"]
    return Result(
        starting_cash=terms.cash,
        trades=Trades(books.trades[:count], books.places[:count], symbols, [tape.times for tape in tapes]),
        open_positions=_left_open(tapes, books),
        not_opened=[
            NotOpened(symbols[place], bar, why_not(why, shares, price, free))
            for place, bar, why, shares, price, free in books.missed[: account["misses"]].tolist()
        ],
        times=clock.times,
        equity=books.equity,
        exposed=books.exposed,
        traded_usd=float(account["traded"]),
    )


def trade_many(tapes: Sequence[Tape], lanes: Directions, terms: Numbers, brackets: Sequence[Bracket | None]) -> Batch:
    """An account for each lane: directions over all tapes, one tape after the other."""
    _, batch = _trade(tapes, clock_of(tapes), lanes, terms, brackets)
    return batch


def judge(result: Result) -> tuple[Floats, Floats]:
    """All figures of a result, and the shape of its daily returns."""
    figures, shape, records = np.empty(_FIGURES), np.empty(_SHAPE), records_of(result.trades)
    commission = records["commission"].sum() + sum(one.commission for one in result.open_positions)
    sums = np.array([result.starting_cash, result.traded_usd, commission, len(result.not_opened)], dtype=np.float64)
    columns = (result.times.view(np.int64), result.equity, result.exposed)
    pnl = np.ascontiguousarray(records["pnl_net"])
    machine().judge(*map(_frozen, (*columns, pnl, sums)), figures, shape)
    return figures, shape


def prepare() -> None:
    """Compile everything and keep it, or find it kept: what an installation does, so that no first backtest waits."""
    days = np.arange(3) * np.timedelta64(1, "D") + np.datetime64("2020-01-01", "ns")
    prices = [_frozen(np.ones(3)) for _ in range(5)]
    nothing, one = _frozen(np.empty(0, np.int64)), _frozen(np.array([0, 3]))
    columns, times = Columns(one, nothing, nothing, *prices), _frozen(days.view(np.int64))
    terms = Numbers(1.0, 0, 1.0, 0, 0.0, 0, 0.0, may_borrow=False)
    lanes = _frozen(np.zeros((1, 3), np.int8))
    figures, shapes = np.empty((1, _FIGURES)), np.empty((1, _SHAPE))
    found, counts, brackets = np.empty(1, TRADE), np.empty(1, np.int64), np.full((1, 2), np.nan)
    machine().trade_lanes(columns, lanes, terms, brackets, times, figures, shapes, found, counts)
    held, sums = _frozen(np.zeros(3, np.bool_)), _frozen(np.ones(4))
    machine().judge(times, prices[0], held, _frozen(np.empty(0)), sums, figures[0], shapes[0])


def _trade(
    tapes: Sequence[Tape], clock: Clock, lanes: Directions, terms: Numbers, brackets: Sequence[Bracket | None]
) -> tuple[Books, Batch]:
    count, turns = len(lanes), int(np.count_nonzero(lanes[:, 1:] != lanes[:, :-1])) + len(lanes) * len(tapes)
    stops = np.array([(b.stop_fraction, b.target_fraction) if b else (np.nan, np.nan) for b in brackets])
    figures, shapes = np.empty((count, _FIGURES)), np.empty((count, _SHAPE))
    found, counts = np.empty(turns, TRADE), np.empty(count, np.int64)
    columns = _columns(tapes, clock, terms, has_brackets=any(brackets))
    books = machine().trade_lanes(
        columns, _frozen(lanes), terms, stops, _frozen(clock.times.view(np.int64)), figures, shapes, found, counts
    )
    ends = np.cumsum(counts).tolist()
    trades = [found[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    return books, Batch(figures, shapes, trades)


def _columns(tapes: Sequence[Tape], clock: Clock, terms: Numbers, *, has_brackets: bool) -> Columns:
    """All bars in one column each; what nothing reads is left out where that saves a copy."""
    starts = np.cumsum([0, *(len(tape) for tape in tapes)])
    is_aligned = all(len(tape) == clock.times.size for tape in tapes)
    nothing: Any = np.empty(0, dtype=np.int64)
    ranks = nothing if is_aligned else np.concatenate(clock.ranks)
    months = nothing
    if terms.fee_by == IBKR_TIERED:
        months = np.concatenate([tape.times.astype("datetime64[M]").astype(np.int64) for tape in tapes])
    unread = set() if has_brackets else {"high", "low"}
    unread |= set() if terms.slip_by == VOLUME_SHARE else {"volume"}
    prices = [
        np.empty(0) if name in unread else _joined([getattr(tape, name) for tape in tapes])
        for name in ("open", "high", "low", "close", "volume")
    ]
    return Columns(*map(_frozen, (starts, ranks, months, *prices)))


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)


def _frozen(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A view that may not be written: columns of frames may not, and code is compiled for one or the other."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def _left_open(tapes: Sequence[Tape], books: Books) -> list[OpenPosition]:
    found = []
    for place in np.flatnonzero(books.positions["held"]).tolist():
        tape, position = tapes[place], books.positions[place]
        held, bar = float(position["held"]), int(position["entry_at"]) - sum(len(one) for one in tapes[:place])
        found.append(
            OpenPosition(
                tape.symbol, 1 if held > 0 else -1, abs(held), bar, tape.times[bar], float(position["entry_price"]),
                float(position["entry_fee"]),
            )
        )  # fmt: skip
    return found
