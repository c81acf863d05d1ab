"""Commands about the past: backtests and sweeps of strategies over bar files or the database's bars.

What goes here: reading options, asking for the work, and saying what came of it. What does not: the work (`backtest`).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.cli.run_terms import parse_risk, parse_terms
from ibkr_assets.cli.tracked import tracked
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.settings import Settings

Kind = Annotated[str, typer.Argument(metavar="STRATEGY", help="the kind of strategy, for example sma_cross")]
Bars = Annotated[Path | None, typer.Option(help="CSV or Parquet bar file")]
Symbols = Annotated[str | None, typer.Option(help="symbols of the database's validated daily bars, by comma")]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day (UTC) of the bars used")]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day (UTC)")]
Params = Annotated[list[str] | None, typer.Option("--param", help="a parameter of the strategy, k=v")]
Cash = Annotated[float, typer.Option(min=1, help="USD to start with")]
SizeOf = Annotated[str, typer.Option(help="fixed:SHARES, percent:OF_CASH, or a sizing of a strategies file")]
CommissionOf = Annotated[str, typer.Option(help="none, bps:N, ibkr-fixed or ibkr-tiered")]
SlippageOf = Annotated[str, typer.Option(help="none, bps:N, spread:USD or volume:IMPACT")]
RiskOf = Annotated[str, typer.Option(help="none, or settings: openings keep the limits of the configuration")]
MayBorrow = Annotated[bool, typer.Option("--may-borrow", help="open positions worth more than the cash there is")]
Out = Annotated[Path, typer.Option(help="directory to write into")]
NoTrack = Annotated[bool, typer.Option("--no-track", help="log nothing to MLflow")]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
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
    from ibkr_assets.backtest.files import write_files
    from ibkr_assets.backtest.metrics import compute_metrics
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.backtest.tear_sheet import draw_tear_sheet, show
    from ibkr_assets.strategies.registry import build_strategy

    settings = configuration.load()
    params = dict(_param(text) for text in param or [])
    built = build_strategy(strategy, params, directory=settings.strategies.directory, models=bootstrap.models(settings))
    terms = parse_terms(cash, size, commission, slippage, may_borrow=may_borrow, oversight=parse_risk(settings, risk))
    frame = _bars(settings, bars, symbols, start, end)
    title = f"{strategy} {' '.join(f'{key}={value}' for key, value in params.items())}".strip()
    with tracked(settings, f"backtest {title}", is_wanted=not no_track) as record:
        result = study.backtest(built, tapes_of(frame), terms)
        metrics = compute_metrics(result)
        about = _about(strategy, params, frame, bars) | {
            "cash": cash, "size": size, "commission": terms.commission.describe(),
            "slippage": terms.slippage.describe(),
            "risk": "none" if terms.oversight is None else terms.oversight.describe(),
        }  # fmt: skip
        written = write_files(out, result, metrics, about)
        sheet = out / "tear_sheet.html"
        sheet.write_text(draw_tear_sheet(result, metrics, title=title, about=about), encoding="utf-8")
        for missed in result.not_opened[:3]:
            say(f"not opened: {missed.symbol} at bar {missed.bar}: {missed.reason}")
        for code, count in Counter(denied.code for denied in result.denied or ()).items():
            say(f"denied by {code}: {count} openings")
        record.note(metrics, about, [*written, sheet])
    if as_json:
        emit_json(metrics)
    else:
        emit(table([{"figure": name, "value": show(name, value)} for name, value in metrics.items()], _COLUMNS))
    say(f"written: {', '.join(str(path) for path in [*written, sheet])}")


_COLUMNS = ["figure", "value"]


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
    processes: Annotated[int, typer.Option(min=0, help="processes to work in; 0 is one a core")] = 0,
    no_track: NoTrack = False,
    as_json: AsJson = False,
) -> None:
    """Backtest a strategy over a grid of parameters, ranked, with a picture.

    Example: ibkr-assets sweep sma_cross --bars AAPL.csv --grid fast=5:50:5 --grid slow=20:200:10 --out result
    """
    from ibkr_assets.backtest import sweep as work
    from ibkr_assets.backtest.files import write_sweep
    from ibkr_assets.backtest.grid import combinations, parse_grid
    from ibkr_assets.backtest.heat_map import draw_heat_map
    from ibkr_assets.backtest.luck import deflated_sharpe
    from ibkr_assets.backtest.metrics import CONVENTIONS
    from ibkr_assets.backtest.tape import tapes_of

    if rank_by not in CONVENTIONS:
        raise InputError(f"rank_by {rank_by!r}: no such figure; there are {', '.join(CONVENTIONS)}")
    settings = configuration.load()
    fixed = dict(_param(text) for text in param or [])
    values = parse_grid(grid)
    tried = combinations(values, fixed, sample=sample, seed=seed)
    terms = parse_terms(cash, size, commission, slippage, may_borrow=may_borrow)
    frame = _bars(settings, bars, symbols, start, end)
    with tracked(settings, f"sweep {strategy}", is_wanted=not no_track) as record:
        done = work.sweep(
            strategy, tried, tapes_of(frame), terms, rank_by=rank_by, processes=processes or os.cpu_count() or 1,
            directory=settings.strategies.directory, progress=_progress(),
        )  # fmt: skip
        chance = deflated_sharpe([row.shape for row in done.rows])
        about = _about(strategy, fixed, frame, bars) | {
            "grid": " ".join(grid), "tried": len(done.rows), "refused": done.refused, "ranked_by": rank_by,
            "cash": cash,
            "size": size, "commission": terms.commission.describe(), "slippage": terms.slippage.describe(),
        }  # fmt: skip
        rows, picture, summary = out / "sweep.csv", out / "heat_map.png", out / "sweep.json"
        write_sweep(rows, done)
        picture.write_bytes(draw_heat_map(done, values, title=f"{strategy} on {about['symbols']}"))
        best = done.rows[0]
        document = {"best": {"params": best.params, **best.metrics}, "deflated_sharpe": chance, "about": about}
        summary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        say(_doubt(len(done.rows), chance))
        figures = best.metrics | {"deflated_sharpe": chance}
        record.note(figures, about | {"best": str(best.params)}, [rows, picture, summary])
    if as_json:
        emit_json(document)
    else:
        names = list(values)
        shown = [row.params | {n: _short(row.metrics[n]) for n in _SHOWN} for row in done.rows[:10]]
        emit(table(shown, [*names, *_SHOWN]))
    say(f"written: {rows}, {picture}, {summary}")


_SHOWN = ("sharpe", "cagr", "max_drawdown", "trades", "final_equity")


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.2f}"


def _doubt(tried: int, chance: float | None) -> str:
    """The honest words about the best of many."""
    told = f"the best of {tried} tries on one past is mostly the luckiest"
    if chance is None:
        return told
    return f"{told}: the probability that its Sharpe ratio is more than luck (deflated Sharpe ratio) is {chance:.0%}"


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


def _param(text: str) -> tuple[str, Any]:
    """`k=v`, the value as YAML reads it: a number, true or false, otherwise text."""
    import yaml

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"param {text!r}: expected k=v")
    return name.strip(), yaml.safe_load(value)


def _bars(
    settings: Settings, path: Path | None, symbols: str | None, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """The bars of a file or of the database, from `start` to `end`, both included.

    Those of the database are in the shares of the last of them: no split is a loss.
    """
    if (path is None) == (symbols is None):
        raise InputError("bars: name either --bars FILE or --symbols S,...")
    first = (start or datetime(1900, 1, 1)).replace(tzinfo=UTC)  # noqa: DTZ001 the zone is set here
    past = (end or datetime(2200, 1, 1)).replace(tzinfo=UTC) + timedelta(days=1)  # noqa: DTZ001
    if path is not None:
        from ibkr_assets.ingest.files import read_bars

        frame = read_bars(path)
        frame = frame.loc[(frame["opened_at"] >= first) & (frame["opened_at"] < past)].reset_index(drop=True)
    else:
        from ibkr_assets import bootstrap
        from ibkr_assets.domain.bar import BarSize
        from ibkr_assets.market.adjustment import adjust

        store = bootstrap.bar_store(settings)
        wanted = [symbol.strip().upper() for symbol in (symbols or "").split(",")]
        conids = [instrument.conid for instrument in store.instruments(wanted)]
        frame = store.load_bars(conids, BarSize.DAY, first, past, is_validated=True)
        actions = store.load_actions(conids)
        if actions and len(frame):
            frame = adjust(frame, actions, as_of=frame["opened_at"].max().date()).drop(columns="factor")
    if frame.empty:
        raise InputError(f"bars: none from {first:%Y-%m-%d} to before {past:%Y-%m-%d} in {path or symbols}")
    return frame


def _about(kind: str, params: Mapping[str, Any], frame: pd.DataFrame, path: Path | None) -> dict[str, Any]:
    """What was run on what, for people and for comparing runs."""
    names = sorted(set(frame["symbol"]))
    return {
        "strategy": kind,
        "params": ", ".join(f"{key}={value}" for key, value in params.items()),
        "symbols": ", ".join(names[:20]) + ("" if len(names) <= 20 else f" and {len(names) - 20} more"),
        "from": f"{frame['opened_at'].min():%Y-%m-%d}",
        "to": f"{frame['opened_at'].max():%Y-%m-%d}",
        "bars": len(frame),
        "source": "database" if path is None else path.name,
        "source_sha256": _digest(frame) if path is None else hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _digest(frame: pd.DataFrame) -> str:
    """The exact versions of bars of the database; empty where they are not named."""
    from ibkr_assets.strategies.decide import input_digest

    return input_digest(frame) if {"version", "row_sha"} <= set(frame.columns) else ""
