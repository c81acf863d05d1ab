"""Commands about the past: backtests and sweeps of strategies over bar files or the database's bars.

What goes here: reading options, asking for the work, and saying what came of it. What does not: the work (`backtest`).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError, Unavailable

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.backtest.engine import Terms
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
MayBorrow = Annotated[bool, typer.Option("--may-borrow", help="open positions worth more than the cash there is")]
Out = Annotated[Path, typer.Option(help="directory to write into")]
NoTrack = Annotated[bool, typer.Option("--no-track", help="log nothing to MLflow")]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(backtest)


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
    no_track: NoTrack = False,
    as_json: AsJson = False,
) -> None:
    """Trade a strategy over past bars: decided at a close, filled at the next open.

    Example: ibkr-assets backtest sma_cross --bars AAPL.csv --param fast=10 --param slow=30 --out result
    """
    from ibkr_assets.backtest import study
    from ibkr_assets.backtest.files import write_files
    from ibkr_assets.backtest.metrics import compute_metrics
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.backtest.tear_sheet import draw_tear_sheet, show
    from ibkr_assets.strategies.registry import build_strategy

    settings = configuration.load()
    params = dict(_param(text) for text in param or [])
    built = build_strategy(strategy, params, directory=settings.strategies.directory)
    terms = _terms(cash, size, commission, slippage, may_borrow=may_borrow)
    frame = _bars(settings, bars, symbols, start, end)
    result = study.backtest(built, tapes_of(frame), terms)
    metrics = compute_metrics(result)
    about = _about(strategy, params, frame, bars) | {
        "cash": cash, "size": size, "commission": terms.commission.describe(), "slippage": terms.slippage.describe(),
    }  # fmt: skip
    written = write_files(out, result, metrics, about)
    sheet = out / "tear_sheet.html"
    title = f"{strategy} {' '.join(f'{key}={value}' for key, value in params.items())}".strip()
    sheet.write_text(draw_tear_sheet(result, metrics, title=title, about=about), encoding="utf-8")
    for missed in result.not_opened[:3]:
        say(f"not opened: {missed.symbol} at bar {missed.bar}: {missed.reason}")
    if not no_track:
        _track(settings, f"backtest {title}", metrics, about, [*written, sheet])
    if as_json:
        emit_json(metrics)
    else:
        emit(table([{"figure": name, "value": show(name, value)} for name, value in metrics.items()], _COLUMNS))
    say(f"written: {', '.join(str(path) for path in [*written, sheet])}")


_COLUMNS = ["figure", "value"]


def _terms(cash: float, size: str, commission: str, slippage: str, *, may_borrow: bool) -> Terms:
    from ibkr_assets.backtest.commissions import parse_commission
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.sizes import parse_size
    from ibkr_assets.backtest.slippage import parse_slippage

    return Terms(cash, parse_size(size), parse_commission(commission), parse_slippage(slippage), may_borrow=may_borrow)


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
    """The bars of a file or of the database, from `start` to `end`, both included."""
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

        store = bootstrap.bar_store(settings)
        wanted = [symbol.strip().upper() for symbol in (symbols or "").split(",")]
        conids = [instrument.conid for instrument in store.instruments(wanted)]
        frame = store.load_bars(conids, BarSize.DAY, first, past, is_validated=True)
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
        "source_sha256": "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _track(
    settings: Settings, name: str, metrics: Mapping[str, float | None], about: Mapping[str, Any], files: list[Path]
) -> None:
    """Log a finished run. Nothing depends on it, so a server that is away is only told about."""
    from ibkr_assets import bootstrap

    tracker = bootstrap.tracker(settings)
    if tracker is None:
        say("not tracked: no MLflow server is named (mlflow.tracking_uri); --no-track leaves this line out")
        return
    params = {key: str(value) for key, value in about.items() if value != ""}
    try:
        with tracker.run(
            name, dagster_run_id=f"cli-{uuid.uuid4()}", tags={"run_kind": name.split(maxsplit=1)[0]}, params=params
        ) as run_id:
            tracker.log(run_id, metrics={key: value for key, value in metrics.items() if value is not None})
            for path in files:
                tracker.log_file(run_id, path.name, path.read_bytes())
        say(f"tracked: {tracker.url_of(run_id) or run_id}")
    except Unavailable as error:
        say(f"not tracked: {error}")
