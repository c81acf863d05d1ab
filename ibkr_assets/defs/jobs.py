"""The two jobs. In one process each: a step in a process of its own costs more than the work of all five."""

import dagster as dg

from ibkr_assets.defs.freshness import bars_are_fresh

#: It judges the newest session, whichever a run is of, and has its own sensor.
_NOT_OF_A_RUN = dg.AssetSelection.checks(bars_are_fresh)

market_data = dg.define_asset_job(
    "market_data",
    selection=dg.AssetSelection.assets("raw_bars", "validated_bars", "enriched_features") - _NOT_OF_A_RUN,
    description="Bars of a session, validated, with their features. Proposes nothing.",
    executor_def=dg.in_process_executor,
)

trading_strategy = dg.define_asset_job(
    "trading_strategy",
    selection=dg.AssetSelection.assets("raw_bars", "validated_bars", "enriched_features", "signals", "orders")
    - _NOT_OF_A_RUN,
    description="From bars to reviewed orders of a session. The submitter sends what was approved.",
    executor_def=dg.in_process_executor,
)
