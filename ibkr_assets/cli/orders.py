"""Commands about orders: propose, look and check. Nothing here sends an order: the submitter alone does.

The permission to trade is in `cli.permission`.
"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]

_LEDGER_COLUMNS = [
    "client_order_id", "state", "symbol", "side", "quantity", "filled", "average_price", "broker_order_id", "reason",
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    intents = typer.Typer(help="Propose orders from outside the assets.", no_args_is_help=True)
    ledger = typer.Typer(help="The order ledger.", no_args_is_help=True)
    intents.command("add")(intents_add)
    intents.command("release")(intents_release)
    ledger.command("export")(ledger_export)
    app.add_typer(intents, name="intents")
    app.add_typer(ledger, name="ledger")
    for command in (invariants, crashpoints):
        app.command()(command)


def intents_add(
    file: Annotated[Path, typer.Option(help="one JSON object a line")],
    as_json: AsJson = False,
) -> None:
    """Propose and review intents from a file; in sim, dry_run and paper only.

    Example: ibkr-assets intents add --file intents.jsonl
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.execution.intake import add_intents

    settings = configuration.load()
    outcomes = add_intents(
        file,
        book=bootstrap.intent_book(settings),
        instruments=bootstrap.bar_store(settings).instruments(),
        calendar=bootstrap.calendar(settings),
        clock=bootstrap.clock(settings),
        limits=bootstrap.limits_in_force(settings),
        account=bootstrap.account(settings),
        mode=settings.mode,
    )
    if as_json:
        emit_json(outcomes)
    else:
        emit(table(outcomes, ["decision_key", "outcome", "reason"]))


def intents_release(
    decision_key: Annotated[str, typer.Argument(help="of the denied intent, as `intents add` prints it")],
    reason: Annotated[str, typer.Option(help="why; kept with the act")],
    code: Annotated[str, typer.Option(help="the denial that was wrong")] = "look_alike",
) -> None:
    """Say that a denied order was meant; it may come again with the next `generation`.

    Example: ibkr-assets intents release "sim|by-hand|acct-..." --reason "both strategies mean it"
    """
    from ibkr_assets import bootstrap

    book = bootstrap.intent_book(configuration.load())
    book.release(decision_key, code=code, actor=getpass.getuser(), reason=reason)
    say(f"released {decision_key}: {reason}")


def ledger_export(as_json: AsJson = False) -> None:
    """Every intent with what became of it.

    Example: ibkr-assets ledger export --json
    """
    from ibkr_assets import bootstrap

    rows = bootstrap.order_ledger(configuration.load()).export()
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, _LEDGER_COLUMNS))


def invariants(as_json: AsJson = False) -> None:
    """Check that the order ledger contradicts itself nowhere; exit 1 when it does.

    Example: ibkr-assets invariants
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.invariants import check_invariants

    results = check_invariants(bootstrap.database(configuration.load()))
    if as_json:
        emit_json(results)
    else:
        emit(table(results, ["id", "name", "violations"]))
    if any(result["violations"] for result in results):
        raise typer.Exit(1)


def crashpoints(as_json: AsJson = False) -> None:
    """The named places where a process can be told to kill itself (IBKR_ASSETS_CRASH=name:n, mode sim only).

    Example: ibkr-assets crashpoints
    """
    from ibkr_assets.execution.crashpoints import CRASH_POINTS

    rows = [{"name": name, "where": where} for name, where in CRASH_POINTS.items()]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["name", "where"]))
