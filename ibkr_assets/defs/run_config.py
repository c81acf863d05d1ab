"""The run configuration that all five assets share, and the same for a run that nobody watches."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ibkr_assets.defs.resources import Postgres
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.decisions import extra_symbols
from ibkr_assets.settings import Settings

if TYPE_CHECKING:
    from ibkr_assets.ports import StrategyRecord

#: Dagster's own tag on every run of a backfill.
BACKFILL_TAG = "dagster/backfill"
#: Our tag on a run for one strategy: of each there is one at a time (`stack.instance`).
STRATEGY_TAG = "ibkr_assets/strategy"
CHAIN = ("raw_bars", "validated_bars", "enriched_features", "signals", "orders")


class ChainConfig(dg.Config):
    """What a run may be narrowed to. Everything left out means: as the settings say, and nothing is sent."""

    strategy_id: str | None = Field(
        default=None, description="only this strategy, enabled or not; empty: all enabled ones"
    )
    symbols: list[str] = Field(default=[], description="only these symbols; empty: those of the universe")
    dry_run: bool = Field(
        default=True, description="true: orders are reviewed and never sent; false: in the platform's mode"
    )

    def wanted_symbols(self, postgres: Postgres, days: Sequence[date]) -> tuple[str, ...]:
        """The symbols of this run: named ones, or the universe of its sessions."""
        return tuple(self.symbols) or postgres.universe(days)

    def mode(self, settings: Settings) -> Mode:
        """The mode of this run's orders: never further than the platform's own."""
        return Mode.DRY_RUN if self.dry_run else settings.mode


class SymbolsConfig(dg.Config):
    """What a run that decides nothing may be narrowed to."""

    symbols: list[str] = Field(default=[], description="only these symbols; empty: those of the universe")


def session_days(context: dg.AssetExecutionContext) -> list[date]:
    """The sessions of this run in order of time: one, or many in a backfill."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def is_backfill(context: dg.AssetExecutionContext) -> bool:
    """Whether this run fills in sessions of the past: of many at once, or as one of a backfill's runs."""
    return len(context.partition_keys) > 1 or BACKFILL_TAG in context.run.tags


def scheduled_config(settings: Settings, strategy: "StrategyRecord | None" = None) -> dg.RunConfig:
    """For runs that a schedule or a sensor asks for: the strategy trades in the platform's mode.

    A fresh checkout is in mode dry_run, so it only ever rehearses; sim, paper and live are asked for by name.
    """
    symbols = [] if strategy is None else extra_symbols(strategy, settings.market.symbols)
    config = ChainConfig(
        strategy_id=None if strategy is None else strategy.id, symbols=symbols, dry_run=settings.mode is Mode.DRY_RUN
    )
    return dg.RunConfig(ops=dict.fromkeys(CHAIN, config))


def strategy_of(run: dg.DagsterRun) -> str | None:
    """The one strategy that a run was asked for, or None where it was asked for all."""
    ops: Any = run.run_config.get("ops") or {}
    asked = {str(op["config"]["strategy_id"]) for op in ops.values() if (op.get("config") or {}).get("strategy_id")}
    return asked.pop() if len(asked) == 1 else None
