"""The scale of stored bars in Dagster: the asset `bar_scale`, its job and its nightly schedule.

What goes here: when it runs and what it shows. What does not: the comparison (`ingest.overlap`). What it finds holds
the instrument; a person books the action (`ibkr-assets actions add`) and lifts the hold.
"""

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, OwnBars, Postgres

no_scale_has_changed = dg.AssetCheckSpec(
    "no_scale_has_changed",
    asset="bar_scale",
    description="No instrument's older bars come in another scale than they are stored in, without a known action.",
)
COLUMNS = ("symbol", "day", "kind", "value", "ratio", "is_known")


@dg.asset(
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[no_scale_has_changed],
    description="The last sixty sessions fetched again beside those stored: splits and special dividends by overlap.",
)
def bar_scale(
    ibkr: Ibkr, own_bars: OwnBars, postgres: Postgres, clock: Clock, calendar: Calendar
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Fetch, compare, hold what changed its scale; nothing fetched is stored."""
    from ibkr_assets.ingest.overlap import check_overlap

    store = postgres.bars()
    wanted = set(postgres.universe([calendar.load().last_closed(clock.now()).day]))
    instruments = [instrument for instrument in store.instruments() if instrument.symbol in wanted]
    source = own_bars.source() or ibkr.source()
    found = check_overlap(source, store, calendar.load(), instruments=instruments, clock=clock)
    rows = [
        {"symbol": one.instrument.symbol, "day": one.found.day, "kind": one.found.kind, "value": one.found.value,
         "ratio": one.found.ratio, "is_known": one.is_known}
        for one in found
    ]  # fmt: skip
    return dg.MaterializeResult(
        metadata={"instruments": len(instruments), "rescaled": show.table(rows, COLUMNS)},
        check_results=[
            dg.AssetCheckResult(
                check_name=no_scale_has_changed.name,
                passed=all(one.is_known for one in found),
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"rescaled": len(found)},
            )
        ],
    )


nightly_scale = dg.define_asset_job(
    "nightly_scale",
    selection=dg.AssetSelection.assets("bar_scale"),
    description="Looks for splits and special dividends that the source has adjusted its history for.",
    executor_def=dg.in_process_executor,
)

scale_at_night = dg.ScheduleDefinition(
    name="scale_at_night",
    job=nightly_scale,
    cron_schedule="0 3 * * *",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night, before the sweep of the morning.",
)
