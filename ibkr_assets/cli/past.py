"""What commands about the past share: their options, the bars they read, and what was run on what.

What goes here: the way from options to bars, limits and words, and what a language model may have known of these bars.
What does not: costs (`backtest.about`), and the commands (`cli.research`, `cli.parameter_sweep`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.backtest.contamination import Contamination
    from ibkr_assets.backtest.oversight import Oversight
    from ibkr_assets.settings import Settings
    from ibkr_assets.strategies.analyst import Analyst

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


def parse_param(text: str) -> tuple[str, Any]:
    """`k=v`, the value as YAML reads it: a number, true or false, otherwise text."""
    import yaml

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"param {text!r}: expected k=v")
    return name.strip(), yaml.safe_load(value)


def load_bars(
    settings: Settings, path: Path | None, symbols: str | None, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """The bars of a file or of the database, from `start` to `end`, both included.

    Those of the database are in the shares of the last of them: no split is a loss.
    """
    if (path is None) == (symbols is None):
        raise InputError("bars: name either --bars FILE or --symbols S,...")
    from ibkr_assets.ingest.past_bars import FIRST, LAST, load_past_bars

    first, last = (start.date() if start else FIRST), (end.date() if end else LAST)
    if path is None:
        from ibkr_assets import bootstrap

        return load_past_bars(bootstrap.bar_store(settings), (symbols or "").split(","), first, last)
    from ibkr_assets.ingest.files import read_bars

    frame = read_bars(path)
    begin, past = (datetime.combine(day, time(0), UTC) for day in (first, last + timedelta(days=1)))
    frame = frame.loc[(frame["opened_at"] >= begin) & (frame["opened_at"] < past)].reset_index(drop=True)
    if frame.empty:
        raise InputError(f"bars: none from {first} to {last} in {path}")
    return frame


def describe(kind: str, params: Mapping[str, Any], frame: pd.DataFrame, path: Path | None) -> dict[str, Any]:
    """What was run on what, for people and for comparing runs."""
    from ibkr_assets.backtest.about import describe_run

    if path is None:
        return describe_run(kind, params, frame)
    return describe_run(kind, params, frame, path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def contamination(
    settings: Settings, kind: str, params: Mapping[str, Any], frame: pd.DataFrame
) -> Contamination | None:
    """What a language model may have known of these bars; None for a kind that asks none.

    The cutoff of the settings is that of their model, and of no other that the parameters name.
    """
    from ibkr_assets.backtest.contamination import find_contamination

    if not _asks(settings, kind):
        return None
    is_theirs = params.get("model") in (None, settings.llm.model)
    return find_contamination(frame, settings.llm.training_cutoff if is_theirs else None)


def stored_answers(settings: Settings, kind: str) -> Analyst | None:
    """What a language model answered before, for a kind that asks one: about the past nobody is asked anew."""
    from ibkr_assets import bootstrap

    analysts = bootstrap.analysts(settings, may_ask=False) if _asks(settings, kind) else None
    return None if analysts is None else analysts("backtest", 1)


def _asks(settings: Settings, kind: str) -> bool:
    from ibkr_assets.strategies.registry import all_kinds

    known = all_kinds(settings.strategies.directory).get(kind)
    return known is not None and known.asks


def parse_risk(settings: Settings, risk: str) -> Oversight | None:
    """`none`, or `settings` for the limits of the configuration. Raises InputError for another word."""
    if risk == "none":
        return None
    if risk != "settings":
        raise InputError(f"risk {risk!r}: expected none or settings")
    from ibkr_assets import bootstrap
    from ibkr_assets.backtest.oversight import Oversight

    return Oversight(bootstrap.limits(settings))
