"""Commands about permission to trade: take it, give it, and the processes that keep watch over it.

Nothing here sends an order. `kill --local` needs neither database nor network. What a command may do to whom is
decided where it is written down: in the database.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, say
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.execution.login import current_login

Scope = Annotated[str, typer.Option(help="global, account:<ref>, strategy:<id> or conid:<n>")]
Reason = Annotated[str, typer.Option(help="why; kept with the act")]

_LENGTH = re.compile(r"^(\d+)(m|h)$")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (kill, disarm, resume, arm):
        app.command()(command)
    watchdog = typer.Typer(help="The process that watches the submitter.", no_args_is_help=True)
    watchdog.command("run")(watchdog_run)
    app.add_typer(watchdog, name="watchdog")


def kill(
    reason: Reason,
    scope: Scope = "global",
    cancel: Annotated[bool, typer.Option("--cancel", help="also cancel what works at the broker")] = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="also close every position; needs two persons")] = False,
    local: Annotated[bool, typer.Option("--local", help="write the kill file; needs no database")] = False,
) -> None:
    """Stop new orders, at once. Orders already at the broker stay, unless --cancel or --flatten is given.

    Example: ibkr-assets kill --cancel --reason "wrong prices"
    """
    settings = configuration.load()
    level = "kill_cancel" if cancel else "kill"
    if flatten and local:
        raise InputError("flatten: positions are closed through the database alone; use --cancel with --local")
    if flatten:
        from ibkr_assets.cli.flatten import flatten as close_everything

        close_everything(settings, lambda action, of, **more: _control(settings, action, of, reason, **more))
    elif local:
        from ibkr_assets.execution.kill import write_kill_file

        login = current_login()
        path = write_kill_file(settings.data_dir, actor=login.name, session=login.session, reason=reason, level=level)
        say(f"kill file written: {path}")
    else:
        _control(settings, level, scope, reason)


def disarm(reason: Reason, scope: Scope = "global") -> None:
    """Withdraw the permission to trade. Example: ibkr-assets disarm --reason "end of day"."""
    _control(configuration.load(), "disarm", scope, reason)


def resume(
    reason: Reason,
    scope: Scope = "global",
    local: Annotated[bool, typer.Option("--local", help="also remove the kill file")] = False,
) -> None:
    """Take a kill or disarm back. In paper and live from another login than the killer's; live must be armed again.

    Example: ibkr-assets resume --reason "prices checked"
    """
    from ibkr_assets.execution.kill import kill_file, read_kill_file, remove_kill_file

    settings = configuration.load()
    written = read_kill_file(kill_file(settings.data_dir)) if local else None
    is_guarded = settings.mode in (Mode.PAPER, Mode.LIVE)
    if written is not None and is_guarded and written.session == current_login().session:
        raise InputError(f"resume of the kill file is refused in mode {settings.mode}: this login wrote it")
    if not local or settings.database.url is not None:
        _control(settings, "resume", scope, reason)
    if local:
        remove_kill_file(settings.data_dir)


def arm(
    reason: Reason,
    scope: Annotated[str | None, typer.Option(help="default: the account in mode live, otherwise global")] = None,
    account: Annotated[str | None, typer.Option(help="broker account; default: the pinned one")] = None,
    until: Annotated[str | None, typer.Option(help="when it ends, ISO 8601; UTC unless it names a zone")] = None,
    length: Annotated[str | None, typer.Option("--for", help="how long it lasts: 90m or 6h")] = None,
) -> None:
    """Give permission to trade, until the end of the session at the latest. Mode live needs it, and more keys.

    Example: ibkr-assets arm --for 2h --reason "opening watched"
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.clock import SystemClock
    from ibkr_assets.cli.arming import arming_evidence, session_end

    settings = configuration.load()
    pinned = account or bootstrap.account(settings)
    if settings.account and pinned != settings.account:
        raise InputError("account: not the one that the settings pin")
    if scope is None:
        scope = f"account:{account_ref(pinned)}" if settings.mode is Mode.LIVE else "global"
    elif settings.mode is Mode.LIVE and scope != f"account:{account_ref(pinned)}":
        raise InputError(f"scope: mode live is armed by account, account:{account_ref(pinned)}, got {scope!r}")
    now = SystemClock().now()
    wanted = _end(now, until, length)
    latest = session_end(settings, now)
    expires_at = latest if wanted is None else min(wanted, latest)
    evidence = arming_evidence(settings, now)
    _control(settings, "arm", scope, reason, expires_at=expires_at, evidence=evidence)
    say(f"until {expires_at.isoformat(timespec='seconds')}{'' if wanted in (None, expires_at) else ', session end'}")


def _end(now: datetime, until: str | None, length: str | None) -> datetime | None:
    if until is not None and length is not None:
        raise InputError("until, for: name one of them")
    if until is not None:
        try:
            end = datetime.fromisoformat(until)
        except ValueError:
            raise InputError(f"until: ISO 8601, got {until!r}") from None
        return end if end.tzinfo is not None else end.replace(tzinfo=now.tzinfo)
    if length is None:
        return None
    found = _LENGTH.match(length)
    if found is None or int(found[1]) < 1:
        raise InputError(f"for: minutes or hours, as 90m or 6h, got {length!r}")
    return now + timedelta(**{"m": {"minutes": int(found[1])}, "h": {"hours": int(found[1])}}[found[2]])


def _control(
    settings: configuration.Settings,
    action: str,
    scope: str,
    reason: str,
    *,
    expires_at: datetime | None = None,
    evidence: dict[str, object] | None = None,
) -> None:
    from ibkr_assets import bootstrap

    login = current_login()
    bootstrap.order_ledger(settings).control(
        action, scope=scope, actor=login.name, session=login.session, reason=reason, expires_at=expires_at,
        evidence=evidence,
    )  # fmt: skip
    say(f"{action} {scope}: {reason}")


def watchdog_run() -> None:
    """Watch submitter and ledger, in the foreground until stopped: withdraws permission to trade when it must.

    A submitter that falls silent is one reason; a ledger that contradicts itself, looked through every minute, another.

    Example: ibkr-assets watchdog run
    """
    import signal
    import threading

    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.logs import configure_logs
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.adapters.postgres.invariants import check_invariants
    from ibkr_assets.adapters.postgres.watch_rows import PostgresWatchRows
    from ibkr_assets.execution.audit import Audit
    from ibkr_assets.execution.kill import write_kill_file
    from ibkr_assets.execution.watchdog import Watchdog

    settings = configuration.load()
    configure_logs("watchdog", settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # Its own session, with short bounds: a database that hangs is one that is away.
    database = Database(
        bootstrap.database_url(settings),
        application_name="ibkr-assets watchdog",
        statement_timeout_s=5,
        lock_timeout_s=2,
    )
    rows = PostgresWatchRows(database, account_ref(bootstrap.account(settings)))
    audited = Database(bootstrap.database_url(settings), application_name="ibkr-assets audit")
    audit = Audit(lambda: check_invariants(audited), rows)

    def kill_by_file(reason: str) -> None:
        write_kill_file(settings.data_dir, actor="watchdog", session="watchdog", reason=reason)

    auditor = threading.Thread(target=audit.run, args=(stop,), name="audit", daemon=True)
    auditor.start()
    Watchdog(rows, kill_by_file=kill_by_file).run(stop, emit)
    if audit.has_failed:
        raise typer.Exit(70)
    database.close()
