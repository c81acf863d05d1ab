"""Commands about bars that never came, and about when contracts trade.

What goes here: reading options and showing. What does not: the sweep (`ingest.sweep`), the comparison of hours
(`ingest.hours`), and the register of gaps as it stands (`cli.bars`, `bars gaps`).
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Symbols = Annotated[str | None, typer.Option(help="symbols, separated by commas; all without it")]


def add_to(bars: typer.Typer) -> None:
    """Add the commands of this module to the family `bars`."""
    bars.command("sweep")(bars_sweep)
    bars.command("listed")(bars_listed)
    bars.command("hours")(bars_hours)


def bars_sweep(
    symbols: Symbols = None,
    days: Annotated[int, typer.Option(min=1, help="calendar days to look back")] = 30,
    budget: Annotated[int, typer.Option(min=1, help="requests for history at most")] = 600,
    as_json: AsJson = False,
) -> None:
    """Ask the broker again for sessions that lack bars, and judge what comes; five times each, at growing intervals.

    Exits 1 when a gap was given up now or a request refused. Example: ibkr-assets bars sweep --days 30
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.ingest.sweep import sweep_gaps

    settings = configuration.load()
    store = bootstrap.bar_store(settings)
    report = sweep_gaps(
        bootstrap.bar_source(settings),
        store,
        store,
        bootstrap.calendar(settings),
        instruments=store.instruments(None if symbols is None else [one.strip() for one in symbols.split(",")]),
        clock=bootstrap.clock(settings),
        progress=say,
        days=days,
        budget=budget,
        raise_alert=bootstrap.alerts(settings, "sweep").raise_alert,
    )
    figures = dataclasses.asdict(report)
    if as_json:
        emit_json(figures)
    else:
        shown = {**figures, "given_up": len(report.given_up), "failed": len(report.failed)}
        emit(table([{"what": name, "count": value} for name, value in shown.items()], ["what", "count"]))
        for symbol, day in report.given_up:
            say(f"{symbol} {day}: asked for five times in vain; the vendor has no bar")
        for symbol, why in sorted(report.failed.items()):
            say(f"{symbol}: {why}")
    if report.given_up or report.failed:
        raise typer.Exit(1)


def bars_listed(
    symbol: Annotated[str, typer.Argument(help="a symbol that is known")],
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="the first day it was traded")],
) -> None:
    """Say since when an instrument is traded: bars of earlier days are kept back from the next judgement on.

    Example: ibkr-assets bars listed FB 2012-05-18
    """
    from ibkr_assets import bootstrap

    store = bootstrap.bar_store(configuration.load())
    known = store.instruments([symbol])
    store.save_listings({known[0].conid: day.date()})
    say(f"{symbol} is listed since {day.date()}")


def bars_hours(
    symbols: Symbols = None,
    ask: Annotated[bool, typer.Option("--ask/--stored", help="ask the broker now, or show what was found")] = True,
    everything: Annotated[bool, typer.Option("--all", help="also differences that were settled")] = False,
    as_json: AsJson = False,
) -> None:
    """Days on which the broker and the exchange's calendar differ about when a contract trades.

    Such a day has no orders of that contract. Exits 1 when any differs. Example: ibkr-assets bars hours --stored
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.hours import PostgresHours
    from ibkr_assets.ingest.hours import check_hours

    settings = configuration.load()
    register = PostgresHours(bootstrap.database(settings))
    wanted = None if symbols is None else [one.strip() for one in symbols.split(",")]
    if ask:
        report = check_hours(
            bootstrap.bar_source(settings),
            register,
            bootstrap.calendar(settings),
            instruments=bootstrap.bar_store(settings).instruments(wanted),
            clock=bootstrap.clock(settings),
            progress=say,
        )
        for symbol, why in sorted(report.untold.items()):
            say(f"{symbol}: {why}")
    found = [one for one in register.load_hours(is_settled=everything) if wanted is None or one.symbol in wanted]
    rows = [dataclasses.asdict(one) for one in found]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["symbol", "session", "calendar", "calendar_hours", "broker_hours", "found_at", "settled_at"]))
    if any(one.settled_at is None for one in found):
        raise typer.Exit(1)
