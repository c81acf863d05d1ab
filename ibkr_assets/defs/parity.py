"""The asset `parity`: the decisions of a session traded again by the backtest, beside what became of them.

A session's orders are for the next, so its parity is due when that one is over: the schedule asks in the evening for
the session before. What differs is told in money and by its cause; nothing that trades depends on it.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ibkr_assets import bootstrap
from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.due import asked_before, on_record, run_key
from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.defs.resources import Calendar, Clock, SettingsInForce
from ibkr_assets.defs.run_config import session_days
from ibkr_assets.defs.tracking import Mlflow
from ibkr_assets.domain.errors import Unavailable

if TYPE_CHECKING:
    from ibkr_assets.execution.parity import SessionParity

COLUMNS = ("session", "strategy", "symbol", "usd", "why")

parity_is_exact = dg.AssetCheckSpec(
    "parity_is_exact",
    asset="parity",
    description="What happened is what the backtest expected, share for share and cent for cent. Only a warning.",
)


@dg.asset(
    deps=["orders"],
    group_name="trading",
    kinds={"postgres"},
    check_specs=[parity_is_exact],
    description="What became of a session's decisions, beside what the backtest makes of them; differences in USD.",
)
def parity(
    context: dg.AssetExecutionContext, clock: Clock, mlflow: Mlflow, settings: dg.ResourceParam[SettingsInForce]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Compare, show every difference with its causes, and track the sums."""
    work, now = bootstrap.parity(settings.get()), clock.now()
    found = [work.compare(day, now) for day in session_days(context)]
    causes = {cause: sum(of_day.by_cause()[cause] for of_day in found) for cause in found[0].by_cause()}
    decisions = sum(len(of_day.comparisons) for of_day in found)
    mlflow.begin(context.run, {"sessions": show.date_range([of_day.day for of_day in found])})
    mlflow.log(
        context.run,
        metrics={"parity_decisions": decisions, **{f"parity_{name}_usd": float(usd) for name, usd in causes.items()}},
    )
    rows = [row for of_day in found for row in _rows(of_day)]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": decisions,
            "difference_usd": show.number(sum(of_day.total_usd for of_day in found)),
            **{f"{name}_usd": show.number(usd) for name, usd in causes.items()},
            "differences": show.table(rows, COLUMNS),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=parity_is_exact.name,
                passed=all(of_day.is_exact for of_day in found),
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"differences": show.table(rows, COLUMNS)},
            )
        ],
    )


def _rows(of_day: "SessionParity") -> list[dict[str, Any]]:
    different = [
        {"session": of_day.day, "strategy": one.strategy_id, "symbol": one.symbol, "usd": one.total, "why": one.words}
        for one in of_day.comparisons
        if not one.is_exact
    ]
    return different + [
        {"session": of_day.day, "strategy": strategy_id, "symbol": symbol, "usd": None, "why": f"not compared: {why}"}
        for strategy_id, symbol, why in of_day.uncompared
    ]


parity_of_session = dg.define_asset_job(
    "parity_of_session",
    selection=dg.AssetSelection.assets("parity"),
    description="Yesterday's decisions beside what became of them.",
    executor_def=dg.in_process_executor,
)


def ask_for_settled_session(
    instance: dg.DagsterInstance, job: str, clock: Clock, calendar: Calendar, settings: SettingsInForce
) -> dg.RunRequest | dg.SkipReason:
    """A run of `job` for the session whose orders have had theirs, the one before the last closed; once for each."""
    try:
        now = clock.now()
    except Unavailable as error:
        return dg.SkipReason(f"the market clock does not answer: {error}")
    before = calendar.load().previous_session(calendar.load().last_closed(now).day)
    due = on_record(before, settings.get().market.first_session)
    if isinstance(due, str):
        return dg.SkipReason(due)
    asked = asked_before(instance, job, due)
    if asked:
        return dg.SkipReason(asked)
    return dg.RunRequest(run_key=run_key(job, due), partition_key=due.day.isoformat())


@dg.schedule(
    name="parity_evening",
    job=parity_of_session,
    cron_schedule="0 18 * * 1-5",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Two hours after the regular close: the decisions whose orders were for the session that is over.",
)
def parity_evening(
    context: dg.ScheduleEvaluationContext,
    clock: Clock,
    calendar: Calendar,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.RunRequest | dg.SkipReason:
    """The session before the last closed one, once; the market clock says which."""
    return ask_for_settled_session(context.instance, parity_of_session.name, clock, calendar, settings)
