"""Commands about strategies and bar files."""

from __future__ import annotations

import dataclasses
import getpass
from pathlib import Path
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
StrategyId = Annotated[str, typer.Argument(help="the strategy's id")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    strategies = typer.Typer(help="Strategies of the database.", no_args_is_help=True)
    for name, command in (
        ("list", strategies_list), ("show", strategies_show), ("add", strategies_add),
        ("enable", strategies_enable), ("disable", strategies_disable),
    ):  # fmt: skip
        strategies.command(name)(command)
    app.add_typer(strategies, name="strategies")
    app.command()(features)


def strategies_list(as_json: AsJson = False) -> None:
    """Every strategy, newest version. Example: ibkr-assets strategies list."""
    from ibkr_assets import bootstrap

    rows = [dataclasses.asdict(record) for record in bootstrap.strategy_store(configuration.load()).strategies()]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["id", "version", "kind", "params", "symbols", "sizing", "is_enabled"]))


def strategies_show(strategy_id: StrategyId) -> None:
    """One strategy, as JSON. Example: ibkr-assets strategies show sma_cross_10_30."""
    from ibkr_assets import bootstrap

    emit_json(bootstrap.strategy_store(configuration.load()).strategy(strategy_id))


def strategies_add(file: Annotated[Path, typer.Option(help="YAML list of strategies")]) -> None:
    """Store the strategies of a file; one that differs from what is there becomes a new version.

    Example: ibkr-assets strategies add --file strategies.yaml
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.stack.strategies_file import read_strategies

    records = read_strategies(file)
    written = bootstrap.strategy_store(configuration.load()).save_strategies(records, actor=getpass.getuser())
    say(f"{written} of {len(records)} strategies written, the others are as they were")


def strategies_enable(strategy_id: StrategyId) -> None:
    """Let a strategy run. Example: ibkr-assets strategies enable sma_cross_10_30."""
    _switch(strategy_id, is_enabled=True)


def strategies_disable(strategy_id: StrategyId) -> None:
    """Let a strategy run no more; its positions stay. Example: ibkr-assets strategies disable sma_cross_10_30."""
    _switch(strategy_id, is_enabled=False)


def _switch(strategy_id: str, *, is_enabled: bool) -> None:
    from ibkr_assets import bootstrap

    store = bootstrap.strategy_store(configuration.load())
    record = dataclasses.replace(store.strategy(strategy_id), is_enabled=is_enabled)
    store.save_strategies([record], actor=getpass.getuser())
    say(f"{strategy_id} is {'enabled' if is_enabled else 'disabled'}")


def features(
    bars: Annotated[Path, typer.Option(help="CSV or Parquet bar file")],
    out: Annotated[Path, typer.Option(help="CSV or Parquet file to write")],
) -> None:
    """Compute the feature set of a bar file.

    Example: ibkr-assets features --bars AAPL.csv --out features.csv
    """
    from ibkr_assets.features.compute import compute_features
    from ibkr_assets.ingest.files import read_bars

    frame = compute_features(read_bars(bars))
    if out.suffix == ".parquet":
        frame.to_parquet(out, index=False)
    elif out.suffix == ".csv":
        frame.to_csv(out, index=False)
    else:
        raise InputError(f"out: expected a .csv or .parquet file, got {out}")
    say(f"{len(frame)} rows written to {out}")
