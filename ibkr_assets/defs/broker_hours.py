"""The broker's hours against the calendar's in Dagster: the asset `broker_hours`, once a day with the sweep.

What goes here: what it shows. What does not: the comparison (`market.hours`). A difference blocks orders of that
contract for that session, whether or not anybody looks here.
"""

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, Postgres

hours_agree = dg.AssetCheckSpec(
    "hours_agree",
    asset="broker_hours",
    description="Calendar and broker have the same hours for every contract and each of the next days.",
)


@dg.asset(
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[hours_agree],
    description="Hours of the next days that the broker tells otherwise than the calendar (md.hours_difference).",
)
def broker_hours(
    context: dg.AssetExecutionContext, ibkr: Ibkr, postgres: Postgres, clock: Clock, calendar: Calendar
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Ask for the hours of every contract of the universe, and keep what differs."""
    from ibkr_assets.ingest.hours import check_hours

    wanted = set(postgres.universe([calendar.load().last_closed(clock.now()).day]))
    report = check_hours(
        ibkr.hours(),
        postgres.hours(),
        calendar.load(),
        instruments=[instrument for instrument in postgres.bars().instruments() if instrument.symbol in wanted],
        clock=clock,
        progress=context.log.info,
    )
    rows = [
        {"symbol": symbol, "day": one.day, "calendar": one.calendar_hours, "broker": one.broker_hours}
        for symbol, found in sorted(report.differences.items())
        for one in found
    ]
    untold = [{"symbol": symbol, "why": why} for symbol, why in sorted(report.untold.items())]
    return dg.MaterializeResult(
        metadata={
            "asked": report.asked,
            "differences": show.table(rows, ("symbol", "day", "calendar", "broker")),
            "untold": show.table(untold, ("symbol", "why")),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=hours_agree.name,
                passed=not rows and not untold,
                severity=dg.AssetCheckSeverity.ERROR if rows else dg.AssetCheckSeverity.WARN,
                metadata={"differences": len(rows), "untold": len(untold)},
            )
        ],
    )
