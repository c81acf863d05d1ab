"""Strategies as people write them: a YAML list, read whole or not at all, and written so that it reads the same.

What goes here: the form of the file. What does not: whether the platform could do what a strategy says
(`execution.adoption`) and storing (`adapters.postgres.strategies`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.portfolio.sizing_spec import parse_sizing
from ibkr_assets.ports import StrategyRecord


def _check_sizing(spec: str) -> str:
    try:
        parse_sizing(spec)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return spec


class StrategyEntry(BaseModel):
    """One entry of the file. Text fields are taken as written; `enabled: yes` is YAML's true."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    kind: str = Field(min_length=1)
    params: dict[str, Any] = {}
    symbols: tuple[str, ...] = Field(min_length=1)
    bar_size: BarSize = BarSize.DAY
    schedule: str = "after_close"
    sizing: Annotated[str, AfterValidator(_check_sizing)]
    risk: dict[str, Any] = {}
    account: str | None = None
    enabled: bool = True
    dry_run: bool = False

    def record(self) -> StrategyRecord:
        """As the store wants it; the store counts versions."""
        return StrategyRecord(
            id=self.id, version=0, kind=self.kind, params=self.params, symbols=self.symbols,
            bar_size=self.bar_size.value, schedule=self.schedule, sizing=self.sizing, risk=self.risk,
            account=self.account, is_enabled=self.enabled, is_dry_run=self.dry_run,
        )  # fmt: skip


def read_strategies(path: Path) -> list[StrategyRecord]:
    """The strategies of a file, in its order.

    Raises ConfigurationError, one line, naming the file, the entry and the field.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"strategies: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"strategies: {path}{where}: not valid YAML") from None
    if not isinstance(loaded, list):
        raise ConfigurationError(f"strategies: {path}: expected a list of strategies, got {type(loaded).__name__}")
    records = [read_entry(path, place, value) for place, value in enumerate(loaded, start=1)]
    ids = [record.id for record in records]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        raise ConfigurationError(f"strategies: {path}: id {', '.join(repeated)} is there more than once")
    return records


def write_strategies(records: Iterable[StrategyRecord]) -> str:
    """The strategies as a file that `read_strategies` reads back, versions aside."""
    return yaml.safe_dump([as_entry(record) for record in records], sort_keys=False, allow_unicode=True, width=120)


def as_entry(record: StrategyRecord) -> dict[str, Any]:
    """A strategy as an entry of a file, every field said but `dry_run`, which is said where it is true."""
    entry = {
        "id": record.id, "kind": record.kind, "params": record.params, "symbols": list(record.symbols),
        "bar_size": record.bar_size, "schedule": record.schedule, "sizing": record.sizing, "risk": record.risk,
        "account": record.account, "enabled": record.is_enabled,
    }  # fmt: skip
    return entry | ({"dry_run": True} if record.is_dry_run else {})


def read_entry(where: Path, place: int, value: object) -> StrategyRecord:
    """One entry, the `place`-th of `where`. Raises ConfigurationError, one line, naming file, entry and field."""
    name = value.get("id", place) if isinstance(value, dict) else place
    record, problems = parse_entry(value)
    if record is None:
        field, text = next(iter(problems.items()))
        raise ConfigurationError(f"strategies: {where}: entry {name}: {field}: {text}")
    return record


def parse_entry(value: object) -> tuple[StrategyRecord | None, dict[str, str]]:
    """One entry, or by field (`params.fast`; `entry` for no mapping) what is wrong with it and what was given."""
    try:
        return StrategyEntry.model_validate(value).record(), {}
    except ValidationError as error:
        found: dict[str, str] = {}
        for problem in error.errors(include_url=False):
            field = ".".join(str(part) for part in problem["loc"]) or "entry"
            given = "" if problem["type"] == "missing" else f", got {problem['input']!r}"
            found.setdefault(field, problem["msg"] + given)
        return None, found
