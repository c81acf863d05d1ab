"""One strategy over a grid of parameters: every combination backtested, ranked, and judged as one try among many.

What goes here: grids, the work on all cores, the order of the results, and how likely the best of so many is luck. What
does not: pictures (`backtest.heat_map`) and files. The same grid gives the same rows whatever the number of processes.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.metrics import compute_metrics, daily_returns
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import Tape
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.strategies.registry import build_strategy

#: Figures where less is better.
_LESS_IS_BETTER = {"volatility", "turnover", "commission", "not_opened"}
_CHUNK = 16
#: Below this many bars in all, starting processes takes longer than the work.
_WORTH_PROCESSES = 3_000_000
#: Euler's and Mascheroni's constant.
_EULER = 0.5772156649015329

Params = dict[str, Any]


class Row(NamedTuple):
    """One combination: parameters, figures, and of its daily returns mean/deviation, skewness, kurtosis and number."""

    params: Params
    metrics: dict[str, float | None]
    moments: tuple[float, float, float, int] | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows in order of rank, best first, and how many combinations the strategy refused."""

    rows: list[Row]
    refused: int
    ranked_by: str


def parse_grid(specs: Sequence[str]) -> dict[str, list[Any]]:
    """Values by parameter from texts like `fast=5:50:5` (both ends included) or `short=true,false`.

    Steps are exact decimals. Raises InputError naming the text.
    """
    grid: dict[str, list[Any]] = {}
    for spec in specs:
        name, _, text = spec.partition("=")
        if not name or not text or name in grid:
            raise InputError(f"grid {spec!r}: expected k=a:b:step or k=v,v,... once a parameter")
        grid[name] = _range(spec, text) if ":" in text else [_plain(part) for part in text.split(",")]
    return grid


def combinations(grid: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Params]:
    """Every combination, the last parameter of the grid changing fastest."""
    names = list(grid)
    return [dict(fixed) | dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())]


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
    """Backtest every combination. Those that the strategy refuses (fast slower than slow) are counted.

    `progress` hears how many of how many are done. Raises InputError where all are refused, with the first reason.
    """
    build_strategy(kind, {}, directory=directory)  # an unknown kind is no combination refused
    chunks = [list(tried[start : start + _CHUNK]) for start in range(0, len(tried), _CHUNK)]
    rows: list[Row] = []
    refusals: list[str] = []
    done = 0
    for chunk, results in zip(chunks, _work(kind, chunks, tapes, terms, processes, directory), strict=True):
        rows += [row for row in results if isinstance(row, Row)]
        refusals += [text for text in results if isinstance(text, str)]
        done += len(chunk)
        progress(done, len(tried))
    if not rows:
        raise InputError(
            f"grid: every combination is refused; the first: {refusals[0] if refusals else 'there is none'}"
        )
    sign = -1 if rank_by in _LESS_IS_BETTER else 1

    def key(row: Row) -> tuple[bool, float]:
        value = row.metrics[rank_by]
        return value is None, 0.0 if value is None else -sign * value

    return Sweep(sorted(rows, key=key), len(refusals), rank_by)


def deflated_sharpe(rows: Sequence[Row]) -> float | None:
    """How likely the best Sharpe ratio of `rows` is above what the best of so many tries without skill would show.

    Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014), equations 1 and 2, per day and with every combination
    counted as an independent try, which errs towards doubt. None for fewer than two combinations with returns.
    """
    known = [row.moments for row in rows if row.moments is not None]
    if len(known) < 2:
        return None
    ratios = np.array([moments[0] for moments in known])
    normal, tries = NormalDist(), len(known)
    spread = float(ratios.std(ddof=1))
    lucky = spread * ((1 - _EULER) * normal.inv_cdf(1 - 1 / tries) + _EULER * normal.inv_cdf(1 - 1 / (tries * math.e)))
    ratio, skew, kurtosis, count = known[int(ratios.argmax())]
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio
    if variance <= 0 or count < 2:
        return None
    return normal.cdf((ratio - lucky) * math.sqrt(count - 1) / math.sqrt(variance))


def _work(
    kind: str, chunks: list[list[Params]], tapes: Sequence[Tape], terms: Terms, processes: int, directory: Path | None
) -> Iterator[list[Row | str]]:
    bars = sum(len(tape) for tape in tapes) * sum(len(chunk) for chunk in chunks)
    if processes < 2 or len(chunks) < 2 or bars < _WORTH_PROCESSES:
        yield from (_chunk(kind, chunk, tapes, terms, directory) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(kind, tapes, terms, directory)) as pool:
        yield from pool.map(_continue, chunks)


_given: tuple[str, Sequence[Tape], Terms, Path | None]


def _begin(kind: str, tapes: Sequence[Tape], terms: Terms, directory: Path | None) -> None:
    """Give a new process what all its chunks share, once."""
    global _given  # noqa: PLW0603 a process of the pool has no other memory between two chunks
    _given = kind, tapes, terms, directory


def _continue(chunk: list[Params]) -> list[Row | str]:
    kind, tapes, terms, directory = _given
    return _chunk(kind, chunk, tapes, terms, directory)


def _chunk(
    kind: str, chunk: list[Params], tapes: Sequence[Tape], terms: Terms, directory: Path | None
) -> list[Row | str]:
    results: list[Row | str] = []
    for params in chunk:
        try:
            strategy = build_strategy(kind, params, directory=directory)
        except ConfigurationError as error:
            results.append(str(error))
            continue
        result = backtest(strategy, tapes, terms)
        results.append(Row(params, compute_metrics(result), _moments(result)))
    return results


def _moments(result: Result) -> tuple[float, float, float, int] | None:
    """Sharpe ratio, skewness and kurtosis (3 for the normal distribution) of daily returns, and their number."""
    returns = daily_returns(result).values
    deviation = float(returns.std()) if returns.size > 2 else 0.0
    if not deviation:
        return None
    scaled = (returns - returns.mean()) / deviation
    cubes = scaled * scaled * scaled
    ratio = float(returns.mean()) / float(returns.std(ddof=1))
    return ratio, float(cubes.mean()), float((cubes * scaled).mean()), returns.size


def _range(spec: str, text: str) -> list[Any]:
    try:
        first, last, step = (Decimal(part) for part in text.split(":"))
    except (InvalidOperation, ValueError):
        raise InputError(f"grid {spec!r}: expected k=a:b:step") from None
    if not (first.is_finite() and last.is_finite() and step.is_finite()) or step <= 0 or last < first:
        raise InputError(f"grid {spec!r}: a:b:step with a <= b and a positive step")
    values = [first + step * count for count in range(int((last - first) / step) + 1)]
    is_whole = all(value == value.to_integral_value() for value in values)
    return [int(value) if is_whole else float(value) for value in values]


def _plain(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
