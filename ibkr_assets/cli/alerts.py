"""Commands about alerts: the process that tells people, what they were told, and whether they can be reached."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.alerts import PostgresAlerts

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
_POLL_S = 0.2


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    alerts = typer.Typer(help="Who is told when something is wrong.", no_args_is_help=True)
    for name, command in (("run", alerts_run), ("list", alerts_list), ("test", alerts_test), ("ack", alerts_ack)):
        alerts.command(name)(command)
    app.add_typer(alerts, name="alerts")


def alerts_run() -> None:
    """Tell people of alerts through the channels of the settings, in the foreground until stopped.

    Example: IBKR_ASSETS__ALERTS__CHANNELS='[{"name":"mail","url":"mailtos://..."}]' ibkr-assets alerts run
    """
    import signal
    import threading

    from ibkr_assets.adapters.logs import configure_logs
    from ibkr_assets.cli.alert_sender import build_sender

    settings = configuration.load()
    configure_logs("alerts", settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    build_sender(settings).run(stop, emit)


def alerts_list(
    limit: Annotated[int, typer.Option(min=1, max=10000, help="how many, newest first")] = 50,
    is_open: Annotated[bool, typer.Option("--open", help="only those that are not over")] = False,
    as_json: AsJson = False,
) -> None:
    """Alerts and how far each has got, newest first.

    Example: ibkr-assets alerts list --open
    """
    rows = _alerts().list_alerts(limit=limit, is_open_only=is_open)
    if as_json:
        emit_json(rows)
        return
    shown = [
        row
        | {
            "id": row["alert_id"],
            "raised_at": row["raised_at"].isoformat(timespec="seconds"),
            "state": _state(row),
            "told": ", ".join(describe_delivery(one) for one in row["deliveries"]) or "nobody",
        }
        for row in rows
    ]
    emit(table(shown, ["id", "raised_at", "severity", "kind", "subject", "state", "told", "text"]))


def alerts_test(
    wait: Annotated[float, typer.Option(min=0, max=600, help="seconds to wait for the channels")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Send a test to every channel by way of the outbox, and say which of them took it. Exit 75 when one did not.

    Example: ibkr-assets alerts test
    """
    from ibkr_assets.domain.alert import Alert, AlertCode
    from ibkr_assets.execution.login import current_login

    alerts, subject = _alerts(), f"{time.time():.3f}"
    alerts.raise_alert(Alert(AlertCode.TEST, subject, f"a test by {current_login().name}: nothing is wrong"))
    number = next(row["alert_id"] for row in alerts.list_alerts(limit=20) if row["subject"] == subject)
    deadline = time.monotonic() + wait
    while True:
        channels = alerts.channels()
        row = next(row for row in alerts.list_alerts(limit=20, before=number + 1) if row["alert_id"] == number)
        told = {one["channel"]: one for one in row["deliveries"]}
        found = [told.get(channel["channel"], {}) for channel in channels]
        is_done = bool(channels) and all(one.get("delivered_at") for one in found)
        has_ended = bool(channels) and all(one.get("delivered_at") or one.get("problem") for one in found)
        if has_ended or time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    alerts.settle(AlertCode.TEST)
    result = [_tested(channel, told.get(channel["channel"])) for channel in channels]
    if as_json:
        emit_json({"alert": number, "delivered": is_done, "channels": result})
    else:
        emit(table(result, ["channel", "scheme", "delivered", "tries", "problem"]))
    if not is_done:
        why = "a channel did not take it" if channels else "no channel: set alerts.channels and start `alerts run`"
        raise Unavailable(f"alerts: {why}")


def alerts_ack(
    number: Annotated[int, typer.Argument(metavar="ID", help="as `alerts list` shows it")],
    as_json: AsJson = False,
) -> None:
    """Say that you look after an alert: it is not sent again.

    Example: ibkr-assets alerts ack 17
    """
    from ibkr_assets.execution.login import current_login

    actor = current_login().name
    if number < 1:
        raise InputError(f"id: a number above zero, got {number}")
    _alerts().acknowledge(number, actor)
    if as_json:
        emit_json({"alert": number, "acknowledged_by": actor})
    else:
        say(f"alert {number} is {actor}'s now")


def describe_delivery(one: dict[str, Any]) -> str:
    """How far one delivery has got, in a few words."""
    name = one["channel"] if one["event"] == "raised" else f"{one['channel']} ({one['event']})"
    if one["delivered_at"]:
        return f"{name} delivered"
    if one["dropped_at"]:
        return f"{name} dropped"
    return f"{name} failed {one['tries']} times: {one['problem']}" if one["problem"] else f"{name} waits"


def _tested(channel: dict[str, Any], delivery: dict[str, Any] | None) -> dict[str, Any]:
    found = delivery or {}
    return {
        "channel": channel["channel"], "scheme": channel["scheme"], "delivered": bool(found.get("delivered_at")),
        "tries": found.get("tries", 0), "problem": found.get("problem") or None,
    }  # fmt: skip


def _state(row: dict[str, Any]) -> str:
    if row["resolved_at"]:
        return "over"
    return f"open, {row['acknowledged_by']} looks after it" if row["acknowledged_at"] else "open"


def _alerts() -> PostgresAlerts:
    from ibkr_assets import bootstrap

    return bootstrap.alerts(configuration.load(), by="command line")
