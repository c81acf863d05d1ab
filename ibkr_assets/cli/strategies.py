"""Commands about the strategies of the database: what there is, what was, and how one is changed.

What goes here: reading options, showing, and asking for a change. What does not: what a strategy must be before it is
stored (`execution.adoption`) and the form of the file (`adapters.strategies_file`). A change is the next version, and
is in force at the next run: nothing is restarted.
"""

from __future__ import annotations

import dataclasses
import difflib
import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
    from ibkr_assets.ports import StrategyRecord
    from ibkr_assets.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]
StrategyId = Annotated[str, typer.Argument(help="the strategy's id")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="check, show what would change, and store nothing")]
_COLUMNS = ["id", "version", "kind", "params", "symbols", "schedule", "sizing", "risk", "is_enabled"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    strategies = typer.Typer(help="Strategies of the database.", no_args_is_help=True)
    for name, command in (
        ("list", strategies_list), ("show", strategies_show), ("history", strategies_history),
        ("add", strategies_add), ("import", strategies_import), ("export", strategies_export),
        ("edit", strategies_edit), ("enable", strategies_enable), ("disable", strategies_disable),
        ("kinds", strategies_kinds),
    ):  # fmt: skip
        strategies.command(name)(command)
    app.add_typer(strategies, name="strategies")


def strategies_list(as_json: AsJson = False) -> None:
    """Every strategy, newest version.

    Example: ibkr-assets strategies list
    """
    rows = [dataclasses.asdict(record) for record in _store(configuration.load()).strategies()]
    if as_json:
        emit_json(rows)
    else:
        emit(table(rows, _COLUMNS))


def strategies_show(
    strategy_id: StrategyId,
    version: Annotated[int | None, typer.Option(min=1, help="this version; the newest without")] = None,
) -> None:
    """One strategy, as JSON.

    Example: ibkr-assets strategies show sma_cross_10_30 --version 1
    """
    store = _store(configuration.load())
    emit_json(store.strategy(strategy_id) if version is None else store.version(strategy_id, version))


def strategies_history(strategy_id: StrategyId, as_json: AsJson = False) -> None:
    """Every version of a strategy: when, by whom, and what it changed.

    Example: ibkr-assets strategies history sma_cross_10_30
    """
    from ibkr_assets.adapters.strategies_file import as_entry

    history = _store(configuration.load()).history(strategy_id)
    rows: list[dict[str, Any]] = []
    before: dict[str, Any] = {}
    for version in history:
        entry = as_entry(version.record)
        rows.append({
            "version": version.record.version, "at": version.at, "actor": version.actor,
            "changed": {name: {"from": before.get(name), "to": value}
                        for name, value in entry.items() if before and before[name] != value},
        })  # fmt: skip
        before = entry
    if as_json:
        emit_json([row | {"strategy": version.record} for row, version in zip(rows, history, strict=True)])
        return
    for row in rows:
        words = [f"{name}: {change['from']} -> {change['to']}" for name, change in row["changed"].items()]
        row["changed"] = "; ".join(words) or "first"
    emit(table(rows, ["version", "at", "actor", "changed"]))


def strategies_add(
    file: Annotated[Path, typer.Option(help="YAML list of strategies")], dry_run: DryRun = False
) -> None:
    """Store the strategies of a file; one that differs from what is there becomes a new version.

    All are checked first, and none is stored where one is refused. The next run trades what is enabled.

    Example: ibkr-assets strategies add --file strategies.yaml
    """
    from ibkr_assets.adapters.strategies_file import read_strategies

    _save(configuration.load(), read_strategies(file), is_rehearsed=dry_run)


def strategies_import(
    file: Annotated[Path, typer.Argument(help="YAML list of strategies, as `export` writes it")],
    dry_run: DryRun = False,
) -> None:
    """The same as `add --file`.

    Example: ibkr-assets strategies import strategies.yaml --dry-run
    """
    strategies_add(file, dry_run=dry_run)


def strategies_export(
    strategy_ids: Annotated[list[str] | None, typer.Argument(help="only these; all without")] = None,
    out: Annotated[Path | None, typer.Option(help="file to write; stdout without")] = None,
) -> None:
    """Strategies as YAML, in the form that `add` and `up --strategies` read.

    Example: ibkr-assets strategies export --out strategies.yaml
    """
    from ibkr_assets.adapters.strategies_file import write_strategies

    store = _store(configuration.load())
    records = [store.strategy(name) for name in strategy_ids] if strategy_ids else store.strategies()
    text = write_strategies(records)
    if out is None:
        emit(text.removesuffix("\n"))
    else:
        out.write_text(text, encoding="utf-8")
        say(f"{len(records)} strategies written to {out}")


def strategies_edit(
    strategy_id: StrategyId,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="field=value as YAML, params.fast=12; without, an editor opens")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Change a strategy, show the difference, and store it as the next version.

    Example: ibkr-assets strategies edit sma_cross_10_30 --set params.fast=12 --set sizing=percent:5
    """
    from ibkr_assets.adapters.strategies_file import as_entry, read_entry

    settings = configuration.load()
    record = _store(settings).strategy(strategy_id)
    where = Path(strategy_id)
    entry = as_entry(record)
    edited = _edit(record) if changes is None else _apply(entry, changes)
    changed = read_entry(where, 1, edited)
    if changed.id != strategy_id:
        raise InputError(f"id {changed.id!r}: a strategy keeps its id, {strategy_id}; add the other one as its own")
    _save(settings, [changed], is_rehearsed=dry_run)


def strategies_enable(strategy_id: StrategyId) -> None:
    """Let a strategy run.

    Example: ibkr-assets strategies enable sma_cross_10_30
    """
    _switch(strategy_id, is_enabled=True)


def strategies_disable(strategy_id: StrategyId) -> None:
    """Let a strategy run no more; its positions stay.

    Example: ibkr-assets strategies disable sma_cross_10_30
    """
    _switch(strategy_id, is_enabled=False)


def strategies_kinds(as_json: AsJson = False) -> None:
    """The kinds of strategy there are, the user's own included, and their parameters with defaults and bounds.

    Example: ibkr-assets strategies kinds
    """
    from pydantic_core import to_jsonable_python

    from ibkr_assets.strategies.registry import all_kinds

    kinds = all_kinds(configuration.load().strategies.directory)
    if as_json:
        emit_json({name: kind.params.model_json_schema() for name, kind in kinds.items()})
        return
    rows = [
        {"kind": name, "parameter": field, "default": to_jsonable_python(info.get_default(call_default_factory=True)),
         "type": getattr(info.annotation, "__name__", str(info.annotation)),
         "bounds": ", ".join(str(bound) for bound in info.metadata if "Strict" not in str(bound))}
        for name, kind in kinds.items() for field, info in kind.params.model_fields.items()
    ]  # fmt: skip
    emit(table(rows, ["kind", "parameter", "type", "default", "bounds"]))


def _switch(strategy_id: str, *, is_enabled: bool) -> None:
    settings = configuration.load()
    record = dataclasses.replace(_store(settings).strategy(strategy_id), is_enabled=is_enabled)
    if is_enabled:
        _check(settings, [record])
    _store(settings).save_strategies([record], actor=getpass.getuser())
    say(f"{strategy_id} is {'enabled' if is_enabled else 'disabled'}")


def _save(settings: Settings, records: Sequence[StrategyRecord], *, is_rehearsed: bool) -> None:
    """Check all, show what changes, and store unless it is a rehearsal."""
    _check(settings, records)
    store = _store(settings)
    known = {record.id: record for record in store.strategies()}
    for record in records:
        difference = _difference(known.get(record.id), record)
        if difference:
            emit(difference)
    if is_rehearsed:
        say("nothing is stored: --dry-run")
        return
    written = store.save_strategies(records, actor=getpass.getuser())
    say(f"{written} of {len(records)} strategies written, the others are as they were")


def _check(settings: Settings, records: Sequence[StrategyRecord]) -> None:
    from ibkr_assets import bootstrap
    from ibkr_assets.execution.adoption import check_strategy, forewarn

    limits = bootstrap.limits_store(settings).known_in_force(bootstrap.limits(settings), settings.mode)
    directory, has_model = settings.strategies.directory, settings.llm.is_configured
    for record in records:
        check_strategy(record, limits=limits, account=settings.account, directory=directory, has_model=has_model)
        for warning in forewarn(record, limits):
            say(warning)


def _difference(old: StrategyRecord | None, new: StrategyRecord) -> str:
    """Both as the file has them, line by line; empty where they are the same."""
    from ibkr_assets.adapters.strategies_file import write_strategies

    before = "" if old is None else write_strategies([old])
    name = "nothing" if old is None else f"{old.id} version {old.version}"
    version = 1 if old is None else old.version + 1
    lines = difflib.unified_diff(
        before.splitlines(), write_strategies([new]).splitlines(), name, f"{new.id} version {version}", lineterm=""
    )
    return "\n".join(lines)


def _edit(record: StrategyRecord) -> Any:
    """The entry as a person left it in the editor."""
    import click
    import yaml

    from ibkr_assets.adapters.strategies_file import write_strategies

    text = click.edit(write_strategies([record]), extension=".yaml")
    if text is None:
        raise InputError(f"edit {record.id}: the editor was left without saving")
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"edit {record.id}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(entries, list) or len(entries) != 1:
        raise InputError(f"edit {record.id}: expected a list of this one strategy")
    return entries[0]


def _apply(entry: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The entry with `field=value` or `params.name=value` in place; an empty value takes a parameter away."""
    import yaml

    edited = {name: dict(value) if isinstance(value, dict) else value for name, value in entry.items()}
    for text in changes:
        path, equals, value = text.partition("=")
        field, dot, key = path.strip().partition(".")
        if not equals or field not in edited or (dot and not isinstance(edited[field], dict)):
            raise InputError(f"set {text!r}: expected field=value, params.name=value; fields: {', '.join(edited)}")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"set {text!r}: the value is not valid YAML") from None
        if not dot:
            edited[field] = parsed
        elif value:
            edited[field][key] = parsed
        else:
            edited[field].pop(key, None)
    return edited


def _store(settings: Settings) -> PostgresStrategies:
    from ibkr_assets import bootstrap

    return bootstrap.strategy_store(settings)
