"""Backtests of one strategy with many parameter sets: ranked, drawn, walked forward, and doubted.

What goes here: reading options, asking for the work, and saying what came of it, with how much of it is luck. What does
not: the work (`backtest.sweep`, `backtest.walk_forward`) and the bars (`cli.past`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.cli.past import (
    AsJson,
    Bars,
    Cash,
    CommissionOf,
    From,
    Kind,
    MayBorrow,
    NoTrack,
    Out,
    Params,
    SizeOf,
    SlippageOf,
    Symbols,
    To,
    contamination,
    describe,
    load_bars,
    parse_param,
)
from ibkr_assets.cli.run_terms import parse_terms
from ibkr_assets.cli.tracked import Record, tracked
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.backtest.sweep import Sweep
    from ibkr_assets.backtest.walk_forward import WalkForward

#: So many of the best sets have a run of their own below the sweep's; all of them are in `sweep.csv`.
_RUNS = 20
_SHOWN = ("sharpe", "cagr", "max_drawdown", "trades", "final_equity")


def sweep(
    strategy: Kind,
    out: Out,
    grid: Annotated[list[str], typer.Option(help="values of a parameter: k=a:b:step or k=v,v,...")],
    bars: Bars = None,
    symbols: Symbols = None,
    start: From = None,
    end: To = None,
    param: Params = None,
    cash: Cash = 100_000,
    size: SizeOf = "percent:95",
    commission: CommissionOf = "none",
    slippage: SlippageOf = "none",
    may_borrow: MayBorrow = False,
    rank_by: Annotated[str, typer.Option(help="the figure to rank by")] = "sharpe",
    sample: Annotated[int, typer.Option(min=0, help="try so many of the grid, drawn by --seed; 0 tries all")] = 0,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
    walk_forward: Annotated[
        int, typer.Option(min=0, help="also choose the set on the past of each of so many parts and trade it there")
    ] = 0,
    processes: Annotated[int, typer.Option(min=0, help="processes to work in; 0 is one a core")] = 0,
    no_track: NoTrack = False,
    as_json: AsJson = False,
) -> None:
    """Backtest a strategy over a grid of parameters, ranked, with a picture and the best one's tear sheet.

    Example: ibkr-assets sweep sma_cross --bars AAPL.csv --grid fast=5:50:5 --grid slow=20:200:10 --out result
    """
    from ibkr_assets.backtest import sweep as work
    from ibkr_assets.backtest import walk_forward as walk
    from ibkr_assets.backtest.contamination import keep_clean
    from ibkr_assets.backtest.files import write_sweep
    from ibkr_assets.backtest.grid import combinations, parse_grid
    from ibkr_assets.backtest.heat_map import draw_heat_map
    from ibkr_assets.backtest.luck import deflated_sharpe
    from ibkr_assets.backtest.metrics import CONVENTIONS
    from ibkr_assets.backtest.study import backtest
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.backtest.tear_sheet import draw_tear_sheet
    from ibkr_assets.strategies.registry import build_strategy

    if rank_by not in CONVENTIONS:
        raise InputError(f"rank_by {rank_by!r}: no such figure; there are {', '.join(CONVENTIONS)}")
    settings = configuration.load()
    fixed = dict(parse_param(text) for text in param or [])
    values = parse_grid(grid)
    tried = combinations(values, fixed, sample=sample, seed=seed)
    terms = parse_terms(cash, size, commission, slippage, may_borrow=may_borrow)
    frame = load_bars(settings, bars, symbols, start, end)
    if (spoilt := contamination(settings, strategy, fixed, frame)) is not None and spoilt.contaminated_bars:
        frame = keep_clean(frame, spoilt.training_cutoff)
        say(f"left out of the ranking: {spoilt.doubt}")
    tapes, directory, cores = tapes_of(frame), settings.strategies.directory, processes or os.cpu_count() or 1
    with tracked(settings, f"sweep {strategy}", is_wanted=not no_track) as record:
        done = work.sweep(
            strategy, tried, tapes, terms, rank_by=rank_by, processes=cores, directory=directory, progress=_progress()
        )
        walked = None
        if walk_forward:
            walked = walk.walk_forward(
                strategy, tried, tapes, terms, walk_forward, rank_by=rank_by, processes=cores, directory=directory
            )
        chance = deflated_sharpe([row.shape for row in done.rows])
        about = describe(strategy, fixed, frame, bars) | {
            "grid": " ".join(grid), "tried": len(done.rows), "refused": done.refused, "ranked_by": rank_by,
            "cash": cash, "size": size, "commission": terms.commission.describe(),
            "slippage": terms.slippage.describe(),
        }  # fmt: skip
        best, doubt = done.rows[0], _doubt(len(done.rows), chance, walked)
        rows, picture, summary, sheet = (
            out / name for name in ("sweep.csv", "heat_map.png", "sweep.json", "tear_sheet.html")
        )
        write_sweep(rows, done)
        picture.write_bytes(draw_heat_map(done, values, title=f"{strategy} on {about['symbols']}"))
        document = {"best": {"params": best.params, **best.metrics}, "deflated_sharpe": chance, "about": about}
        if walked is not None:
            document["walk_forward"] = _told(walked)
        summary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        result = backtest(build_strategy(strategy, best.params, directory=directory), tapes, terms)
        title = f"{strategy} {' '.join(f'{key}={value}' for key, value in best.params.items())}"
        sheet.write_text(draw_tear_sheet(result, best.metrics, title=title, about=about, doubt=doubt), encoding="utf-8")
        say(doubt)
        written = [rows, picture, summary, sheet]
        record.note(best.metrics | {"deflated_sharpe": chance}, about | {"best": str(best.params)}, written)
        _note_runs(record, done, walked)
    if as_json:
        emit_json(document)
    else:
        shown = [row.params | {n: _short(row.metrics[n]) for n in _SHOWN} for row in done.rows[:10]]
        emit(table(shown, [*values, *_SHOWN]))
    say(f"written: {', '.join(str(path) for path in written)}")


def _note_runs(record: Record, done: Sweep, walked: WalkForward | None) -> None:
    for place, row in enumerate(done.rows[:_RUNS], start=1):
        record.below(f"rank {place}", row.metrics, row.params)
    for fold in walked.folds if walked else ():
        record.below(f"part from {fold.first_day}", fold.metrics, {**fold.params, "last_day": fold.last_day})


def _told(walked: WalkForward) -> dict[str, Any]:
    from ibkr_assets.backtest.metrics import compute_metrics

    folds = [
        {"first_day": str(fold.first_day), "last_day": str(fold.last_day), "params": fold.params,
         "chosen_by": fold.chosen_by, **fold.metrics}
        for fold in walked.folds
    ]  # fmt: skip
    return {"folds": folds, "metrics": compute_metrics(walked.result)}


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.2f}"


def _doubt(tried: int, chance: float | None, walked: WalkForward | None) -> str:
    """The honest words about the best of many."""
    told = f"the best of {tried} tries on one past is mostly the luckiest"
    if chance is not None:
        told += f": the probability that its Sharpe ratio is more than luck (deflated Sharpe ratio) is {chance:.0%}"
    if walked is not None:
        ratio = _told(walked)["metrics"]["sharpe"]
        told += (
            f"; chosen anew on each past and traded on what came next, the Sharpe ratio is {_short(ratio) or 'none'}"
        )
    return told


def _progress() -> Callable[[int, int], None]:
    """Say how far it is: rewritten in place on a terminal, otherwise at each tenth."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {total}" + ("\n" if done == total else ""))
            sys.stderr.flush()
        elif done * 10 // total > told:
            told = done * 10 // total
            say(f"{done} of {total}")

    return tell
