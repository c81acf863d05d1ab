"""Two jobs that nobody trades by: the portfolio after the close, and everything that is looked through at night.

What goes here: which assets run together and when. What does not: any of them; each has a module of its own, and a
schedule of its own for those who want it alone.
"""

import dagster as dg

from ibkr_assets.defs.parity import ask_for_settled_session
from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.defs.resources import Calendar, Clock, SettingsInForce

portfolio_monitoring = dg.define_asset_job(
    "portfolio_monitoring",
    selection=dg.AssetSelection.assets("portfolio", "reconciliation"),
    description="What the account is worth and holds, beside what was decided and what the broker says.",
    executor_def=dg.in_process_executor,
)

nightly_maintenance = dg.define_asset_job(
    "nightly_maintenance",
    selection=dg.AssetSelection.assets(
        "bar_sweep", "broker_hours", "bar_scale", "reconciliation", "portfolio", "parity"
    ),
    description="Gaps, the hours to come, splits, the comparison with the broker, the portfolio, and parity.",
    executor_def=dg.in_process_executor,
)

portfolio_after_close = dg.ScheduleDefinition(
    name="portfolio_after_close",
    job=portfolio_monitoring,
    cron_schedule="30 17 * * 1-5",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="An hour and a half after the regular close, when the submitter has valued the account.",
)


@dg.schedule(
    name="maintenance_at_night",
    job=nightly_maintenance,
    cron_schedule="0 21 * * 1-5",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="In place of the sweep, the scale and the parity one by one: all of them, once a session.",
)
def maintenance_at_night(
    context: dg.ScheduleEvaluationContext,
    clock: Clock,
    calendar: Calendar,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.RunRequest | dg.SkipReason:
    """Once for each session that is over; parity is of the one before it, whose orders were for it."""
    return ask_for_settled_session(context.instance, nightly_maintenance.name, clock, calendar, settings)
