"""The command that fills in the past in several runs at a time. What a run does is the job's matter."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say
from ibkr_assets.cli.webserver import open_webserver


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(backfill)


def backfill(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first session")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last session")],
    symbols: Annotated[str, typer.Option(help="comma-separated; empty: those of the universe")] = "",
    runs: Annotated[int, typer.Option(help="parts of the symbols, a run each", min=1)] = 1,
    retries: Annotated[int, typer.Option(help="how often a part that was cut off is launched again", min=0)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Fill in bars, verdicts and features of past sessions, in the runs of Dagster; nothing is ordered by it.

    Runs go where Dagster's launcher sends them: processes of this machine, or workers. Stopping this command stops
    waiting, not the runs.

    Example: ibkr-assets backfill --from 2012-06-01 --to 2012-08-31 --runs 4
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.universe import PostgresUniverse
    from ibkr_assets.stack import backfill as work

    settings = configuration.load()
    wanted = [symbol.strip().upper() for symbol in symbols.split(",") if symbol.strip()]
    if not wanted:
        days = bootstrap.calendar(settings).sessions(first.date(), last.date())
        universe = PostgresUniverse(bootstrap.database(settings), settings.market.symbols)
        wanted = list(universe.members([session.day for session in days]))
    with open_webserver(settings) as api:
        done = work.backfill(
            api, name=uuid.uuid4().hex[:8], symbols=wanted, first=first.date(), last=last.date(), parts=runs,
            retries=retries, tell=say,
        )  # fmt: skip
    if as_json:
        emit_json({"symbols": len(set(wanted)), "runs": done.parts, "attempts": done.attempts, "seconds": done.seconds})
    else:
        emit(f"{len(set(wanted))} symbols in {done.parts} runs, {done.attempts} attempts, {done.seconds:.1f} s")
