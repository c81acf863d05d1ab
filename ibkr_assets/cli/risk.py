"""Commands about the limits: which are in force, who changed them, and what others would have denied.

What goes here: reading options and showing. What does not: which limits are in force (`risk.changes`), the rules
(`risk.rules`) and the second review (`risk.what_if`). Nothing here changes a limit: that is the configuration's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.risk.changes import LimitsChange
    from ibkr_assets.risk.what_if import SecondReview

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Set = Annotated[list[str] | None, typer.Option("--set", help="another value of a limit, LIMIT=VALUE; more than once")]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first session")]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last session")]

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    risk = typer.Typer(help="The limits that every order must keep.", no_args_is_help=True)
    risk.command("limits")(risk_limits)
    risk.command("history")(risk_history)
    risk.command("what-if")(risk_what_if)
    app.add_typer(risk, name="risk")


def risk_limits(as_json: AsJson = False) -> None:
    """Every limit in force, with its unit and the rules that use it.

    Example: ibkr-assets risk limits
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.risk.changes import limits_in_force, takes_effect
    from ibkr_assets.risk.limits import unit_of
    from ibkr_assets.risk.rules import RULES
    from ibkr_assets.risk.stored import digest

    settings = configuration.load()
    configured = bootstrap.limits(settings)
    known = bootstrap.limits_store(settings).read(settings.mode)
    in_force = limits_in_force(known.history, configured, settings.mode, known.at)
    values, wanted = in_force.as_text(), configured.as_text()
    rows = []
    for name, value in values.items():
        used_by = [rule for rule in RULES.values() if name in rule.limits]
        rows.append({
            "limit": name, "in_force": value, "configured": wanted[name],
            "unit": unit_of(name),
            "rules": [f"{rule.id} {rule.code}" for rule in used_by],
        })  # fmt: skip
    waiting = None
    if in_force != configured:
        last = known.history[-1] if known.history else None
        is_noted = last is not None and last.sha256 == digest(configured)
        waiting = takes_effect(last.at if last is not None and is_noted else known.at)
    if as_json:
        emit_json({
            "mode": settings.mode, "sha256": digest(in_force), "configured_sha256": digest(configured),
            "configured_in_force_from": waiting, "limits": rows,
        })  # fmt: skip
        return
    shown = [row | {name: _plainly(row[name]) for name in ("in_force", "configured")} for row in rows]
    columns = ["limit", "in_force", "configured", "unit", "rules"]
    emit(table(shown, [name for name in columns if name != "configured" or waiting is not None]))
    say(f"mode {settings.mode}, version {digest(in_force)[:12]}")
    if waiting is not None:
        say(f"what was raised waits: version {digest(configured)[:12]} is in force from {waiting.isoformat()} on")


def _plainly(value: Any) -> Any:
    """A mapping as a person reads it; everything else is shown as it is."""
    return ", ".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, Mapping) else value


def risk_history(as_json: AsJson = False) -> None:
    """Every change of the limits that decisions were made by: when, by whom, from where, and what changed.

    Example: ibkr-assets risk history
    """
    from ibkr_assets import bootstrap

    rows = _changes(bootstrap.limits_store(configuration.load()).read(None).history)
    if as_json:
        emit_json(rows)
    else:
        shown = [row | {"sha256": row["sha256"][:12], "changed": _in_words(row["changed"])} for row in rows]
        emit(table(shown, ["at", "mode", "sha256", "actor", "origin", "changed"]))


def risk_what_if(
    changes: Set = None,
    start: From = None,
    end: To = None,
    as_json: AsJson = False,
) -> None:
    """Review past decisions again by other limits, from the facts stored with each: what would have been denied?

    Each decision is judged alone, by the limits it was made by with those of --set in their place.

    Example: ibkr-assets risk what-if --set max_order_value_usd=5000 --from 2012-10-01
    """
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.past_decisions import load_decisions
    from ibkr_assets.risk.what_if import Answer, parse_changes, review_again, sum_up

    if not changes:
        raise InputError("set: name at least one limit with --set LIMIT=VALUE")
    change = parse_changes(changes)
    past = load_decisions(
        bootstrap.database(configuration.load()), start.date() if start else None, end.date() if end else None
    )
    reviews = [review_again(decision, change) for decision in past]
    sums = [
        {"answer": s.answer, "code": s.code, "decisions": s.decisions, "usd": s.notional_usd} for s in sum_up(reviews)
    ]
    others = [_row(found) for found in reviews if found.answer is not Answer.SAME]
    if as_json:
        emit_json({"set": changes, "decisions": len(reviews), "sums": sums, "changed": others})
        return
    emit(table(sums, ["answer", "code", "decisions", "usd"]))
    if others:
        emit("")
        emit(table(others[:_SHOWN], ["session", "at", "answer", "code", "symbol", "side", "quantity", "usd", "text"]))
    if len(others) > _SHOWN:
        say(f"{len(others) - _SHOWN} more are in --json")


def _row(found: SecondReview) -> dict[str, Any]:
    intent = found.past.intent
    return {
        "client_order_id": found.past.client_order_id, "at": found.past.heard, "session": intent.session_date,
        "strategy": intent.strategy_id, "symbol": intent.symbol, "side": intent.side, "quantity": intent.quantity,
        "usd": found.notional_usd, "answer": found.answer, "code": found.code, "text": found.text,
    }  # fmt: skip


def _changes(history: Sequence[LimitsChange]) -> list[dict[str, Any]]:
    """One row a change, oldest first; `changed` is of the change before it in the same mode: name, old and new."""
    rows: list[dict[str, Any]] = []
    before: dict[str, Mapping[str, Any]] = {}
    for one in history:
        new, old = one.limits.as_text(), before.get(one.mode)
        changed = {} if old is None else {name: [old[name], new[name]] for name in new if old[name] != new[name]}
        rows.append({
            "at": one.at, "mode": one.mode, "sha256": one.sha256, "actor": one.actor, "origin": one.origin,
            "changed": changed, "is_first": old is None,
        })  # fmt: skip
        before[one.mode] = new
    return rows


def _in_words(changed: Mapping[str, Sequence[Any]]) -> str:
    return "; ".join(f"{name}: {old} to {new}" for name, (old, new) in changed.items())
