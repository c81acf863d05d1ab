"""Commands about splits and special dividends: what is known, and who said so.

What goes here: reading options and showing. What does not: adjusting bars (`market.adjustment`).
"""

from __future__ import annotations

import dataclasses
import getpass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
    from ibkr_assets.market.adjustment import CorporateAction

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Symbol = Annotated[str, typer.Argument(help="the instrument's symbol")]
Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="the first session that trades without it")]
Kind = Annotated[str, typer.Argument(help="split or cash")]
Value = Annotated[str, typer.Argument(help="new shares for one old one, or the amount a share")]
Launched = Annotated[bool, typer.Option("--launch", help="have Dagster compute exactly these features again, and wait")]
Source = Annotated[str, typer.Option(help="who says so; it is kept")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    actions = typer.Typer(help="Splits and special dividends.", no_args_is_help=True)
    for name, command in (
        ("list", actions_list), ("add", actions_add), ("withdraw", actions_withdraw), ("detect", actions_detect),
    ):  # fmt: skip
        actions.command(name)(command)
    app.add_typer(actions, name="actions")


def actions_list(as_json: AsJson = False) -> None:
    """Every action that holds. Example: ibkr-assets actions list."""
    from ibkr_assets import bootstrap

    known = {one.conid: one.symbol for one in bootstrap.bar_store(configuration.load()).instruments()}
    rows = [{"symbol": known[one.conid], **dataclasses.asdict(one)} for one in _store().load(list(known))]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["symbol", "day", "kind", "value"]))


def actions_add(
    symbol: Symbol, day: Day, kind: Kind, value: Value, source: Source, is_launched: Launched = False
) -> None:
    """Store an action, or its correction, and say which stored features must be computed again, and how.

    A row is in the shares of its own day: those before the action stay as they are. With --launch Dagster computes them
    again at once.

    Example: ibkr-assets actions add MSFT 2003-02-18 split 2 --source issuer
    """
    action = _action(symbol, day, kind, value)
    is_new = _store().save(action, source=source, actor=getpass.getuser(), known_from=_now())
    say(f"{symbol} {day.date()}: {kind} {value} {'stored' if is_new else 'is known so'}")
    _compute_again(symbol, action, is_launched=is_launched)


def actions_withdraw(
    symbol: Symbol, day: Day, kind: Kind, value: Value, source: Source, is_launched: Launched = False
) -> None:
    """Take an action back; reads as of before still see it. What must be computed again is said as by `actions add`.

    Example: ibkr-assets actions withdraw MSFT 2003-02-18 split 2 --source issuer
    """
    action = _action(symbol, day, kind, value)
    _store().withdraw(action, source=source, actor=getpass.getuser(), known_from=_now())
    say(f"{symbol} {day.date()}: {kind} {value} taken back")
    _compute_again(symbol, action, is_launched=is_launched)


def actions_detect(
    symbols: Annotated[str | None, typer.Option(help="symbols, separated by commas; the universe without it")] = None,
    sessions: Annotated[int, typer.Option(min=10, max=1000, help="sessions fetched again")] = 60,
    as_json: AsJson = False,
) -> None:
    """Fetch the last sessions again and hold every instrument whose older bars came back in another scale; exit 1 then.

    One ratio on everything before a day is a split or a special dividend that the source has adjusted for. Nothing is
    booked: `actions add` does that, `quarantine lift` lets the instrument trade again.

    Example: ibkr-assets actions detect --symbols AAPL,MSFT
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.universe import PostgresUniverse
    from ibkr_assets.ingest.overlap import check_overlap

    settings = configuration.load()
    universe = PostgresUniverse(bootstrap.database(settings), settings.market.symbols)
    named = [one.strip() for one in symbols.split(",")] if symbols else universe.members([_now().date()])
    store = bootstrap.bar_store(settings)
    found = check_overlap(
        bootstrap.feeds(settings).own() or bootstrap.bar_source(settings), store, bootstrap.calendar(settings),
        instruments=store.instruments(named), clock=bootstrap.clock(settings), sessions=sessions,
    )  # fmt: skip
    rows = [
        {"symbol": one.instrument.symbol, **dataclasses.asdict(one.found), "is_known": one.is_known} for one in found
    ]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["symbol", "day", "kind", "value", "ratio", "bars", "is_known"]))
    if not all(one.is_known for one in found):
        raise typer.Exit(1)


def _compute_again(symbol: str, action: CorporateAction, *, is_launched: bool) -> None:
    """Show, or launch, the stored features that would come out otherwise with what is known of actions now."""
    from ibkr_assets import bootstrap
    from ibkr_assets.cli.recompute import launch, plan_steps
    from ibkr_assets.ingest.impact import find_outdated

    settings = configuration.load()
    store, calendar = bootstrap.bar_store(settings), bootstrap.calendar(settings)
    days = find_outdated(store, calendar, action.conid, since=action.day)
    if not days:
        say("no stored features would come out otherwise")
        return
    steps = plan_steps({"enriched_features": days}, [symbol], calendar)
    say(f"features of {len(days)} sessions, {days[0]} to {days[-1]}, would come out otherwise")
    if is_launched:
        launch(settings, steps, say)
    else:
        emit("\n".join(step.command for step in steps))


def _action(symbol: str, day: datetime, kind: str, value: str) -> CorporateAction:
    from ibkr_assets import bootstrap
    from ibkr_assets.market.adjustment import ActionKind, CorporateAction

    if kind not in list(ActionKind):
        raise InputError(f"kind: expected split or cash, got {kind!r}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise InputError(f"value: expected a number, got {value!r}") from None
    (instrument,) = bootstrap.bar_store(configuration.load()).instruments([symbol])
    return CorporateAction(instrument.conid, day.date(), ActionKind(kind), number)


def _now() -> datetime:
    from ibkr_assets import bootstrap

    return bootstrap.clock(configuration.load()).now()


def _store() -> PostgresCorporateActions:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions

    return PostgresCorporateActions(bootstrap.database(configuration.load()))
