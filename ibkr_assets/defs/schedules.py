"""The strategy runs of a day: in the evening, and once more before the opening for what the evening missed.

Both ask for the last closed session, as `defs.due` says, and for no session twice. Off until somebody turns them on.
"""

import dagster as dg

from ibkr_assets.defs.due import asked_before, due_for_trading, run_key
from ibkr_assets.defs.jobs import trading_strategy
from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.defs.resources import Calendar, Clock, SettingsInForce
from ibkr_assets.defs.run_config import scheduled_config
from ibkr_assets.domain.errors import Unavailable


def ask_for_due_session(
    instance: dg.DagsterInstance, clock: Clock, calendar: Calendar, settings: SettingsInForce
) -> dg.RunRequest | dg.SkipReason:
    """A run of `trading_strategy` for the session that is due, once, or the reason why not."""
    in_force = settings.get()
    try:
        now = clock.now()
    except Unavailable as error:
        return dg.SkipReason(f"the market clock does not answer: {error}")
    due = due_for_trading(now, calendar.load(), first_session=in_force.market.first_session)
    if isinstance(due, str):
        return dg.SkipReason(due)
    asked = asked_before(instance, trading_strategy.name, due)
    if asked:
        return dg.SkipReason(asked)
    return dg.RunRequest(
        run_key=run_key(trading_strategy.name, due),
        partition_key=due.day.isoformat(),
        run_config=scheduled_config(in_force),
        tags={"ibkr_assets/mode": in_force.mode.value, "ibkr_assets/asked_at": now.isoformat()},
    )


def _schedule(name: str, cron: str, description: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job=trading_strategy,
        cron_schedule=cron,
        execution_timezone=TIME_ZONE,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=description,
    )
    def ask(
        context: dg.ScheduleEvaluationContext,
        clock: Clock,
        calendar: Calendar,
        settings: dg.ResourceParam[SettingsInForce],
    ) -> dg.RunRequest | dg.SkipReason:
        return ask_for_due_session(context.instance, clock, calendar, settings)

    return ask


trading_strategy_evening = _schedule(
    "trading_strategy_evening",
    "20 16 * * 1-5",
    "20 minutes after the regular close: decides on the session; its orders are for the next opening.",
)
trading_strategy_before_open = _schedule(
    "trading_strategy_before_open",
    "45 8 * * 1-5",
    "What the evening missed, while orders for the opening can still be sent.",
)
