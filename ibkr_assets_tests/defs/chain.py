"""The five assets over a real database and a tape instead of a broker, materialised in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.definitions import build
from ibkr_assets.defs.resources import Clock, Ibkr, SettingsInForce
from ibkr_assets.domain.ledger import AccountSnapshot
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import BarSource, StrategyRecord
from ibkr_assets.settings import Settings
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.fakes.source import TapeSource
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars
from ibkr_assets_tests.gateway import RunningGateway

ACCOUNT = "DU1000001"
#: Room for five positions of eight percent in a day.
ROOMY = {
    "max_order_nav_fraction": "0.1", "max_sector_nav_fraction": "1", "max_daily_notional_nav_fraction": "1",
}  # fmt: skip
FIVE = ("raw_bars", "validated_bars", "enriched_features", "signals", "orders")
STRATEGY = StrategyRecord(
    id="cross", version=1, kind="sma_cross", params={"fast": 10, "slow": 30}, symbols=tuple(CONIDS), bar_size="1d",
    schedule="after_close", sizing="percent:8", risk={}, account=None, is_enabled=True,
)  # fmt: skip


class FromSource(SettingsInForce):
    """Settings of a test, and what stands in for the peers."""

    def __init__(self, settings: Settings, source: BarSource, clock: FixedClock) -> None:
        super().__init__(lambda: settings)
        self.source, self.clock = source, clock


class TapeIbkr(Ibkr):
    """Market data from the test's source."""

    def source(self) -> BarSource:
        return self.settings.source


class FixedTime(Clock):
    """The market's time from the test's clock."""

    def now(self) -> datetime:
        return self.settings.clock.now()


@dataclass
class Chain:
    """A platform on one database; `run` materialises, `moment` is the market's time."""

    database: Database
    database_url: str
    instance: dg.DagsterInstance
    bars: pd.DataFrame = field(default_factory=lambda: real_bars(start=date(2011, 6, 1)))
    mode: Mode = Mode.SIM
    mlflow_uri: str | None = None
    first_session: str = "2012-05-18"
    strategies: tuple[StrategyRecord, ...] = (STRATEGY,)
    own_kinds: Path | None = None
    sources: Mapping[str, Any] = field(default_factory=dict)
    llm: Mapping[str, Any] = field(default_factory=dict)
    gateway: RunningGateway | None = None
    is_reconciled: bool = True
    clock: FixedClock = field(default_factory=lambda: FixedClock(datetime(2012, 11, 21, 21, 30, tzinfo=UTC)))

    def __post_init__(self) -> None:
        self.settings = Settings.model_validate(
            {
                "mode": self.mode,
                "account": ACCOUNT,
                "database": {"url": self.database_url},
                "market": {"first_session": self.first_session},
                "risk": {"allowed_symbols": tuple(CONIDS), **ROOMY},
                **(
                    {"gateway": {"url": self.gateway.api_url}, "clock_url": self.gateway.clock_url}
                    if self.gateway
                    else {}
                ),
                "strategies": {"directory": self.own_kinds},
                "sources": self.sources,
                "llm": self.llm,
                "mlflow": {"tracking_uri": self.mlflow_uri, "experiment": "tests"},
            }
        )
        in_force = FromSource(self.settings, TapeSource(self.bars), self.clock)
        self.definitions = build(lambda: self.settings)
        self.resources: dict[str, Any] = dict(self.definitions.resources or {})
        if self.gateway is None:
            self.resources |= {"ibkr": TapeIbkr(settings=in_force), "clock": FixedTime(settings=in_force)}
        PostgresStrategies(self.database).save_strategies(self.strategies, actor="test")
        if self.is_reconciled:
            self._reconcile()

    def _reconcile(self) -> None:
        """A submitter's word, clean books and a net asset value on record, as the submitter leaves them."""
        ref, at = account_ref(ACCOUNT), self.clock.now()
        ledger = PostgresLedger(self.database, bootstrap.versions(self.settings)).of_account(ref)
        ledger.lease.register(ACCOUNT, self.mode)
        epoch = ledger.lease.acquire("test", 20.0)
        assert epoch is not None
        ledger.lease.release()
        nav = Decimal(100_000)
        ledger.account.save_opening(nav, [], market_at=at)
        ledger.account.save_snapshot(
            AccountSnapshot(at, nav, Decimal(0), Decimal(0), nav_broker=nav, broker_cash=nav, positions=[]), epoch=epoch
        )
        run = ledger.differences.open_run("start", epoch=epoch, gateway_session="s")
        ledger.differences.close_run(run, is_clean=True, market_at=at, orders_seen=0, trades_seen=0)

    def move_after_close(self, day: date) -> None:
        """Twenty minutes after the session's close."""
        self.clock.moment = exchange_calendar("XNYS").session(day).closes_at + pd.Timedelta(minutes=20)

    def run(
        self,
        day: date | tuple[date, date],
        *,
        select: tuple[str, ...] = FIVE,
        dry_run: bool = False,
        tags: Mapping[str, str] | None = None,
        is_raising: bool = True,
        instance: dg.DagsterInstance | None = None,
        **config: Any,
    ) -> dg.ExecuteInProcessResult:
        """Materialise the assets for a session, or for all from the first to the last as one run."""
        ops = {name: {"config": {"dry_run": dry_run, **config}} for name in select}
        where: dict[str, Any] = {"partition_key": str(day)}
        if isinstance(day, tuple):
            where = {}
            tags = {
                "dagster/asset_partition_range_start": str(day[0]),
                "dagster/asset_partition_range_end": str(day[1]),
                **(tags or {}),
            }
        return dg.materialize(
            list(self.definitions.assets or ()),
            selection=dg.AssetSelection.assets(*select),
            resources=self.resources,
            instance=instance or self.instance,
            run_config={"ops": ops},
            tags=tags,
            raise_on_error=is_raising,
            **where,
        )

    def run_elsewhere(self, day: date, select: tuple[str, ...]) -> dg.ExecuteInProcessResult:
        """The same on a Dagster of its own: an instance in memory serves one thread."""
        with dg.DagsterInstance.ephemeral() as instance:
            return self.run(day, select=select, instance=instance)

    @property
    def bar_store(self) -> PostgresBars:
        return PostgresBars(self.database)

    @property
    def strategy_store(self) -> PostgresStrategies:
        return PostgresStrategies(self.database)

    @property
    def book(self) -> PostgresIntents:
        return PostgresIntents(self.database, "default")


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The metadata of an asset's one materialisation in a run, as plain values."""
    events = result.asset_materializations_for_node(asset)
    return {key: value.value for key, value in events[-1].metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Check names and whether they passed."""
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
