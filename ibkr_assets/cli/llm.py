"""Commands about the language model: what was asked and answered, and what it cost.

What goes here: reading options and showing. What does not: asking (`execution.analyst`), and where requests are kept
(`adapters.postgres.llm_calls`).
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.text import visible

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="one UTC day")]
StrategyId = Annotated[str | None, typer.Option(help="of one strategy")]

_CALLS = [
    "call", "at", "strategy", "symbol", "bar", "sample", "outcome", "model", "tokens", "cost_usd", "latency_s",
]  # fmt: skip
_SPEND = [
    "day", "strategy_id", "model", "calls", "abstained", "prompt_tokens", "completion_tokens", "cost_usd",
    "in_flight_usd",
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    llm = typer.Typer(help="What was asked of a language model, and what it cost.", no_args_is_help=True)
    llm.command("calls")(llm_calls)
    llm.command("show")(llm_show)
    llm.command("spend")(llm_spend)
    app.add_typer(llm, name="llm")


def llm_calls(
    strategy: StrategyId = None,
    day: Day = None,
    run: Annotated[str | None, typer.Option(help="of one Dagster run")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the newest so many")] = 50,
    as_json: AsJson = False,
) -> None:
    """Requests, newest first. Example: ibkr-assets llm calls --strategy reviewed --limit 10."""
    from ibkr_assets import bootstrap

    kept = bootstrap.llm_calls(configuration.load())
    found = kept.calls(strategy_id=strategy, day=None if day is None else day.date(), run=run, limit=limit)
    if as_json:
        emit_json(found)
        return
    rows = [
        {
            "call": one.call_id, "at": f"{one.at:%m-%d %H:%M:%S}", "strategy": one.strategy_id, "symbol": one.symbol,
            "bar": one.bar_opened_at.date(), "sample": one.sample, "outcome": one.outcome,
            "model": one.model_answered or one.model_asked,
            "tokens": None if one.prompt_tokens is None else f"{one.prompt_tokens}+{one.completion_tokens}",
            "cost_usd": f"{one.cost_usd:f}{' (worst case)' if one.is_estimate else ''}",
            "latency_s": None if one.latency_s is None else f"{one.latency_s:.2f}",
        }
        for one in found
    ]  # fmt: skip
    emit(table(rows, _CALLS))


def llm_show(
    call: Annotated[int, typer.Argument(help="number of the request")],
    picture: Annotated[Path | None, typer.Option(help="write the picture that was shown to this file")] = None,
    as_json: AsJson = False,
) -> None:
    """One request: its prompt, its answer, its price. Example: ibkr-assets llm show 17 --picture seen.png."""
    from ibkr_assets import bootstrap

    kept = bootstrap.llm_calls(configuration.load())
    one = kept.call(call)
    if picture is not None and one.picture_sha256 is not None:
        picture.write_bytes(kept.picture(one.picture_sha256))
    if as_json:
        emit_json(one)
        return
    price = "no price known"
    if one.price_source is not None:
        price = (
            f"{one.input_usd_per_million} and {one.output_usd_per_million} USD a million tokens, {one.price_source}, "
            f"{one.price_as_of}"
        )
    worst = " (worst case)" if one.is_estimate else ""
    lines = [
        f"{one.strategy_id} version {one.strategy_version}, {one.symbol}, bar of {one.bar_opened_at:%Y-%m-%d}, "
        f"sample {one.sample}, attempt {one.attempt}: {one.outcome} {one.problem}".rstrip(),
        f"{one.model_asked} at {one.endpoint}, answered by {one.model_answered or 'nobody'}",
        json.dumps(one.settings),
        f"{one.cost_usd:f} USD{worst} for {one.prompt_tokens} and {one.completion_tokens} tokens: {price}",
        f"inputs {one.key}, instructions {one.template_sha256[:12]}, picture {(one.picture_sha256 or 'none')[:12]}",
    ]
    for message in one.messages:
        lines += ["", f"[{message['role']}]", *str(message["content"]).split("\n")]
    lines += ["", "[answer]", *(one.response or "none").split("\n")]
    emit("\n".join(map(visible, lines)))


def llm_spend(as_json: AsJson = False) -> None:
    """What was spent by UTC day, strategy and model, against the budgets. Example: ibkr-assets llm spend --json."""
    from ibkr_assets import bootstrap

    settings = configuration.load()
    rows = bootstrap.llm_calls(settings).spend()
    total = sum((row.cost_usd for row in rows), Decimal(0))
    if as_json:
        budgets = settings.llm.budgets
        emit_json({"rows": rows, "total_usd": total, "budgets": None if budgets is None else budgets.model_dump()})
        return
    emit(table([{name: getattr(row, name) for name in _SPEND} for row in rows], _SPEND))
    say(f"{total:f} USD in all")
