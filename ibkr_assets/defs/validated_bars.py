"""The asset `validated_bars`: every bar of the run's sessions judged, accepted or in quarantine with its reason."""

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.checks import bars_are_sound, judge_soundness
from ibkr_assets.defs.resources import Calendar, Postgres
from ibkr_assets.defs.run_config import ChainConfig, session_days
from ibkr_assets.domain.bar import BAR_COLUMNS


@dg.asset(
    deps=["raw_bars"],
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[bars_are_sound],
    description="The verdict on each bar: accepted, or quarantined for one of a closed list of reasons.",
)
def validated_bars(
    context: dg.AssetExecutionContext,
    config: ChainConfig,
    postgres: Postgres,
    calendar: Calendar,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Judge the stored bars against the calendar, themselves and the past."""
    from ibkr_assets.ingest.parts import validate_in_parts

    days = session_days(context)
    store = postgres.bars()
    report = validate_in_parts(
        store,
        calendar.load(),
        instruments=store.instruments(config.wanted_symbols(postgres, days)),
        sessions=calendar.sessions(days),
        progress=context.log.info,
    )
    gaps = [{"symbol": symbol, "session": day} for symbol, day in report.missing]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(report.accepted),
            "accepted": len(report.accepted),
            "quarantined": len(report.quarantined),
            "sessions": show.date_range(days),
            "gaps": show.table(gaps, ("symbol", "session")),
            "in_quarantine": show.frame_table(report.quarantined, (*BAR_COLUMNS[1:], "reason")),
        },
        check_results=[judge_soundness(report)],
    )
