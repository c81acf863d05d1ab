"""The command line's entry: starting the stack and its processes, and the one place where an error becomes a line.

Commands about orders are in `cli.orders` and `cli.order_requests`, about the broker in `cli.broker`, about strategies
in `cli.strategies`, about the past in `cli.research`. A command reads the settings, calls one function, and writes
what it returned; anything longer belongs elsewhere.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli import (
    account,
    alerts,
    backfill,
    bars,
    broker,
    canary,
    corporate_actions,
    dashboard,
    data,
    database,
    lineage,
    llm,
    order_requests,
    orders,
    parity,
    permission,
    quarantine,
    research,
    risk,
    strategies,
    universe,
    worker,
)
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import PlatformError

app = typer.Typer(
    help="An asset-based data and trading platform for Interactive Brokers, on Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
submitter_app = typer.Typer(help="The one process that sends orders.", no_args_is_help=True)
app.add_typer(submitter_app, name="submitter")
app.add_typer(broker.app, name="broker")
orders.register(app)
order_requests.register(app)
permission.register(app)
account.register(app)
lineage.register(app)
llm.register(app)
data.register(app)
database.register(app)
research.register(app)
quarantine.register(app)
bars.register(app)
backfill.register(app)
universe.register(app)
worker.register(app)
corporate_actions.register(app)
risk.register(app)
dashboard.register(app)
canary.register(app)
alerts.register(app)
strategies.register(app)
parity.register(app)

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="where everything is kept")] = None,
    start: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first session")] = None,
    sessions: Annotated[int, typer.Option(min=0, max=5000, help="sessions to replay")] = 60,
    speed: Annotated[float, typer.Option(min=0, help="run the market clock this fast after the replay")] = 0,
    strategies: Annotated[Path | None, typer.Option(help="YAML file of strategies")] = None,
    once: Annotated[bool, typer.Option("--once", help="replay, print the summary, stop everything, exit")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the embedded stack and replay real bars through it.

    Example: ibkr-assets up --once --sessions 5 --json
    """
    from ibkr_assets.stack.up import UpOptions
    from ibkr_assets.stack.up import up as run

    if data_dir is not None:
        os.environ["IBKR_ASSETS_DATA_DIR"] = str(data_dir)
    options = UpOptions(
        settings=configuration.load(),
        start=None if start is None else start.date(),
        sessions=sessions,
        speed=speed,
        strategies=strategies,
        once=once,
        as_json=as_json,
        entrance=dashboard.entrance,
    )
    raise typer.Exit(run(options))


@app.command()
def status(as_json: AsJson = False) -> None:
    """What runs, since when, on which port, in which mode.

    Example: ibkr-assets status --json
    """
    from ibkr_assets.stack.health import status as read

    report = read(configuration.load())
    if as_json:
        emit_json(report)
        return
    if not report["running"]:
        say(f"no stack runs on data_dir {report['data_dir']}; start one with `ibkr-assets up`")
        raise typer.Exit(1)
    emit(f"mode {report['mode']}, since {report['started_at']}, data in {report['data_dir']}")
    emit(table(report["processes"], ["name", "state", "pid", "port", "since", "url"]))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Every setting in force, redacted, and every dependency: reachable or not, and what to do about it.

    Example: ibkr-assets doctor
    """
    from ibkr_assets.stack.health import doctor as examine

    report = examine(configuration.load())
    if as_json:
        emit_json(report)
    else:
        emit(table(report["settings"], ["key", "value", "source"]))
        emit("")
        emit(table(report["checks"], ["name", "ok", "detail", "advice"]))
    if any(check["ok"] is False for check in report["checks"]):
        raise typer.Exit(75)


@app.command("env")
def env_() -> None:
    r"""The running stack's environment, as shell exports, for `dagster` and `mlflow` in another terminal.

    Example: eval "$(ibkr-assets env)"
    """
    from ibkr_assets.stack.health import env as read

    emit("\n".join(read(configuration.load())))


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def gateway(context: typer.Context) -> None:
    """The simulated gateway alone, in the foreground: IBKR's Web API over a replayed market.

    Example: ibkr-assets gateway --port 5000 --admin-port 5010 --admin-token secret
    """
    from ibkr_assets.adapters.logs import configure_logs
    from ibkr_assets.simulator.command import run

    configure_logs("gateway", level=logging.WARNING)
    # Its options are the simulator's own, read in one place for both of its commands.
    run(context.args, program="ibkr-assets gateway", port=5000, admin_port=5010)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def analyst(context: typer.Context) -> None:
    """A stand-in for a language model, in the foreground: OpenAI's chat completions over a fixed rule in disguise.

    Example: ibkr-assets analyst --port 5020
    """
    from ibkr_assets.simulator.analyst.command import run

    run(context.args, program="ibkr-assets analyst", port=5020)


@submitter_app.command("run")
def submitter_run() -> None:
    """Send approved orders, look after them, reconcile; in the foreground until stopped.

    Example: IBKR_ASSETS_MODE=sim ibkr-assets submitter run
    """
    import signal
    import threading

    from ibkr_assets import bootstrap_submitter
    from ibkr_assets.adapters.logs import configure_logs

    settings = configuration.load()
    configure_logs("submitter", settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    bootstrap_submitter.submitter(settings).run(stop)


def main() -> None:
    """Run one command. An expected error is one line on stderr and its own exit code."""
    try:
        app()
    except PlatformError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the command line's last line: whatever is left becomes exit 70
        if os.environ.get("IBKR_ASSETS_DEBUG"):
            traceback.print_exc()
        say(f"internal error: {type(error).__name__}: {error} (IBKR_ASSETS_DEBUG=1 shows where)")
        sys.exit(70)


if __name__ == "__main__":
    main()
