"""Commands about orders: propose, look, check, and the permission to trade.

Nothing here sends an order: the submitter alone does. `kill --local` needs neither database nor network.
"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Scope = Annotated[str, typer.Option(help="global, account:<ref>, strategy:<id> or conid:<n>")]
Reason = Annotated[str, typer.Option(help="why; kept with the act")]

_LEDGER_COLUMNS = [
    "client_order_id", "state", "symbol", "side", "quantity", "filled", "average_price", "broker_order_id", "reason",
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    intents = typer.Typer(help="Propose orders from outside the assets.", no_args_is_help=True)
    ledger = typer.Typer(help="The order ledger.", no_args_is_help=True)
    intents.command("add")(intents_add)
    ledger.command("export")(ledger_export)
    app.add_typer(intents, name="intents")
    app.add_typer(ledger, name="ledger")
    for command in (invariants, crashpoints, kill, disarm, resume):
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
        limits=bootstrap.limits(settings),
        account=bootstrap.account(settings),
        mode=settings.mode,
    )
    if as_json:
        emit_json(outcomes)
    else:
        emit(table(outcomes, ["decision_key", "outcome", "reason"]))


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


def kill(
    reason: Reason,
    scope: Scope = "global",
    local: Annotated[bool, typer.Option("--local", help="write the kill file; needs no database")] = False,
) -> None:
    """Stop new orders, at once. Orders already at the broker stay.

    Example: ibkr-assets kill --reason "wrong prices"
    """
    settings = configuration.load()
    if local:
        from ibkr_assets.execution.kill import write_kill_file

        say(f"kill file written: {write_kill_file(settings.data_dir, actor=getpass.getuser(), reason=reason)}")
        return
    _control("kill", scope, reason)


def disarm(reason: Reason, scope: Scope = "global") -> None:
    """Withdraw the permission to trade. Example: ibkr-assets disarm --reason "end of day"."""
    _control("disarm", scope, reason)


def resume(
    reason: Reason,
    scope: Scope = "global",
    local: Annotated[bool, typer.Option("--local", help="also remove the kill file")] = False,
) -> None:
    """Take a kill or disarm back.

    Example: ibkr-assets resume --reason "prices checked"
    """
    if local:
        from ibkr_assets.execution.kill import remove_kill_file

        remove_kill_file(configuration.load().data_dir)
    _control("resume", scope, reason)


def _control(action: str, scope: str, reason: str) -> None:
    from ibkr_assets import bootstrap

    ledger = bootstrap.order_ledger(configuration.load())
    ledger.control(action, scope=scope, actor=getpass.getuser(), reason=reason)
    say(f"{action} {scope}: {reason}")
