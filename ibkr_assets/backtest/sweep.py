"""One strategy over many parameter sets: every one backtested, with its trades, and ranked.

What goes here: the work on all cores and the order of the results. What does not: which sets are tried
(`backtest.grid`), whether the best of them is luck (`backtest.luck`), pictures (`backtest.heat_map`) and files. The
same sets give the same rows whatever the number of processes.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ibkr_assets.backtest.batch import Trades, record_trades, trade_batch
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.figures import Moments, compute_moments, figures_of, returns_of
from ibkr_assets.backtest.grid import Params
from ibkr_assets.backtest.luck import Shape
from ibkr_assets.backtest.metrics import accounts_of, metrics_of
from ibkr_assets.backtest.study import backtest, reads_columns
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.features.definition import Feature
from ibkr_assets.features.frame import Floats
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets.strategies.strategy import Strategy

#: Figures where less is better.
_LESS_IS_BETTER = {"volatility", "turnover", "commission", "not_opened"}
#: So many bars of all sets that are traded at once: matrices of 5 MB, which the system gives out in large pages.
_BARS_AT_ONCE, _MOST_AT_ONCE = 600_000, 256
#: Below so many seconds of work, starting processes takes longer.
_WORTH_PROCESSES_S = 4.0


class Row(NamedTuple):
    """One parameter set: its figures, the shape of its daily returns, and its closed trades (dtype `batch.TRADE`)."""

    params: Params
    metrics: dict[str, float | None]
    shape: Shape | None
    trades: Trades


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows in order of rank, best first, and how many sets the strategy refused."""

    rows: list[Row]
    refused: int
    ranked_by: str


@dataclass(frozen=True, slots=True)
class _Task:
    """What all sets of a sweep share. `known` are the indicators that sets before have computed."""

    kind: str
    tapes: Sequence[Tape]
    terms: Terms
    directory: Path | None
    known: dict[Feature, Floats]


def sweep(
    kind: str,
    tried: Sequence[Params],
    tapes: Sequence[Tape],
    terms: Terms,
    *,
    rank_by: str = "sharpe",
    processes: int = 1,
    directory: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Sweep:
    """Backtest every parameter set. Those that the strategy refuses (fast slower than slow) are counted.

    `progress` hears how many of how many are done. Raises InputError where all are refused, with the first reason.
    """
    build_strategy(kind, {}, directory=directory)  # an unknown kind is no set refused
    size = min(_MOST_AT_ONCE, max(1, _BARS_AT_ONCE // sum(len(tape) for tape in tapes)))
    chunks = [list(tried[start : start + size]) for start in range(0, len(tried), size)]
    rows: list[Row] = []
    refusals: list[str] = []
    done = 0
    for chunk, results in zip(chunks, _work(_Task(kind, tapes, terms, directory, {}), chunks, processes), strict=True):
        rows += [row for row in results if isinstance(row, Row)]
        refusals += [text for text in results if isinstance(text, str)]
        done += len(chunk)
        progress(done, len(tried))
    if not rows:
        raise InputError(
            f"grid: every combination is refused; the first: {refusals[0] if refusals else 'there is none'}"
        )
    return Sweep(rank(rows, rank_by), len(refusals), rank_by)


def rank(rows: Sequence[Row], by: str) -> list[Row]:
    """Best first; what has no value is last."""
    sign = -1 if by in _LESS_IS_BETTER else 1

    def key(row: Row) -> tuple[bool, float]:
        value = row.metrics[by]
        return value is None, 0.0 if value is None else -sign * value

    return sorted(rows, key=key)


def _work(task: _Task, chunks: list[list[Params]], processes: int) -> Iterator[list[Row | str]]:
    """Chunk after chunk here; in processes from where the second has shown that the rest takes long."""
    for place, chunk in enumerate(chunks):
        began = time.perf_counter()
        yield _chunk(task, chunk)
        left = chunks[place + 1 :]
        if place == 1 and processes > 1 and (time.perf_counter() - began) * len(left) > _WORTH_PROCESSES_S:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(task,)) as pool:
                yield from pool.map(_continue, left)
            return


_task: _Task


def _begin(task: _Task) -> None:
    """Give a new process what all its chunks share, once."""
    global _task  # noqa: PLW0603 a process of the pool has no other memory between two chunks
    _task = task


def _continue(chunk: list[Params]) -> list[Row | str]:
    return _chunk(_task, chunk)


def _chunk(task: _Task, chunk: list[Params]) -> list[Row | str]:
    """A row or a refusal for each set, in their order."""
    results: list[Row | str | None] = [None] * len(chunk)
    built: dict[int, Strategy] = {}
    for place, params in enumerate(chunk):
        try:
            built[place] = build_strategy(task.kind, params, directory=task.directory)
        except ConfigurationError as error:
            results[place] = str(error)
    for place, row in _together(task, chunk, built).items():
        results[place] = row
    for place, strategy in built.items():
        if results[place] is None:
            result = backtest(strategy, task.tapes, task.terms)
            accounts = accounts_of(result)
            returns = returns_of(accounts)
            moments = compute_moments(returns)
            metrics = metrics_of(figures_of(accounts, returns, moments))[0]
            results[place] = Row(chunk[place], metrics, _shapes(moments)[0], record_trades(result.trades))
    return [found for found in results if found is not None]


def _together(task: _Task, chunk: list[Params], built: dict[int, Strategy]) -> dict[int, Row]:
    """Rows of the sets that can be traded as one batch, by place in the chunk; none where that is not possible."""
    plain = {place: one for place, one in built.items() if reads_columns(one) and one.bracket is None}
    if len(task.tapes) != 1 or not plain:
        return {}
    (tape,) = task.tapes
    columns = tape.columns
    lanes = np.stack([one.directions_over(columns, task.known) for one in plain.values() if reads_columns(one)])
    batch = trade_batch(tape, lanes, task.terms)
    if batch is None:
        return {}
    returns = returns_of(batch.accounts)
    moments = compute_moments(returns)
    figures, shapes = metrics_of(figures_of(batch.accounts, returns, moments)), _shapes(moments)
    rows = zip(plain, figures, shapes, batch.trades, batch.is_left.tolist(), strict=True)
    return {place: Row(chunk[place], figure, shape, trades) for place, figure, shape, trades, left in rows if not left}


def _shapes(moments: Moments) -> list[Shape | None]:
    columns = zip(moments.ratio.tolist(), moments.skewness.tolist(), moments.kurtosis.tolist(), strict=True)
    return [Shape(*row, moments.returns) if all(map(math.isfinite, row)) else None for row in columns]
