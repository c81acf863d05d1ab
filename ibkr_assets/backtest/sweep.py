"""One strategy over many parameter sets: every one backtested, with its trades, and ranked.

What goes here: the work on all cores and the order of the results. What does not: which sets are tried
(`backtest.grid`), whether the best of them is luck (`backtest.luck`), pictures (`backtest.heat_map`) and files. The
same sets give the same rows whatever the number of processes.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ibkr_assets.backtest.compiled import numbers_of, trade_many
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.grid import Params
from ibkr_assets.backtest.luck import Shape
from ibkr_assets.backtest.metrics import judge, metrics_of, shapes_of
from ibkr_assets.backtest.result import Records, records_of
from ibkr_assets.backtest.study import Shared, directions_of, trade
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.strategies.registry import build_kind, find_kind
from ibkr_assets.strategies.strategy import Strategy

if TYPE_CHECKING:
    from ibkr_assets.backtest.account import Numbers
    from ibkr_assets.strategies.model_score import Models

#: Figures where less is better.
_LESS_IS_BETTER = {"volatility", "turnover", "commission", "not_opened"}
#: So many bars of all sets that are traded at once: matrices of 5 MB, which the system gives out in large pages.
_BARS_AT_ONCE, _MOST_AT_ONCE = 600_000, 256
#: Below so many seconds of work, starting processes takes longer.
_WORTH_PROCESSES_S = 4.0


class Row(NamedTuple):
    """One parameter set: its figures, the shape of its daily returns, and its closed trades (dtype `account.TRADE`)."""

    params: Params
    metrics: dict[str, float | None]
    shape: Shape | None
    trades: Records


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows in order of rank, best first, and how many sets the strategy refused."""

    rows: list[Row]
    refused: int
    ranked_by: str


@dataclass(frozen=True, slots=True)
class _Task:
    """What all sets of a sweep share; in `shared` what those before have computed."""

    name: str
    tapes: Sequence[Tape]
    terms: Terms
    directory: Path | None
    models: Models | None
    shared: Shared


def sweep(
    kind: str,
    tried: Sequence[Params],
    tapes: Sequence[Tape],
    terms: Terms,
    *,
    rank_by: str = "sharpe",
    processes: int = 1,
    directory: Path | None = None,
    models: Models | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Sweep:
    """Backtest every parameter set and rank them. Raises InputError where all are refused, with the first reason."""
    rows, refusals = try_sets(
        kind, tried, tapes, terms, processes=processes, directory=directory, models=models, progress=progress
    )
    return join(rows, refusals, rank_by)


def try_sets(
    kind: str,
    tried: Sequence[Params],
    tapes: Sequence[Tape],
    terms: Terms,
    *,
    processes: int = 1,
    directory: Path | None = None,
    models: Models | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[list[Row], list[str]]:
    """A row for each set that the strategy accepts, in their order, and why it refused the others.

    `progress` hears how many of how many are done.
    """
    find_kind(kind, directory)  # an unknown kind is no set refused
    size = min(_MOST_AT_ONCE, max(1, _BARS_AT_ONCE // sum(len(tape) for tape in tapes)))
    task = _Task(kind, tapes, terms, directory, models, Shared(tapes))
    chunks = [list(tried[start : start + size]) for start in range(0, len(tried), size)]
    rows: list[Row] = []
    refusals: list[str] = []
    done = 0
    for chunk, results in zip(chunks, _work(task, chunks, processes), strict=True):
        rows += [row for row in results if isinstance(row, Row)]
        refusals += [text for text in results if isinstance(text, str)]
        done += len(chunk)
        progress(done, len(tried))
    return rows, refusals


def join(rows: Sequence[Row], refusals: Sequence[str], rank_by: str) -> Sweep:
    """The sets in order of rank. Raises InputError where all are refused, with the first reason."""
    if not rows:
        raise InputError(
            f"grid: every combination is refused; the first: {refusals[0] if refusals else 'there is none'}"
        )
    return Sweep(rank(rows, rank_by), len(refusals), rank_by)


def part_of(tried: Sequence[Params], chunk: int, chunks: int) -> Sequence[Params]:
    """The sets of a chunk, counted from 1: all chunks one after the other are all sets in their order."""
    return tried[(chunk - 1) * len(tried) // chunks : chunk * len(tried) // chunks]


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
    results: list[Row | str] = []
    kind = find_kind(task.name, task.directory)
    built: list[tuple[Params, Strategy]] = []
    for params in chunk:
        try:
            built.append((params, build_kind(task.name, kind, params, task.models, directory=task.directory)))
        except ConfigurationError as error:
            results.append(str(error))
    numbers = numbers_of(task.terms)
    if numbers is None:
        return results + [_alone(task, params, strategy) for params, strategy in built]
    return results + (_together(task, built, numbers) if built else [])


def _together(task: _Task, built: list[tuple[Params, Strategy]], numbers: Numbers) -> list[Row]:
    lanes = np.empty((len(built), sum(len(tape) for tape in task.tapes)), dtype=np.int8)
    for lane, (_, strategy) in zip(lanes, built, strict=True):
        wanted = directions_of(strategy, task.tapes, task.shared)
        np.concatenate(wanted, out=lane)
    batch = trade_many(task.tapes, lanes, numbers, [strategy.bracket for _, strategy in built])
    tried = [params for params, _ in built]
    return list(map(Row, tried, metrics_of(batch.figures), shapes_of(batch.shapes), batch.trades))


def _alone(task: _Task, params: Params, strategy: Strategy) -> Row:
    """One whose sizes or rules ask Python at each opening."""
    wanted = directions_of(strategy, task.tapes, task.shared)
    result = trade(task.tapes, wanted, task.terms, bracket=strategy.bracket)
    return Row(params, *judge(result), records_of(result.trades))
