"""What must be true of a strategy before the database takes it, field by field.

What goes here: asking each part of the platform whether it could do what the strategy says. What does not: reading
strategies from files (`adapters.strategies_file`) and storing them (`adapters.postgres.strategies`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.market.schedule import parse_schedule
from ibkr_assets.portfolio.sizing_spec import parse_sizing
from ibkr_assets.risk.overrides import check_overrides

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ibkr_assets.ports import StrategyRecord
    from ibkr_assets.risk.limits import Limits
    from ibkr_assets.strategies.strategy import Strategy


def check_strategy(
    record: StrategyRecord, *, limits: Limits, account: str | None, directory: Path | None, has_model: bool
) -> None:
    """See that the strategy could run here as it is written.

    `limits` are those in force, `account` the platform's, `directory` holds the user's own kinds; `has_model` says
    whether there is a language model to ask. Raises ConfigurationError naming strategy, field and value.
    """
    found = find_problems(record, limits=limits, account=account, directory=directory, has_model=has_model)
    for problem in found.values():
        raise ConfigurationError(f"strategy {record.id}: {problem}")


def find_problems(
    record: StrategyRecord, *, limits: Limits, account: str | None, directory: Path | None, has_model: bool
) -> dict[str, str]:
    """What keeps the strategy from running here, by field: the first thing of each, naming the value. Empty: nothing.

    The arguments are those of `check_strategy`.
    """
    from ibkr_assets.strategies.registry import all_kinds, build_strategy

    checks: dict[str, Callable[[], object]] = {
        "params" if record.kind in all_kinds(directory) else "kind": lambda: build_strategy(
            record.kind, record.params, directory=directory
        ),
        "sizing": lambda: parse_sizing(record.sizing),
        "schedule": lambda: parse_schedule(record.schedule),
        "risk": lambda: check_overrides(record.risk, limits),
        "symbols": lambda: _check_symbols(record),
        "bar_size": lambda: _check_bar_size(record),
        "account": lambda: _check_account(record, account),
    }
    found = {}
    for field, check in checks.items():
        try:
            check()
        except ConfigurationError as error:
            found[field] = str(error)
    if record.is_enabled and not found.keys() & {"kind", "params"}:
        silent = _why_silent(build_strategy(record.kind, record.params, directory=directory), has_model=has_model)
        if silent:
            found["enabled"] = f"enabled: true: {silent}"
    return found


def forewarn(record: StrategyRecord, limits: Limits) -> list[str]:
    """What the strategy may say and will be denied all the same, in words for whoever stores it."""
    unknown = sorted(set(record.symbols) - limits.allowed_symbols)
    if not unknown:
        return []
    return [f"strategy {record.id}: no order for {', '.join(unknown)} is approved: not in risk.allowed_symbols"]


def _check_symbols(record: StrategyRecord) -> None:
    repeated = sorted({symbol for symbol in record.symbols if record.symbols.count(symbol) > 1})
    if repeated:
        raise ConfigurationError(f"symbols {', '.join(repeated)}: more than once")


def _check_bar_size(record: StrategyRecord) -> None:
    if record.bar_size != BarSize.DAY:
        raise ConfigurationError(f"bar_size {record.bar_size}: strategies decide on daily bars, {BarSize.DAY.value}")


def _check_account(record: StrategyRecord, account: str | None) -> None:
    if record.account is not None and record.account != account:
        raise ConfigurationError(f"account {record.account}: this platform trades {account or 'no account'}")


def _why_silent(strategy: Strategy, *, has_model: bool) -> str:
    """Why it would never give a signal here, or nothing: it may be stored, but nobody would notice it on its day."""
    from ibkr_assets.strategies.llm_analyst import LlmAnalyst

    if strategy.bracket is not None:
        return "its stop and target can be backtested only, not sent"
    if isinstance(strategy, LlmAnalyst) and not has_model:
        return "there is no language model to ask; set llm.base_url or llm.provider"
    return ""
