"""Conditions that start runs: the exchange is open, the gateway is logged in. Both off until somebody turns them on.

`market_open` is the last chance of a session that the schedules missed: its orders are for the session that is open.
`ibkr_auth` starts nothing that trades: it fetches the bars of the last closed session as soon as the gateway lets it.
"""

import dagster as dg

from ibkr_assets.defs.due import asked_before, describe_closed, due_for_data, run_key
from ibkr_assets.defs.jobs import market_data, trading_strategy
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, Postgres, SettingsInForce
from ibkr_assets.defs.run_config import ChainConfig
from ibkr_assets.defs.schedules import ask_for_due_strategies
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.broker import SessionStatus
from ibkr_assets.domain.errors import ConfigurationError, LoginRequired, Unavailable
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.ports import BarStore


@dg.sensor(
    job=trading_strategy,
    minimum_interval_seconds=4,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="While the exchange is open: runs the strategies on the last closed session, if no schedule has.",
)
def market_open(
    context: dg.SensorEvaluationContext,
    clock: Clock,
    calendar: Calendar,
    postgres: Postgres,
    settings: dg.ResourceParam[SettingsInForce],
) -> list[dg.RunRequest] | dg.SkipReason:
    """Exchange time, holidays and early closes come from the calendar; the time from the market clock."""
    try:
        now = clock.now()
    except Unavailable as error:
        return dg.SkipReason(f"the market clock does not answer: {error}")
    if calendar.load().session_at(now) is None:
        return dg.SkipReason(describe_closed(now, calendar.load()))
    return ask_for_due_strategies(context.instance, clock, calendar, settings, postgres)


@dg.sensor(
    job=market_data,
    minimum_interval_seconds=4,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="When the gateway is logged in: fetches the bars of the last closed session that are missing.",
)
def ibkr_auth(
    context: dg.SensorEvaluationContext,
    ibkr: Ibkr,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.RunRequest | dg.SkipReason:
    """Looks at the session as it stands; bringing it up is the submitter's work, logging in a person's."""
    in_force = settings.get()
    try:
        obstacle = describe_obstacle(ibkr.source().session(), in_force.gateway.url)
        if obstacle:
            return dg.SkipReason(obstacle)
        market = in_force.market
        due = due_for_data(clock.now(), calendar.load(), first_session=market.first_session)
        if isinstance(due, str):
            return dg.SkipReason(due)
        symbols = postgres.universe([due.day])
        missing = _missing(postgres.bars(), due, symbols)
    except LoginRequired as error:
        return dg.SkipReason(_log_in(in_force.gateway.url, str(error)))
    except (Unavailable, ConfigurationError) as error:
        return dg.SkipReason(str(error))
    if not missing:
        return dg.SkipReason(f"ready; the bars of {due.day} are there for all {len(symbols)} symbols")
    asked = asked_before(context.instance, market_data.name, due)
    if asked:
        return dg.SkipReason(f"ready; no bar of {due.day} for {', '.join(missing)}; {asked}")
    config = dg.RunConfig(ops={name: ChainConfig() for name in ("raw_bars", "validated_bars", "enriched_features")})
    return dg.RunRequest(run_key=run_key(market_data.name, due), partition_key=due.day.isoformat(), run_config=config)


def describe_obstacle(status: SessionStatus, url: str | None) -> str | None:
    """Why nothing can be asked of the gateway now, and who can do what about it."""
    if not status.is_logged_in:
        return _log_in(url, status.message)
    if status.is_competing:
        return "another session uses this login (Trader Workstation, a phone): end it there; nothing is fetched"
    if not status.is_ready:
        return (
            f"logged in, but the brokerage session is not up (connected: {status.is_connected}, authenticated: "
            f"{status.is_authenticated}, established: {status.is_established}); the submitter brings it up"
        )
    return None


def _log_in(url: str | None, message: str) -> str:
    page = (url or "").removesuffix("/v1/api")
    return f"logged out{': ' + message if message else ''}; open {page} in a browser and log in, the rest follows"


def _missing(store: BarStore, session: TradingSession, symbols: tuple[str, ...]) -> list[str]:
    known = {i.symbol: i.conid for i in store.instruments() if i.symbol in symbols}
    bars = store.load_bars(list(known.values()), BarSize.DAY, session.opens_at, session.closes_at, has_versions=False)
    there = set(bars["conid"])
    return [symbol for symbol in symbols if known.get(symbol) not in there]
