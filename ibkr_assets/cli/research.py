"""Backtests of a strategy over bar files or the database's bars.

What goes here: reading options, asking for the work, and saying what came of it. What does not: the work (`backtest`),
the bars (`cli.past`), and backtests of many parameter sets (`cli.parameter_sweep`).
"""

from __future__ import annotations

from collections import Counter

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.cli.parameter_sweep import sweep
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
    RiskOf,
    SizeOf,
    SlippageOf,
    Symbols,
    To,
    contamination,
    describe,
    load_bars,
    parse_param,
    parse_risk,
    stored_answers,
)
from ibkr_assets.cli.tracked import tracked

_COLUMNS = ["figure", "value"]


def register(app: typer.Typer) -> None:
    """Add the commands about the past to the command line."""
    app.command()(backtest)
    app.command()(sweep)


def backtest(
    strategy: Kind,
    out: Out,
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
    risk: RiskOf = "none",
    no_track: NoTrack = False,
    as_json: AsJson = False,
) -> None:
    """Trade a strategy over past bars: decided at a close, filled at the next open.

    Example: ibkr-assets backtest sma_cross --bars AAPL.csv --param fast=10 --param slow=30 --out result
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.backtest import study
    from ibkr_assets.backtest.about import describe_terms, parse_terms, title_of
    from ibkr_assets.backtest.contamination import TAG
    from ibkr_assets.backtest.files import write_files
    from ibkr_assets.backtest.metrics import compute_metrics
    from ibkr_assets.backtest.picture import draw_picture
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.backtest.tear_sheet import draw_tear_sheet, show
    from ibkr_assets.strategies.registry import build_strategy

    settings = configuration.load()
    params = dict(parse_param(text) for text in param or [])
    built = build_strategy(
        strategy, params, directory=settings.strategies.directory, models=bootstrap.models(settings),
        analyst=stored_answers(settings, strategy),
    )  # fmt: skip
    terms = parse_terms(cash, size, commission, slippage, may_borrow=may_borrow, oversight=parse_risk(settings, risk))
    frame = load_bars(settings, bars, symbols, start, end)
    title = title_of(strategy, params)
    spoilt = contamination(settings, strategy, params, frame)
    tags, doubt = ({}, "") if spoilt is None else ({TAG: spoilt.tag}, spoilt.doubt)
    with tracked(settings, f"backtest {title}", is_wanted=not no_track, tags=tags) as record:
        result = study.backtest(built, tapes_of(frame), terms)
        metrics = compute_metrics(result)
        about = describe(strategy, params, frame, bars) | describe_terms(terms, size)
        about |= {} if spoilt is None else spoilt.about
        written = write_files(out, result, metrics, about)
        sheet = out / "tear_sheet.html"
        sheet.write_text(draw_tear_sheet(result, metrics, title=title, about=about, doubt=doubt), encoding="utf-8")
        picture = out / "tear_sheet.png"
        picture.write_bytes(draw_picture(result, metrics, title=title))
        if doubt:
            say(doubt)
        for missed in result.not_opened[:3]:
            say(f"not opened: {missed.symbol} at bar {missed.bar}: {missed.reason}")
        for code, count in Counter(denied.code for denied in result.denied or ()).items():
            say(f"denied by {code}: {count} openings")
        record.note(metrics, about, [*written, sheet, picture])
    if as_json:
        emit_json(metrics)
    else:
        emit(table([{"figure": name, "value": show(name, value)} for name, value in metrics.items()], _COLUMNS))
    say(f"written: {', '.join(str(path) for path in [*written, sheet, picture])}")
