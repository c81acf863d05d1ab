"""What must be true of a strategy before the database takes it, field by field.

What goes here: asking each part of the platform whether it could do what the strategy says. What does not: reading
strategies from files (`stack.strategies_file`) and storing them (`adapters.postgres.strategies`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.market.schedule import parse_schedule
from ibkr_assets.portfolio.sizing_spec import parse_sizing
from ibkr_assets.risk.overrides import check_overrides

if TYPE_CHECKING:
    from pathlib import Path

    from ibkr_assets.ports import StrategyRecord
    from ibkr_assets.risk.limits import Limits


def check_strategy(record: StrategyRecord, *, limits: Limits, account: str | None, directory: Path | None) -> None:
    """See that the strategy could run here as it is written.

    `limits` are those in force, `account` the platform's, `directory` holds the user's own kinds. Raises
    ConfigurationError naming strategy, field and value.
    """
    from ibkr_assets.strategies.registry import build_strategy

    try:
        build_strategy(record.kind, record.params, directory=directory)
        parse_sizing(record.sizing)
        parse_schedule(record.schedule)
        check_overrides(record.risk, limits)
        _check_fields(record, account)
    except ConfigurationError as error:
        raise ConfigurationError(f"strategy {record.id}: {error}") from None


def forewarn(record: StrategyRecord, limits: Limits) -> list[str]:
    """What the strategy may say and will be denied all the same, in words for whoever stores it."""
    unknown = sorted(set(record.symbols) - limits.allowed_symbols)
    if not unknown:
        return []
    return [f"strategy {record.id}: no order for {', '.join(unknown)} is approved: not in risk.allowed_symbols"]


def _check_fields(record: StrategyRecord, account: str | None) -> None:
    repeated = sorted({symbol for symbol in record.symbols if record.symbols.count(symbol) > 1})
    if repeated:
        raise ConfigurationError(f"symbols {', '.join(repeated)}: more than once")
    if record.bar_size != BarSize.DAY:
        raise ConfigurationError(f"bar_size {record.bar_size}: strategies decide on daily bars, {BarSize.DAY.value}")
    if record.account is not None and record.account != account:
        raise ConfigurationError(f"account {record.account}: this platform trades {account or 'no account'}")
