"""The command that holds past decisions beside what became of them.

What goes here: which sessions, and showing. What does not: the comparison (`execution.parity`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import Mode

if TYPE_CHECKING:
    from ibkr_assets.execution.parity import SessionParity

Day = Annotated[
    datetime | None,
    typer.Option("--session", formats=["%Y-%m-%d"], help="the session decided on; without, the newest that is over"),
]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
_DIFFERS = 1


def register(app: typer.Typer) -> None:
    """Add the command of this module to the command line."""
    app.command()(parity)


def parity(
    session: Day = None,
    sessions: Annotated[int, typer.Option(min=1, max=5000, help="so many sessions, up to that one")] = 1,
    as_json: AsJson = False,
) -> None:
    """Trade past decisions again in the backtest, and explain in money what really happened otherwise.

    Exits 1 where anything differs or cannot be compared.

    Example: ibkr-assets parity --session 2012-10-01 --json
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.backtest.parity import CAUSES

    settings = configuration.load()
    if settings.mode is Mode.DRY_RUN:
        raise InputError("mode dry_run: nothing is sent in it, so there is nothing to compare")
    work, now, calendar = bootstrap.parity(settings), bootstrap.clock(settings).now(), bootstrap.calendar(settings)
    last = session.date() if session is not None else work.last_day(now)
    days = [known.day for known in [*calendar.sessions_before(last, sessions - 1), calendar.session(last)]]
    found = [work.compare(day, now) for day in days]
    is_exact = all(of_day.is_exact for of_day in found)
    if as_json:
        emit_json({"is_exact": is_exact, "total_usd": _usd(sum(d.total_usd for d in found)),
                   "sessions": [_document(of_day) for of_day in found]})  # fmt: skip
    else:
        rows = [
            {"session": of_day.day, "decisions": len(of_day.comparisons), "uncompared": len(of_day.uncompared),
             **{name: _usd(amount) for name, amount in of_day.by_cause().items()}, "total": _usd(of_day.total_usd)}
            for of_day in found
        ]  # fmt: skip
        emit(table(rows, ["session", "decisions", "uncompared", *CAUSES, "total"]))
        for of_day in found:
            for one in of_day.comparisons:
                if not one.is_exact:
                    say(f"{of_day.day} {one.strategy_id} {one.symbol}: {one.words}")
            for strategy_id, symbol, why in of_day.uncompared:
                say(f"{of_day.day} {strategy_id} {symbol}: not compared: {why}")
    if not is_exact:
        raise typer.Exit(_DIFFERS)


def _document(of_day: SessionParity) -> dict[str, Any]:
    return {
        "session": of_day.day, "is_exact": of_day.is_exact, "total_usd": _usd(of_day.total_usd),
        "causes_usd": {cause: _usd(amount) for cause, amount in of_day.by_cause().items()},
        "decisions": [
            {"strategy": one.strategy_id, "symbol": one.symbol, "is_exact": one.is_exact, "total_usd": _usd(one.total),
             "words": one.words, "note": one.note, "expected": one.expected, "fills": one.fills}
            for one in of_day.comparisons
        ],
        "uncompared": [dict(zip(("strategy", "symbol", "why"), row, strict=True)) for row in of_day.uncompared],
    }  # fmt: skip


def _usd(amount: object) -> str:
    return f"{amount:.2f}"
