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

from ibkr_assets.backtest.account import Books, Columns, Numbers
from ibkr_assets.backtest.formulas import IBKR_TIERED, VOLUME_SHARE
from ibkr_assets.backtest.lines import Clock, clock_of, shared_moments
from ibkr_assets.backtest.result import NotOpened, OpenPosition, Records, Result, Trades, records_of, why_not
from ibkr_assets.features.frame import frozen

if TYPE_CHECKING:
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.tape import Tape
    from ibkr_assets.features.frame import Floats, Ints
    from ibkr_assets.strategies.strategy import Bracket, Directions

#: All that is compiled, in the order of who calls whom.
_SOURCES = ("formulas", "account", "kernel", "figures", "lanes")
_FIGURES, _SHAPE = 17, 4


class Machine(NamedTuple):
    """What is compiled to be called from here."""

    trade_lanes: Callable[..., tuple[Books, Records]]
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
                # Each call would hand over every column, and count who refers to it: half of the time of an event.
                register_jitable(error_model="numpy", forceinline=True)(function)
    return Machine(*(njit(cache=True, error_model="numpy")(one) for one in _entries(digest.hexdigest(), modules[-1])))


def _entries(digest: str, lanes: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The functions that are called from here. What they close over is part of the name that their code is kept by."""
    run, judged = lanes.trade_lanes, lanes.judge

    def trade_lanes(columns, wanted, terms, brackets, times, figures, shapes, counts):  # type: ignore[no-untyped-def]
        assert digest
        return run(columns, wanted, terms, brackets, times, figures, shapes, counts)

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
    clock = _clock_of(tapes)
    lane = wanted[0] if len(wanted) == 1 else np.concatenate(wanted)
    books, trades = _trade(tapes, clock, lane[None, :], numbers, [bracket], _judged(0), np.empty(1, np.int64))
    account, symbols = books.account[0], [tape.symbol for tape in tapes]
    return Result(
        starting_cash=terms.cash,
        trades=Trades(trades, books.places[: len(trades)], symbols, [tape.times for tape in tapes]),
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
    judged, counts = _judged(len(lanes)), np.empty(len(lanes), np.int64)
    _, found = _trade(tapes, _clock_of(tapes), lanes, terms, brackets, judged, counts)
    ends = np.cumsum(counts).tolist()
    return Batch(*judged, [found[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)])


def judge(result: Result) -> tuple[Floats, Floats]:
    """All figures of a result, and the shape of its daily returns."""
    figures, shape, records = np.empty(_FIGURES), np.empty(_SHAPE), records_of(result.trades)
    commission = records["commission"].sum() + sum(one.commission for one in result.open_positions)
    sums = np.array([result.starting_cash, result.traded_usd, commission, len(result.not_opened)], dtype=np.float64)
    columns = (result.times.view(np.int64), result.equity, result.exposed)
    pnl = np.ascontiguousarray(records["pnl_net"])
    machine().judge(*map(frozen, (*columns, pnl, sums)), figures, shape)
    return figures, shape


def prepare() -> None:
    """Compile everything and keep it, or find it kept: what an installation does, so that no first backtest waits."""
    days = np.arange(3) * np.timedelta64(1, "D") + np.datetime64("2020-01-01", "ns")
    prices = [frozen(np.ones(3)) for _ in range(5)]
    nothing, one = frozen(np.empty(0, np.int64)), frozen(np.array([0, 3]))
    columns, times = Columns(one, nothing, nothing, *prices), frozen(days.view(np.int64))
    terms = Numbers(1.0, 0, 1.0, 0, 0.0, 0, 0.0, may_borrow=False)
    lanes = frozen(np.zeros((1, 3), np.int8))
    figures, shapes = np.empty((1, _FIGURES)), np.empty((1, _SHAPE))
    counts, brackets = np.empty(1, np.int64), np.full((1, 2), np.nan)
    machine().trade_lanes(columns, lanes, terms, brackets, times, figures, shapes, counts)
    held, sums = frozen(np.zeros(3, np.bool_)), frozen(np.ones(4))
    machine().judge(times, prices[0], held, frozen(np.empty(0)), sums, figures[0], shapes[0])


def _trade(
    tapes: Sequence[Tape], clock: Clock, lanes: Directions, terms: Numbers, brackets: Sequence[Bracket | None],
    judged: tuple[Floats, Floats], counts: Ints,
) -> tuple[Books, Records]:  # fmt: skip
    stops = np.array([(b.stop_fraction, b.target_fraction) if b else (np.nan, np.nan) for b in brackets])
    columns = _columns(tapes, clock, terms, has_brackets=any(brackets))
    times = frozen(clock.times.view(np.int64))
    return machine().trade_lanes(columns, frozen(lanes), terms, stops, times, *judged, counts)


def _clock_of(tapes: Sequence[Tape]) -> Clock:
    """Without ranks where all tapes have the same moments: each bar then stands where it does in its own."""
    shared = shared_moments(tapes)
    return clock_of(tapes) if shared is None else Clock(shared, [])


def _judged(accounts: int) -> tuple[Floats, Floats]:
    """Room for figures and shapes."""
    return np.empty((accounts, _FIGURES)), np.empty((accounts, _SHAPE))


def _columns(tapes: Sequence[Tape], clock: Clock, terms: Numbers, *, has_brackets: bool) -> Columns:
    """All bars in one column each; what nothing reads is left out where that saves a copy."""
    starts = np.cumsum([0, *(len(tape) for tape in tapes)])
    nothing: Any = np.empty(0, dtype=np.int64)
    ranks = np.concatenate(clock.ranks) if clock.ranks else nothing
    months = nothing
    if terms.fee_by == IBKR_TIERED:
        months = np.concatenate([tape.times.astype("datetime64[M]").astype(np.int64) for tape in tapes])
    unread = set() if has_brackets else {"high", "low"}
    unread |= set() if terms.slip_by == VOLUME_SHARE else {"volume"}
    prices = [
        np.empty(0) if name in unread else _joined([getattr(tape, name) for tape in tapes])
        for name in ("open", "high", "low", "close", "volume")
    ]
    return Columns(*map(frozen, (starts, ranks, months, *prices)))


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)


def _left_open(tapes: Sequence[Tape], books: Books) -> list[OpenPosition]:
    found = []
    starts = np.cumsum([0, *(len(tape) for tape in tapes)]).tolist()
    for place in np.flatnonzero(books.positions["held"]).tolist():
        tape, position = tapes[place], books.positions[place]
        held, bar = float(position["held"]), int(position["entry_at"]) - starts[place]
        found.append(
            OpenPosition(
                tape.symbol, 1 if held > 0 else -1, abs(held), bar, tape.times[bar], float(position["entry_price"]),
                float(position["entry_fee"]),
            )
        )  # fmt: skip
    return found
