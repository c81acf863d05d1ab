"""Backtests of one strategy with many parameter sets: ranked, drawn, walked forward, and doubted.

What goes here: reading options, asking for the work, and saying what came of it, with how much of it is luck. What does
not: the work (`backtest.sweep`, `backtest.walk_forward`) and the bars (`cli.past`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

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
    describe,
    load_bars,
    parse_param,
)
from ibkr_assets.cli.tracked import tracked
from ibkr_assets.domain.errors import ConfigurationError, InputError

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
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.mlflow import Part
    from ibkr_assets.backtest import sweep as work
    from ibkr_assets.backtest import walk_forward as walk
    from ibkr_assets.backtest.about import describe_terms, parse_terms
    from ibkr_assets.backtest.grid import combinations, parse_grid
    from ibkr_assets.backtest.metrics import CONVENTIONS
    from ibkr_assets.backtest.study import backtest
    from ibkr_assets.backtest.sweep_files import list_parts, short, write_sweep_files
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.strategies.registry import build_strategy, find_kind

    if rank_by not in CONVENTIONS:
        raise InputError(f"rank_by {rank_by!r}: no such figure; there are {', '.join(CONVENTIONS)}")
    settings = configuration.load()
    if find_kind(strategy, settings.strategies.directory).asks:
        raise ConfigurationError(
            f"strategy {strategy!r}: other parameters ask a language model other questions, which nobody has answered; "
            "`backtest` trades what one answered before"
        )
    fixed = dict(parse_param(text) for text in param or [])
    values = parse_grid(grid)
    tried = combinations(values, fixed, sample=sample, seed=seed)
    terms = parse_terms(cash, size, commission, slippage, may_borrow=may_borrow)
    frame = load_bars(settings, bars, symbols, start, end)
    tapes, directory, cores = tapes_of(frame), settings.strategies.directory, processes or os.cpu_count() or 1
    models = bootstrap.models(settings)
    with tracked(settings, f"sweep {strategy}", is_wanted=not no_track) as record:
        done = work.sweep(
            strategy,
            tried,
            tapes,
            terms,
            rank_by=rank_by,
            processes=cores,
            directory=directory,
            models=models,
            progress=_progress(),
        )
        walked = None
        if walk_forward:
            walked = walk.walk_forward(
                strategy,
                tried,
                tapes,
                terms,
                walk_forward,
                rank_by=rank_by,
                processes=cores,
                directory=directory,
                models=models,
            )
        about = describe(strategy, fixed, frame, bars) | {
            "grid": " ".join(grid), "tried": len(done.rows), "refused": done.refused, "ranked_by": rank_by,
        } | describe_terms(terms, size)  # fmt: skip
        best = done.rows[0]
        built = build_strategy(strategy, best.params, directory=directory, models=models)
        out.mkdir(parents=True, exist_ok=True)
        found = write_sweep_files(out, done, values, backtest(built, tapes, terms), about, walked)
        say(found.doubt)
        figures = best.metrics | {"deflated_sharpe": found.chance}
        record.note(figures, about | {"best": str(best.params)}, found.paths)
        record.parts += (Part(*part) for part in list_parts(done, walked))
    if as_json:
        emit_json(found.document)
    else:
        shown = [row.params | {n: short(row.metrics[n]) for n in _SHOWN} for row in done.rows[:10]]
        emit(table(shown, [*values, *_SHOWN]))
    say(f"written: {', '.join(str(path) for path in found.paths)}")


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
