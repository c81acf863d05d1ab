"""Commands about the language model's canary: record its answers to fixed questions, and see whether it is the same."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, table
from ibkr_assets.domain.errors import ConfigurationError, InputError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.domain.analysis import Abstention
    from ibkr_assets.execution.canary import Canary
    from ibkr_assets.strategies.canary import CanaryRun

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
Model = Annotated[str | None, typer.Option(help="another model than that of the settings")]
_COLUMNS = ["question", "direction", "strength", "answered_by"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    canary = typer.Typer(help="Whether the language model is still the one that was recorded.", no_args_is_help=True)
    canary.command("record")(record)
    canary.command("check")(check)
    app.add_typer(canary, name="canary")


def record(model: Model = None, as_json: AsJson = False) -> None:
    """Ask the fixed questions and trust the model that answers them, until its answers change.

    Example: ibkr-assets canary record
    """
    canary, model = _canary(model)
    _tell(canary.record(model, getpass.getuser()), as_json=as_json)


def check(model: Model = None, as_json: AsJson = False) -> None:
    """Ask the fixed questions and compare; exit 1 where the model is another one, which abstains from then on.

    Example: ibkr-assets canary check
    """
    canary, model = _canary(model)
    run = canary.check(model, getpass.getuser())
    if run is None:
        raise InputError(f"model {model}: nothing was recorded of it; `ibkr-assets canary record` does")
    if _tell(run, as_json=as_json).verdict == "changed":
        raise typer.Exit(1)


def _canary(model: str | None) -> tuple[Canary, str]:
    from ibkr_assets import bootstrap
    from ibkr_assets.execution.canary import WatchedAnalyst

    settings = configuration.load()
    analysts = bootstrap.analysts(settings)
    if analysts is None:
        raise ConfigurationError("llm.base_url: not set, there is no language model to ask")
    watched = analysts("canary", 1)
    assert isinstance(watched, WatchedAnalyst)
    return watched.canary, model or settings.llm.model or ""


def _tell(run: CanaryRun | Abstention, *, as_json: bool) -> CanaryRun:
    from ibkr_assets.domain.analysis import Abstention

    if isinstance(run, Abstention):
        raise Unavailable(f"model: {run.text} ({run.code.value})")
    answers: list[dict[str, Any]] = [
        {"question": number, "direction": one.direction, "strength": one.strength, "answered_by": one.model}
        for number, one in enumerate(run.answers, start=1)
    ]
    if as_json:
        emit_json({"model": run.model, "verdict": run.verdict, "difference": run.difference, "answers": answers})
    else:
        emit(f"{run.model}: {run.verdict}{': ' * bool(run.difference)}{run.difference}")
        emit(table(answers, _COLUMNS))
    return run
