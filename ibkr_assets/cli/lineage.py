"""Commands that explain an order: where it came from, and whether the same comes out again.

What goes here: the commands and what a replay looks like. What does not: how the story of an order is laid out for a
terminal (`cli.story`), reading it (`adapters.postgres.lineage`) and computing it again (`execution.replay`).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json

if TYPE_CHECKING:
    from ibkr_assets.execution.replay import Replay
    from ibkr_assets.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Order = Annotated[str, typer.Argument(help="client order id, decision key, broker order id, intent id or execution id")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command("why")(why)
    app.command("replay")(replay)


def why(order: Order, as_json: AsJson = False) -> None:
    """From an order or a fill back to its bars: calls, rules, plan, signal, features, versions, runs.

    Example: ibkr-assets why q1-abcdefghijklmnopqrstuvwxyz
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.cli.story import tell

    settings = configuration.load()
    document = bootstrap.lineage(settings).document(order)
    document["runs"]["urls"] = _run_urls(settings, document["runs"])
    if as_json:
        emit_json(document)
    else:
        emit(tell(document, width=shutil.get_terminal_size((110, 40)).columns))


def _run_urls(settings: Settings, runs: dict[str, Any]) -> dict[str, str]:
    """Pages of the runs by run id, as far as the servers are known here."""
    from ibkr_assets.stack.state import read_state

    urls = {}
    dagster = (read_state(settings.data_dir.absolute()) or {"urls": {}})["urls"].get("dagster")
    if dagster:
        urls = {run: f"{dagster.rstrip('/')}/runs/{run}" for run in runs["dagster"].values() if run}
    mlflow, tracking = runs["mlflow"], settings.mlflow.tracking_uri
    if mlflow["page"] and tracking and tracking.startswith("http"):
        urls[mlflow["run_id"]] = f"{tracking.rstrip('/')}/#{mlflow['page']}"
    return urls


def replay(order: Order, as_json: AsJson = False) -> None:
    """Compute the decision again from what was stored; exit 1 unless it is identical.

    Example: ibkr-assets replay q1-abcdefghijklmnopqrstuvwxyz
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.execution.replay import replay as compute

    settings = configuration.load()
    lineage = bootstrap.lineage(settings)
    document = lineage.document(order)
    registry = bootstrap.models(settings)
    result = compute(
        document,
        lineage.feature_bars(document),
        lineage.compared_bars(document),
        directory=settings.strategies.directory,
        models=None if registry is None else registry.version,
        analysts=bootstrap.past_analysts(settings),
    )
    if as_json:
        emit_json(
            {"order": document["order"]["client_order_id"], "is_identical": result.is_identical, "replay": result}
        )
    else:
        emit(_show(result))
    if not result.is_identical:
        raise typer.Exit(1)


def _show(result: Replay) -> str:
    found = result.difference
    if found is not None:
        lines = [
            f"different in {found.stage}: {found.field}",
            f"  stored   {found.stored}",
            f"  computed {found.computed}",
        ]
    else:
        lines = ["identical" if result.is_identical else "cannot be computed whole"]
    lines += [f"not kept: {text}" for text in result.not_kept]
    return "\n".join([*lines, f"as stored: {', '.join(result.identical) or 'nothing'}"])
