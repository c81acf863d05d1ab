"""A feed of bars that stops is seen in Dagster within one bar: the check `bars_are_fresh` of `raw_bars`.

What goes here: the check, which can be run by hand, and the sensor that keeps its verdict up to date without a run.
What does not: the comparison (`ingest.freshness`). Dagster's own freshness policies go by the machine's time and by
when an asset was last materialised, which says nothing of what came; this goes by the market's time and the bars.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.alerts import tell_of_stale_bars
from ibkr_assets.defs.resources import Calendar, Clock, Postgres, SettingsInForce
from ibkr_assets.domain.errors import ConfigurationError, LedgerConflict, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.ingest.freshness import Freshness

NAME = "bars_are_fresh"
ASSET = "raw_bars"


@dg.asset_check(
    asset=ASSET,
    name=NAME,
    description="An hour after a close every instrument has the session's bar, and while one is open minutes come.",
)
def bars_are_fresh(
    postgres: Postgres, clock: Clock, calendar: Calendar, settings: dg.ResourceParam[SettingsInForce]
) -> dg.AssetCheckResult:
    """Which instruments lack the newest bar that must be there."""
    found = _look(postgres, clock, calendar, settings)
    return dg.AssetCheckResult(passed=found.is_fresh, severity=dg.AssetCheckSeverity.ERROR, metadata=_show(found))


@dg.sensor(
    name="bar_freshness",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the check bars_are_fresh up to date: a feed that stopped is seen an hour after the close.",
)
def bar_freshness(
    context: dg.SensorEvaluationContext,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.SensorResult:
    """Writes a verdict when it is another one than before, or of another session."""
    try:
        found = _look(postgres, clock, calendar, settings)
    except (Unavailable, ConfigurationError) as error:
        return dg.SensorResult(skip_reason=dg.SkipReason(str(error)))
    if found.due.day.isoformat() < settings.get().market.first_session:
        return dg.SensorResult(skip_reason=dg.SkipReason(f"{found.due.day} lies before the first partition"))
    cursor = f"{found.due.day}|{','.join(sorted(found.stale))}"
    if context.cursor == cursor:
        return dg.SensorResult(skip_reason=dg.SkipReason(_words(found)))
    try:
        tell_of_stale_bars(postgres.alerts(), found.due.day.isoformat(), sorted(found.stale))
    except (Unavailable, LedgerConflict) as error:  # the cursor stays, and the next tick tells
        return dg.SensorResult(skip_reason=dg.SkipReason(f"nobody could be told: {error}"))
    verdict = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(ASSET),
        check_name=NAME,
        passed=found.is_fresh,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=_show(found),
    )
    return dg.SensorResult(asset_events=[verdict], cursor=cursor, skip_reason=dg.SkipReason(_words(found)))


def _look(postgres: Postgres, clock: Clock, calendar: Calendar, settings: SettingsInForce) -> "Freshness":
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.ingest.freshness import look_for_newest

    store, now, days = postgres.bars(), clock.now(), calendar.load()
    known = {instrument.symbol: instrument for instrument in store.instruments()}
    # A symbol that was never resolved has no bar either; no contract has the id zero.
    wanted = postgres.universe([days.last_closed(now).day])
    every = timedelta(minutes=settings.get().market.minutes_every or 0)
    instruments = [known.get(one) or Instrument(0, one, "") for one in wanted]
    return look_for_newest(store, days, instruments, now=now, minutes_every=every)


def _words(found: "Freshness") -> str:
    if found.is_fresh:
        return f"the bars of {found.due.day} are there"
    return f"no bar of {found.due.day} for {', '.join(sorted(found.stale))}"


def _newest(symbol: str, last: datetime) -> str:
    return last.isoformat() if " " in symbol else last.date().isoformat()


def _show(found: "Freshness") -> dict[str, Any]:
    rows = [
        {"symbol": symbol, "newest_bar": "none for thirty sessions" if last is None else _newest(symbol, last)}
        for symbol, last in sorted(found.stale.items())
    ]
    return {
        "session": str(found.due.day),
        "market_time": found.now.isoformat(),
        "stale": len(found.stale),
        "without_bar": show.table(rows, ("symbol", "newest_bar")),
    }
