"""The asset `raw_bars`: daily bars as their source gave them, fetched where they are missing, stored in versions."""

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.checks import bars_are_complete, judge_completeness
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, OwnBars, Postgres, SettingsInForce
from ibkr_assets.defs.run_config import ChainConfig, session_days
from ibkr_assets.domain.bar import BAR_COLUMNS


@dg.asset(
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[bars_are_complete],
    pool="raw_bars",  # strategies run at once: what one has fetched the next finds there, and the broker is asked once
    description="Daily bars from the broker or the source in its place, unadjusted, in append-only versions (md.bar).",
)
def raw_bars(
    context: dg.AssetExecutionContext,
    config: ChainConfig,
    ibkr: Ibkr,
    own_bars: OwnBars,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Fetch what is missing of the run's sessions, and of the sessions before them that indicators need."""
    from ibkr_assets.ingest.bars import SOURCE
    from ibkr_assets.ingest.parts import ingest_in_parts

    in_force = settings.get()
    sessions = calendar.sessions(session_days(context))
    symbols = config.wanted_symbols(postgres, [session.day for session in sessions])
    own = own_bars.source()
    report = ingest_in_parts(
        own or ibkr.source(),
        postgres.bars(),
        calendar.load(),
        symbols=symbols,
        sessions=sessions,
        warm_up_sessions=in_force.market.warm_up_sessions,
        clock=clock,
        progress=context.log.info,
        provenance=SOURCE if own is None else own.name,
    )
    days = [session.day for session in sessions]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(report.bars),
            "inserted": report.saved.inserted,
            "revised": report.saved.revised,
            "unchanged": report.saved.unchanged,
            "rejected": len(report.rejected),
            "sessions": show.date_range(days),
            "symbols": ", ".join(symbols),
            "source": SOURCE if own is None else own.name,
            "bars": show.frame_table(report.bars, BAR_COLUMNS[1:]),
        },
        check_results=[judge_completeness(postgres.bars(), report.instruments, sessions)],
    )
