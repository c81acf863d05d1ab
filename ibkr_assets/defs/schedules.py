"""The strategy runs of a day: in the evening, and in the morning for what waits for it and what the evening missed.

Both ask for the last closed session, as `defs.due` says: one run for each strategy that the database has due then, and
none twice. Strategies are read at each tick, so one that was just added runs at the next. Off until somebody turns
them on.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from ibkr_assets.defs.due import asked_before, due_for_trading, run_key
from ibkr_assets.defs.jobs import trading_strategy
from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.defs.resources import Calendar, Clock, Postgres, SettingsInForce
from ibkr_assets.defs.run_config import STRATEGY_TAG, scheduled_config
from ibkr_assets.domain.errors import ConfigurationError, Unavailable
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.execution.decisions import enabled_strategies
from ibkr_assets.market.schedule import parse_schedule

if TYPE_CHECKING:
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import StrategyRecord


def ask_for_due_strategies(
    instance: dg.DagsterInstance, clock: Clock, calendar: Calendar, settings: SettingsInForce, postgres: Postgres
) -> list[dg.RunRequest] | dg.SkipReason:
    """A run of `trading_strategy` for each strategy that is due at the session that is, or the reasons why none.

    Where no strategy is enabled, one run keeps bars and features up to date.
    """
    in_force = settings.get()
    try:
        now = clock.now()
    except Unavailable as error:
        return dg.SkipReason(f"the market clock does not answer: {error}")
    due = due_for_trading(now, calendar.load(), first_session=in_force.market.first_session)
    if isinstance(due, str):
        return dg.SkipReason(due)
    try:
        enabled: list[StrategyRecord | None] = [*enabled_strategies(postgres.strategies(), in_force.account)]
    except Unavailable as error:
        return dg.SkipReason(str(error))
    requests, reasons = [], []
    for strategy in enabled or [None]:
        reason = _why_not(instance, strategy, due, now, calendar.load())
        if reason is not None:
            reasons.append(reason)
            continue
        tags = {} if strategy is None else {STRATEGY_TAG: strategy.id}
        requests.append(
            dg.RunRequest(
                run_key=run_key(trading_strategy.name, due, None if strategy is None else strategy.id),
                partition_key=due.day.isoformat(),
                run_config=scheduled_config(in_force, strategy),
                tags={"ibkr_assets/mode": in_force.mode.value, "ibkr_assets/asked_at": now.isoformat(), **tags},
            )
        )
    return requests or dg.SkipReason("; ".join(reasons))


def _why_not(
    instance: dg.DagsterInstance,
    strategy: "StrategyRecord | None",
    due: TradingSession,
    now: datetime,
    calendar: "ExchangeCalendar",
) -> str | None:
    """Why a strategy is not to be run now on the session that is due, or None; without one, why bars are not."""
    if strategy is None:
        return asked_before(instance, trading_strategy.name, due)
    try:
        schedule = parse_schedule(strategy.schedule)
    except ConfigurationError as error:
        return f"{strategy.id}: {error}"
    if not schedule.decides_on(due, calendar):
        return f"{strategy.id}: decides {strategy.schedule}, not after {due.day}"
    if not schedule.is_time(due, now, calendar):
        return f"{strategy.id}: decides {strategy.schedule}, on {calendar.next_session(due.day).day}"
    asked = asked_before(instance, trading_strategy.name, due, strategy.id)
    return None if asked is None else f"{strategy.id}: {asked}"


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
        postgres: Postgres,
        settings: dg.ResourceParam[SettingsInForce],
    ) -> list[dg.RunRequest] | dg.SkipReason:
        return ask_for_due_strategies(context.instance, clock, calendar, settings, postgres)

    return ask


trading_strategy_evening = _schedule(
    "trading_strategy_evening",
    "20 16 * * 1-5",
    "20 minutes after the regular close: decides on the session; its orders are for the next opening.",
)
trading_strategy_before_open = _schedule(
    "trading_strategy_before_open",
    "45 8 * * 1-5",
    "What waits for the morning and what the evening missed, while orders for the opening can still be sent.",
)
