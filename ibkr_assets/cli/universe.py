"""Commands about the universe: which symbols the chain looks at where a run names none.

What goes here: reading options and showing. What does not: the rule (`market.universe`).
"""

from __future__ import annotations

import dataclasses
import getpass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.universe import PostgresUniverse

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Symbols = Annotated[list[str], typer.Argument(help="symbols, in capitals")]
Reason = Annotated[str, typer.Option(help="why; it is kept")]
From = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], help="the first session it holds for; today's without it"),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    universe = typer.Typer(help="Which symbols the chain looks at.", no_args_is_help=True)
    for name, command in (
        ("list", universe_list), ("add", universe_add), ("remove", universe_remove), ("history", universe_history),
    ):  # fmt: skip
        universe.command(name)(command)
    app.add_typer(universe, name="universe")


def universe_list(
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the day; today without it")] = None,
    as_json: AsJson = False,
) -> None:
    """The members of a day, and where each comes from. Example: ibkr-assets universe list --on 2012-11-21."""
    day = _day(on)
    store, configured = _store(), configuration.load().market.symbols
    newest = {change.symbol: change for change in store.changes() if change.day <= day}
    rows = [
        {"symbol": symbol, "since": newest[symbol].day, "by": newest[symbol].actor, "reason": newest[symbol].reason}
        if symbol in newest and symbol not in configured
        else {"symbol": symbol, "since": None, "by": "settings (market.symbols)", "reason": None}
        for symbol in store.members([day])
    ]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["symbol", "since", "by", "reason"]))


def universe_add(symbols: Symbols, reason: Reason, start: From = None) -> None:
    """Add symbols from a session on; the next run looks at them, nothing has to be restarted.

    Example: ibkr-assets universe add NVDA AMD --from 2012-06-01 --reason "semiconductors"
    """
    _change(symbols, reason, start, is_member=True)


def universe_remove(symbols: Symbols, reason: Reason, start: From = None) -> None:
    """Take symbols out from a session on; runs of earlier sessions still see them.

    Example: ibkr-assets universe remove FB --from 2012-12-03 --reason "merger"
    """
    _change(symbols, reason, start, is_member=False)


def universe_history(as_json: AsJson = False) -> None:
    """Every change, in the order it was said. Example: ibkr-assets universe history."""
    rows = [dataclasses.asdict(change) for change in _store().changes()]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, ["id", "symbol", "is_member", "day", "actor", "changed_at", "reason"]))


def _change(symbols: list[str], reason: str, start: datetime | None, *, is_member: bool) -> None:
    day, store = _day(start), _store()
    word = "a member" if is_member else "no member"
    for symbol in symbols:
        is_new = store.change(symbol, is_member=is_member, day=day, reason=reason, actor=getpass.getuser())
        say(f"{symbol}: {word} from {day} on" if is_new else f"{symbol}: is {word} on {day} already")


def _day(given: datetime | None) -> date:
    """The market's own day where none is given."""
    if given is not None:
        return given.date()
    from ibkr_assets import bootstrap

    return bootstrap.clock(configuration.load()).now().date()


def _store() -> PostgresUniverse:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.universe import PostgresUniverse

    settings = configuration.load()
    return PostgresUniverse(bootstrap.database(settings), settings.market.symbols)
