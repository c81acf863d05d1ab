"""The command that takes runs on another machine. What a run does is Dagster's code location's matter."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit
from ibkr_assets.domain.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    worker = typer.Typer(help="A process that executes Dagster's runs on this machine.", no_args_is_help=True)
    worker.callback()(lambda: None)
    worker.command("run")(worker_run)
    app.add_typer(worker, name="worker")


def worker_run(
    processes: Annotated[int, typer.Option(help="runs at a time", min=1, max=64)] = 2,
    name: Annotated[str, typer.Option(help="what Dagster calls it, beside the machine")] = "worker",
) -> None:
    """Take runs from the broker of `cluster.broker_url`, in the foreground until stopped. It can send no order.

    DAGSTER_HOME holds the same dagster.yaml as the daemon's.

    Example: IBKR_ASSETS__CLUSTER__BROKER_URL=redis://:password@broker:6379/0 ibkr-assets worker run --processes 4
    """
    settings = configuration.load()
    if settings.cluster.broker_url is None:
        raise ConfigurationError("cluster.broker_url: not set; name the broker that the daemon hands its runs to")
    if not os.environ.get("DAGSTER_HOME"):
        raise ConfigurationError("DAGSTER_HOME: not set; a worker reports to the daemon's storage")
    try:
        from ibkr_assets.stack.cluster import run_worker
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed; install ibkr-assets[cluster]") from None
    emit(f"ready {name}@{socket.gethostname()}: {processes} runs at a time")
    run_worker(settings.cluster.broker_url.get_secret_value(), name=name, processes=processes)
