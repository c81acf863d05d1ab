"""A strategy as somebody writes it into a form: every field as text, and what is wrong with which of them.

What goes here: from text to a record and back, and the difference between two records. What does not: what a strategy
may be (`adapters.strategies_file` for its form, `execution.adoption` for whether it could run here): the command line
asks the same two.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from ibkr_assets import bootstrap
from ibkr_assets.adapters.strategies_file import parse_entry, write_strategies
from ibkr_assets.execution.adoption import find_problems, forewarn

if TYPE_CHECKING:
    from ibkr_assets.ports import StrategyRecord
    from ibkr_assets.settings import Settings

#: Which field of the form a problem stands beside; parts of a field (`params.fast`) stand beside the whole.
FIELDS = ("id", "kind", "params", "symbols", "bar_size", "schedule", "sizing", "risk", "account", "enabled", "dry_run")


@dataclass(frozen=True, slots=True)
class Draft:
    """The form's fields as they were typed. `params` and `risk` are YAML mappings, `symbols` parted by commas."""

    id: str = ""
    kind: str = "sma_cross"
    params: str = ""
    symbols: str = ""
    bar_size: str = "1d"
    schedule: str = "after_close"
    sizing: str = "percent:5"
    risk: str = ""
    account: str = ""
    enabled: bool = False
    dry_run: bool = False


def draft_of(record: StrategyRecord) -> Draft:
    """A stored strategy as the form shows it."""
    return Draft(
        id=record.id, kind=record.kind, params=_mapping_text(record.params), symbols=", ".join(record.symbols),
        bar_size=record.bar_size, schedule=record.schedule, sizing=record.sizing, risk=_mapping_text(record.risk),
        account=record.account or "", enabled=record.is_enabled, dry_run=record.is_dry_run,
    )  # fmt: skip


def read_draft(draft: Draft, settings: Settings) -> tuple[StrategyRecord | None, dict[str, str], list[str]]:
    """The record, or problems by field; and warnings where there are none. Reads the limits that are in force."""
    problems: dict[str, str] = {}
    entry: dict[str, Any] = {
        "id": draft.id.strip(), "kind": draft.kind.strip(), "symbols": draft.symbols.upper().replace(",", " ").split(),
        "bar_size": draft.bar_size.strip(), "schedule": draft.schedule.strip(), "sizing": draft.sizing.strip(),
        "account": draft.account.strip() or None, "enabled": draft.enabled, "dry_run": draft.dry_run,
    }  # fmt: skip
    for name, text in (("params", draft.params), ("risk", draft.risk)):
        entry[name], problem = read_mapping(text)
        if problem:
            problems[name] = problem
    record, wrong = parse_entry(entry)
    for field, text in wrong.items():
        problems.setdefault(field.partition(".")[0], f"{field}: {text}" if "." in field else text)
    if record is None or problems:
        return None, problems, []
    limits = bootstrap.limits_store(settings).known_in_force(bootstrap.limits(settings), settings.mode)
    problems = find_problems(
        record, limits=limits, account=settings.account, directory=settings.strategies.directory,
        has_model=settings.llm.is_configured,
    )  # fmt: skip
    return (None, problems, []) if problems else (record, {}, forewarn(record, limits))


def differences(old: StrategyRecord | None, new: StrategyRecord) -> list[tuple[str, str]]:
    """Both as a file has them, line by line: `+`, `-` or a blank, and the line. Empty where they are the same."""
    before = [] if old is None else write_strategies([old]).splitlines()
    after = write_strategies([new]).splitlines()
    lines = [(line[0], line[2:]) for line in difflib.ndiff(before, after) if line[0] != "?"]
    return lines if any(sign != " " for sign, _ in lines) else []


def _mapping_text(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).strip() if value else ""


def read_mapping(text: str) -> tuple[dict[str, Any], str]:
    """A YAML mapping of names to values, and what is wrong with it. References are refused: a few lines of them
    could stand for more than a machine holds.
    """
    try:
        tokens = list(yaml.scan(text))
        if any(isinstance(token, yaml.AliasToken | yaml.AnchorToken) for token in tokens):
            return {}, "& and * (references) are not taken here"
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        return {}, f"{where}not valid YAML; expected lines of name: value"
    if value is None:
        return {}, ""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return {}, f"expected lines of name: value, got {type(value).__name__}"
    return value, ""
