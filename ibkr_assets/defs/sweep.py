"""The daily sweep in Dagster: the asset `bar_sweep`, its job and its schedule.

What goes here: when it runs and what it shows. What does not: the sweep itself (`ingest.sweep`). It proposes nothing;
what it fills is judged at once, and features and signals of the session are left to a run of that session.
"""

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.partitions import TIME_ZONE
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, OwnBars, Postgres

no_gap_is_given_up = dg.AssetCheckSpec(
    "no_gap_is_given_up",
    asset="bar_sweep",
    description="No session was asked for in vain for the fifth time, and no request was refused.",
)


@dg.asset(
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[no_gap_is_given_up],
    description="Sessions of the last thirty days that lacked bars, asked for again within a budget (md.gap).",
)
def bar_sweep(
    context: dg.AssetExecutionContext,
    ibkr: Ibkr,
    own_bars: OwnBars,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Register what is missing, ask for it, judge what came, and say what nobody has."""
    from ibkr_assets.ingest.bars import SOURCE
    from ibkr_assets.ingest.sweep import sweep_gaps

    store, own = postgres.bars(), own_bars.source()
    wanted = set(postgres.universe([calendar.load().last_closed(clock.now()).day]))
    report = sweep_gaps(
        own or ibkr.source(),
        store,
        postgres.gaps(),
        calendar.load(),
        instruments=[instrument for instrument in store.instruments() if instrument.symbol in wanted],
        clock=clock,
        progress=context.log.info,
        provenance=SOURCE if own is None else own.name,
        raise_alert=postgres.alerts().raise_alert,
    )
    given_up = [{"symbol": symbol, "session": day} for symbol, day in report.given_up]
    failed = [{"symbol": symbol, "why": why} for symbol, why in sorted(report.failed.items())]
    return dg.MaterializeResult(
        metadata={
            "instruments": report.instruments,
            "sessions": report.sessions,
            "open": report.open,
            "tried": report.tried,
            "filled": report.filled,
            "left": report.left,
            "given_up": show.table(given_up, ("symbol", "session")),
            "failed": show.table(failed, ("symbol", "why")),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=no_gap_is_given_up.name,
                passed=not report.given_up and not report.failed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"given_up": len(report.given_up), "failed": len(report.failed)},
            )
        ],
    )


daily_sweep = dg.define_asset_job(
    "daily_sweep",
    selection=dg.AssetSelection.assets("bar_sweep", "broker_hours"),
    description="Asks again for bars of the last thirty days that never came, and for the hours of the next days.",
    executor_def=dg.in_process_executor,
)

sweep_in_the_morning = dg.ScheduleDefinition(
    name="sweep_in_the_morning",
    job=daily_sweep,
    cron_schedule="0 6 * * *",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every day before the opening, when nothing else asks for history.",
)
