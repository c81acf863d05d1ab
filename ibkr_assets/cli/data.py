"""Commands about features of bar files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ibkr_assets.cli.output import say
from ibkr_assets.domain.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(features)


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
