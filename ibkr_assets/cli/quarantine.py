"""Commands about bars that validation kept back, and about instruments that are held.

What goes here: reading options and showing. What does not: the decisions themselves
(`adapters.postgres.quarantine`), and judging (`market.validation`).
"""

from __future__ import annotations

import dataclasses
import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Ids = Annotated[list[str], typer.Argument(help="ids as `quarantine list` shows them")]
Reason = Annotated[str, typer.Option(help="why; it is kept")]
Symbol = Annotated[str, typer.Argument(help="the instrument's symbol")]

_COLUMNS = ["id", "symbol", "bar_size", "opened_at", "open", "high", "low", "close", "volume", "found", "decision"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    quarantine = typer.Typer(
        help="Bars that validation kept back, and instruments that are held.", no_args_is_help=True
    )
    for name, command in (
        ("list", quarantine_list), ("show", quarantine_show), ("release", quarantine_release),
        ("reject", quarantine_reject), ("holds", quarantine_holds), ("hold", quarantine_hold),
        ("lift", quarantine_lift),
    ):  # fmt: skip
        quarantine.command(name)(command)
    app.add_typer(quarantine, name="quarantine")


def quarantine_list(
    symbol: Annotated[str | None, typer.Option(help="only of this symbol")] = None,
    everything: Annotated[bool, typer.Option("--all", help="also what was decided on")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits for a decision, with the reason. Example: ibkr-assets quarantine list --symbol IBM."""
    cases = [dataclasses.asdict(case) for case in _store().cases(symbol=symbol, is_decided=everything)]
    if as_json:
        emit_json(cases)
    else:
        emit(table([{**case, **case["values"]} for case in cases], _COLUMNS))


def quarantine_show(identity: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One row with its values, its reason in words, and the last decision, as JSON.

    Example: ibkr-assets quarantine show 8314-1d-20121121T143000Z-1
    """
    from ibkr_assets.market.reasons import describe

    case = _store().case(identity)
    emit_json({**dataclasses.asdict(case), "meaning": describe(case.found)})


def quarantine_release(ids: Ids, reason: Reason, as_json: AsJson = False) -> None:
    """Declare bars right: they count as validated from now on. Lists what has to be computed again; computes nothing.

    Example: ibkr-assets quarantine release 8314-1d-20121121T143000Z-1 --reason "agrees with the exchange's own file"
    """
    _decide("release", ids, reason, as_json=as_json)


def quarantine_reject(ids: Ids, reason: Reason, as_json: AsJson = False) -> None:
    """Declare rows wrong indeed: they stay out, and no later judgement takes them in.

    Example: ibkr-assets quarantine reject row-17 --reason "bad tick"
    """
    _decide("reject", ids, reason, as_json=as_json)


def quarantine_holds(as_json: AsJson = False) -> None:
    """Instruments that may not be traded, and why. Example: ibkr-assets quarantine holds."""
    holds = [dataclasses.asdict(hold) for hold in _store().holds()]
    if as_json:
        emit_json(holds)
    else:
        emit(table(holds, ["symbol", "conid", "reason", "actor", "since"]))


def quarantine_hold(symbol: Symbol, reason: Reason) -> None:
    """Keep an instrument from trading. Example: ibkr-assets quarantine hold IBM --reason "merger announced"."""
    _store().hold(_conid(symbol), actor=getpass.getuser(), reason=reason)
    say(f"{symbol} is held: {reason}")


def quarantine_lift(symbol: Symbol, reason: Reason) -> None:
    """Let a held instrument trade again; the bars that were the cause are decided on by themselves.

    Example: ibkr-assets quarantine lift IBM --reason "the split is booked"
    """
    standing = _store().lift(_conid(symbol), actor=getpass.getuser(), reason=reason)
    say(f"{symbol} may be traded again; reasons that stood: {standing}")


def _decide(word: str, ids: list[str], reason: str, *, as_json: bool) -> None:
    from ibkr_assets.market.quarantine import Decision

    decided = _store().decide(ids, Decision(word), actor=getpass.getuser(), reason=reason)
    if as_json:
        emit_json(dataclasses.asdict(decided))
        return
    emit(
        table([{"asset": a, "partitions": d} for a, d in decided.recompute.partitions.items()], ["asset", "partitions"])
    )
    signals = [dict(zip(("session", "strategy", "symbol"), row, strict=True)) for row in decided.recompute.signals]
    emit(table(signals, ["session", "strategy", "symbol"]))
    say(f"{word}: {len(decided.changed)} new, {len(decided.unchanged)} decided so before; nothing was computed again")


def _store() -> PostgresQuarantine:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine

    return PostgresQuarantine(bootstrap.database(configuration.load()))


def _conid(symbol: str) -> int:
    from ibkr_assets import bootstrap

    return bootstrap.bar_store(configuration.load()).instruments([symbol])[0].conid
