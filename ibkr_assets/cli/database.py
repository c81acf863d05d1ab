"""Commands about the database as a whole: its schema, its backups, and what a restored ledger took over.

What goes here: reading arguments and showing results. What does not: dumps (`adapters.postgres.backup`, `restore`) and
taking orders over, which the submitter does (`execution.recovery`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import LedgerConflict, PlatformError, Unavailable

Json = Annotated[bool, typer.Option("--json", help="machine-readable")]

_ADOPTED = ["client_order_id", "strategy_id", "side", "quantity", "symbol", "filled", "state", "was_state"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    database = typer.Typer(help="The system of record: schema, backups, recovery.", no_args_is_help=True)
    for name, command in (
        ("migrate", migrate_schema), ("check", check_schema), ("backup", backup), ("restore", restore),
        ("recovery", recovery),
    ):  # fmt: skip
        database.command(name)(command)
    app.add_typer(database, name="db")


def migrate_schema() -> None:
    """Bring the schema up to date. Refused while an account is armed.

    Example: IBKR_ASSETS_DATABASE_URL=postgresql://... ibkr-assets db migrate
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.migrate import migrate

    emit(f"schema at {migrate(bootstrap.database_url(configuration.load()))}")


def check_schema() -> None:
    """Say whether the schema is the one this version wants; exit 78 when it is not.

    Example: ibkr-assets db check
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.migrate import check

    check(bootstrap.database_url(configuration.load()))
    emit("schema is up to date")


def backup(
    out: Annotated[Path, typer.Option(help="directory; the backup becomes a new one in it")],
    recipient: Annotated[
        str | None, typer.Option(help="age public key to encrypt for; default: database.backup_recipient")
    ] = None,
    json: Json = False,
) -> None:
    """Back the platform's database up, with a manifest that proves it. Nothing needs to be stopped.

    Example: ibkr-assets db backup --out backups --recipient age1...
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.backup import take_backup
    from ibkr_assets.domain.alert import AlertCode

    settings = configuration.load()
    recipient = recipient or settings.database.backup_recipient
    try:
        path, manifest = take_backup(bootstrap.database(settings), out, recipient=recipient)
    except PlatformError as error:
        _tell_of_failed_backup(settings, error)
        raise
    with suppress(Unavailable, LedgerConflict):  # the backup is there; the next one ends the alert too
        bootstrap.alerts(settings, "backup").settle(AlertCode.BACKUP_FAILED)
    if json:
        emit_json({"path": path, "taken_at": manifest.taken_at, "sha256": manifest.sha256, "counts": manifest.counts})
        return
    events = 0 if manifest.chain is None else manifest.chain[0]
    emit(str(path))
    say(f"{manifest.size_bytes} bytes, schema {manifest.revision}, {events} order events, sha256 {manifest.sha256}")


def _tell_of_failed_backup(settings: configuration.Settings, error: PlatformError) -> None:
    """An alert, where the database can still take one; that it cannot is the watchdog's to tell."""
    from ibkr_assets import bootstrap
    from ibkr_assets.domain.alert import Alert, AlertCode

    alert = Alert(AlertCode.BACKUP_FAILED, "db backup", f"no backup was made: {error}")
    with suppress(Unavailable, LedgerConflict):
        bootstrap.alerts(settings, "backup").raise_alert(alert)


def restore(
    directory: Annotated[Path, typer.Argument(help="a backup, as `db backup` wrote it")],
    identity: Annotated[Path | None, typer.Option(help="file with the age key, where it is encrypted")] = None,
    json: Json = False,
) -> None:
    """Bring a backup back into an empty database. It comes up killed: nothing is sent before somebody resumes it.

    Start the submitter afterwards: it takes over what the broker has and the backup does not know. Then see
    `db recovery`, and `resume`.

    Example: IBKR_ASSETS_DATABASE_URL=postgresql://... ibkr-assets db restore backups/ibkr_assets-20261120T210000Z
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.restore import restore_backup
    from ibkr_assets.execution.login import current_login

    database = bootstrap.database(configuration.load())
    manifest = restore_backup(database, directory, identity=identity, restored_by=current_login().name)
    if json:
        emit_json({"taken_at": manifest.taken_at, "revision": manifest.revision, "counts": manifest.counts})
        return
    emit(f"restored to {manifest.taken_at.isoformat(timespec='seconds')}, killed")
    say("next: `submitter run` takes over what the broker shows, `db recovery` lists it, `resume` ends the kill")


def recovery(json: Json = False) -> None:
    """What was restored, which orders were taken over from the broker since, and what still differs.

    Example: ibkr-assets db recovery
    """
    from ibkr_assets import bootstrap

    settings = configuration.load()
    report = bootstrap.recovery_report(settings)
    if json:
        emit_json(report)
    elif report is None:
        emit("never restored")
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    resumed = report["resumed_at"]
    is_over = "not resumed yet" if resumed is None else f"resumed {resumed.isoformat(timespec='seconds')}"
    emit(
        f"restored {report['restored_at'].isoformat(timespec='seconds')} by {report['restored_by']} from a backup of "
        f"{report['backup_taken_at'].isoformat(timespec='seconds')}; {is_over}"
    )
    emit(f"{len(report['adopted'])} orders taken over from the broker")
    if report["adopted"]:
        emit(table(report["adopted"], _ADOPTED))
    if report["open_differences"]:
        emit(table(report["open_differences"], ["kind", "subject", "blocks"]))
