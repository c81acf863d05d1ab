"""Commands about the web page: run it, make a link that lets in once, and make a password's hash."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit
from ibkr_assets.domain.errors import Unavailable


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    dashboard = typer.Typer(help="The web page to run the platform from.", no_args_is_help=True)
    for name, command in (("run", dashboard_run), ("link", dashboard_link), ("password", dashboard_password)):
        dashboard.command(name)(command)
    app.add_typer(dashboard, name="dashboard")


def dashboard_run() -> None:
    """Serve the page, in the foreground until stopped; prints `ready http://...` when it listens.

    Example: ibkr-assets dashboard run
    """
    import logging

    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.logs import configure_logs
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.dashboard.server import serve
    from ibkr_assets.dashboard.sources import Sources
    from ibkr_assets.domain.order import account_ref
    from ibkr_assets.stack.checks import run_checks
    from ibkr_assets.stack.health import status
    from ibkr_assets.stack.state import read_state

    settings = configuration.load()
    configure_logs("dashboard", settings, level=logging.WARNING)
    # Pages are read by people who wait: what takes longer than this is told, not waited for.
    database = Database(
        bootstrap.database_url(settings),
        application_name="ibkr-assets dashboard",
        statement_timeout_s=5,
        lock_timeout_s=2,
    )
    sources = Sources(
        settings, database, account_ref(bootstrap.account(settings)), lambda: status(settings),
        # The broker's gateway is not asked: the page never reaches it.
        lambda: run_checks(settings, read_state(settings.data_dir.absolute()), without=frozenset({"gateway"})),
    )  # fmt: skip
    serve(settings, sources, lambda address: emit(f"ready {address}"))


def dashboard_link(
    role: Annotated[
        Literal["viewer", "operator", "arm"], typer.Option(help="what the link lets its bearer do")
    ] = "operator",
) -> None:
    """Make an address that lets in once, within 15 minutes; the one before it counts no more.

    Example: ibkr-assets dashboard link --role viewer
    """
    from ibkr_assets.stack.state import read_state

    settings = configuration.load()
    running = read_state(settings.data_dir.absolute())
    place = settings.dashboard
    address = (running or {"urls": {}})["urls"].get("dashboard") or f"http://{place.host}:{place.port}"
    if address.endswith(":0"):
        raise Unavailable("no dashboard runs on this data directory, and dashboard.port is 0: there is no address")
    emit(f"{address}{entrance(settings.data_dir, role)}")


def entrance(data_dir: Path, role: str = "arm") -> str:
    """A path of the dashboard that lets its bearer in once. Whoever can write the data directory may hand it out."""
    from ibkr_assets.dashboard.access import Role
    from ibkr_assets.dashboard.login import link_directory, make_link

    return f"/login/{make_link(link_directory(data_dir), Role[role.upper()], now=time.time())}"


def dashboard_password() -> None:
    """Ask for a password and print its hash, for `dashboard.users` of the settings.

    Example: ibkr-assets dashboard password
    """
    from ibkr_assets.dashboard.login import make_hash

    emit(make_hash(getpass.getpass("password: ")))
