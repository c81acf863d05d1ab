"""What Dagster loads: `python -m ...` and `workspace.yaml` name this module.

What goes here: which definitions there are. What does not: what they do (`defs`). Loading reads the settings for the
first partition and connects to nothing, so it works in a fresh checkout.
"""

from collections.abc import Callable

import dagster as dg

from ibkr_assets import settings
from ibkr_assets.defs.alerts import tell_of_failed_checks, tell_of_failed_runs, tell_of_login_deadline
from ibkr_assets.defs.backtests import backtest_job, backtests
from ibkr_assets.defs.bar_scale import bar_scale, nightly_scale, scale_at_night
from ibkr_assets.defs.broker_hours import broker_hours
from ibkr_assets.defs.enriched_features import enriched_features
from ibkr_assets.defs.freshness import bar_freshness, bars_are_fresh
from ibkr_assets.defs.jobs import market_data, trading_strategy
from ibkr_assets.defs.maintenance import (
    maintenance_at_night,
    nightly_maintenance,
    portfolio_after_close,
    portfolio_monitoring,
)
from ibkr_assets.defs.minutes import minute_bars, minute_collection, minutes_while_open
from ibkr_assets.defs.orders import orders
from ibkr_assets.defs.parity import parity, parity_evening, parity_of_session
from ibkr_assets.defs.partitions import session_partitions
from ibkr_assets.defs.portfolio import portfolio, reconciliation
from ibkr_assets.defs.raw_bars import raw_bars
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, OwnBars, Postgres, SettingsInForce, mlflow_tracking
from ibkr_assets.defs.schedules import trading_strategy_before_open, trading_strategy_evening
from ibkr_assets.defs.sensors import ibkr_auth, market_open
from ibkr_assets.defs.signals import signals
from ibkr_assets.defs.sweep import bar_sweep, daily_sweep, sweep_in_the_morning
from ibkr_assets.defs.sweeps import sweep_chunks, sweep_job, sweeps
from ibkr_assets.defs.tracking import Mlflow, closers
from ibkr_assets.defs.validated_bars import validated_bars


def build(load: Callable[[], settings.Settings] = settings.load) -> dg.Definitions:
    """All definitions. `load` is asked now for the partitions, and again by each run and tick for all else."""
    market = load().market
    partitions = session_partitions(market.calendar, market.first_session, market.last_session)
    in_force = SettingsInForce(load)
    return dg.Definitions(
        assets=[
            _by_session(asset, partitions)
            for asset in (raw_bars, validated_bars, enriched_features, signals, orders, parity)
        ]
        + [_partitioned(minute_bars, partitions)]
        + [bar_scale, bar_sweep, broker_hours, backtests, sweeps]
        + [portfolio, reconciliation],
        asset_checks=[bars_are_fresh],
        jobs=[
            market_data,
            trading_strategy,
            parity_of_session,
            daily_sweep,
            nightly_scale,
            backtest_job,
            sweep_job,
            portfolio_monitoring,
            nightly_maintenance,
            minute_collection,
        ],
        schedules=[
            trading_strategy_evening,
            trading_strategy_before_open,
            parity_evening,
            sweep_in_the_morning,
            scale_at_night,
            portfolio_after_close,
            maintenance_at_night,
        ],
        sensors=[
            market_open,
            ibkr_auth,
            bar_freshness,
            minutes_while_open,
            tell_of_failed_runs,
            tell_of_failed_checks,
            tell_of_login_deadline,
            sweep_chunks,
            *closers,
        ],
        resources={
            "settings": in_force,
            "ibkr": Ibkr(settings=in_force),
            "own_bars": OwnBars(settings=in_force),
            "postgres": Postgres(settings=in_force),
            "clock": Clock(settings=in_force),
            "calendar": Calendar(settings=in_force),
            "mlflow": Mlflow(settings=in_force),
            "mlflow_tracking": mlflow_tracking,
        },
        executor=dg.in_process_executor,
    )


def _by_session(asset: dg.AssetsDefinition, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The asset, one partition a session; a backfill over many of them is one run."""
    return _partitioned(asset, partitions).with_attributes(backfill_policy=dg.BackfillPolicy.single_run())


def _partitioned(asset: dg.AssetsDefinition, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The asset, one partition a session and one run a partition."""
    return asset.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=partitions))


defs = build()
