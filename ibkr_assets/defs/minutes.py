"""Minute bars while the exchange is open: the asset `minute_bars`, its checks, its job and the sensor that asks for it.

What goes here: when it runs and what it shows. What does not: which minutes are final and lacking (`ingest.minutes`).
Off twice over: nothing is asked for before `market.minutes_every` is set and the sensor is turned on. No order comes of
it: no strategy waits for these assets, and what they run on cannot reach an order.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.due import asked_before, describe_closed, local, on_record, run_key
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, OwnBars, Postgres, SettingsInForce
from ibkr_assets.defs.run_config import SymbolsConfig
from ibkr_assets.defs.sensors import describe_obstacle
from ibkr_assets.domain.bar import BAR_COLUMNS
from ibkr_assets.domain.errors import ConfigurationError, LoginRequired, Unavailable
from ibkr_assets.market.reasons import MOST_QUARANTINED

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.ingest.minutes import MinuteReport
    from ibkr_assets.market.calendar import ExchangeCalendar

minutes_are_fresh = dg.AssetCheckSpec(
    "minutes_are_fresh",
    asset="minute_bars",
    description="Every instrument has the last minute that is final. One without a trade in it may have none.",
)
minutes_are_sound = dg.AssetCheckSpec(
    "minutes_are_sound",
    asset="minute_bars",
    description="At most 2 % of the minutes that came are in quarantine or were no bars.",
)
_RUNNING = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


@dg.asset(
    group_name="market_data",
    kinds={"postgres"},
    check_specs=[minutes_are_fresh, minutes_are_sound],
    pool="minute_bars",  # two collections at once would ask for the same minutes
    description="Minute bars of a session as far as they are final, in append-only versions, each with its verdict.",
)
def minute_bars(
    context: dg.AssetExecutionContext,
    config: SymbolsConfig,
    ibkr: Ibkr,
    own_bars: OwnBars,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Fetch what is final and lacking of the partition's session; all of it once the session is over."""
    from ibkr_assets.ingest.bars import SOURCE
    from ibkr_assets.ingest.minutes import collect_minutes

    session = calendar.load().session(datetime.fromisoformat(context.partition_key).date())
    own = own_bars.source()
    report = collect_minutes(
        own or ibkr.source(),
        postgres.bars(),
        calendar.load(),
        symbols=tuple(config.symbols) or postgres.universe([session.day]),
        session=session,
        clock=clock,
        progress=context.log.info,
        provenance=SOURCE if own is None else own.name,
    )
    late = [{"symbol": symbol, "newest": last} for symbol, last in sorted(report.late.items())]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.fetched,
            "until": local(report.until),
            "inserted": report.saved.inserted,
            "revised": report.saved.revised,
            "unchanged": report.saved.unchanged,
            "accepted": report.accepted,
            "quarantined": len(report.quarantined),
            "rejected": len(report.rejected),
            "late": show.table(late, ("symbol", "newest")),
            "in_quarantine": show.frame_table(report.quarantined, (*BAR_COLUMNS[1:], "reason")),
        },
        check_results=_judge(report),
    )


def _judge(report: "MinuteReport") -> list[dg.AssetCheckResult]:
    wrong = len(report.quarantined) + len(report.rejected)
    judged = report.accepted + wrong
    return [
        dg.AssetCheckResult(
            check_name=minutes_are_fresh.name,
            passed=not report.late,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"late": len(report.late), "until": report.until.isoformat()},
        ),
        dg.AssetCheckResult(
            check_name=minutes_are_sound.name,
            passed=judged > 0 and wrong <= MOST_QUARANTINED * judged,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"wrong": wrong, "judged": judged},
        ),
    ]


minute_collection = dg.define_asset_job(
    "minute_collection",
    selection=dg.AssetSelection.assets("minute_bars"),
    description="The final minutes of one session that are not stored yet.",
    executor_def=dg.in_process_executor,
)


@dg.sensor(
    job=minute_collection,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="While the exchange is open: collects minute bars every market.minutes_every minutes, and at the end.",
)
def minutes_while_open(
    context: dg.SensorEvaluationContext,
    ibkr: Ibkr,
    clock: Clock,
    calendar: Calendar,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.RunRequest | dg.SkipReason:
    """Exchange time and early closes come from the calendar, the time from the market clock.

    One collection at a time, and none while the gateway cannot answer: the next one fetches what it missed. A tick
    that comes late asks for the newest boundary alone.
    """
    in_force = settings.get()
    if in_force.market.minutes_every is None:
        return dg.SkipReason("market.minutes_every is not set: no minutes are collected")
    try:
        now = clock.now()
        due = due_for_minutes(
            now, calendar.load(), timedelta(minutes=in_force.market.minutes_every),
            first_session=in_force.market.first_session,
        )  # fmt: skip
        if isinstance(due, str):
            return dg.SkipReason(due)
        session, until = due
        mark = until.strftime("%H%MZ")
        asked = asked_before(context.instance, minute_collection.name, session, mark)
        if asked:
            return dg.SkipReason(asked)
        under_way = context.instance.get_runs(
            filters=dg.RunsFilter(job_name=minute_collection.name, statuses=_RUNNING), limit=1
        )
        if under_way:
            return dg.SkipReason(f"the collection before is under way: run {under_way[0].run_id[:8]}")
        obstacle = describe_obstacle(ibkr.source().session(), in_force.gateway.url)
    except (LoginRequired, Unavailable, ConfigurationError) as error:
        return dg.SkipReason(str(error))
    if obstacle:
        return dg.SkipReason(obstacle)
    return dg.RunRequest(
        run_key=run_key(minute_collection.name, session, mark),
        partition_key=session.day.isoformat(),
        tags={"ibkr_assets/asked_at": now.isoformat()},
    )


def due_for_minutes(
    now: datetime, calendar: "ExchangeCalendar", every: timedelta, *, first_session: str
) -> "tuple[TradingSession, datetime] | str":
    """The session and the boundary up to which its minutes should be there by `now`, or why none should."""
    from ibkr_assets.ingest.minutes import newest_boundary

    session = calendar.session_at(now)
    due = None if session is None else newest_boundary(session, now, every)
    if session is None:
        session = calendar.last_closed(now)
        due = newest_boundary(session, now, every)
        if due != session.closes_at:
            return f"{describe_closed(now, calendar)}; its last minute is final a minute later"
    if due is None:
        return f"{calendar.mic} opened at {local(session.opens_at)}; the first {every} are not final yet"
    kept = on_record(session, first_session)
    return kept if isinstance(kept, str) else (kept, due)
