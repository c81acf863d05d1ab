"""What the assets are given: the broker's market data, the database, the clock, the calendar, the tracker.

What goes here: faces on `bootstrap`, which make their object when a run or a tick first asks. What does not: a
connection at set-up (Dagster sets resources up on every tick and, with `job execute`, again after the run has ended)
and anything that could send an order. Settings are read then, too, so that definitions load with nothing running.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from ibkr_assets import bootstrap
from ibkr_assets.settings import Settings

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.ingest.hours import HoursRegister, HoursSource
    from ibkr_assets.ingest.sources import OwnSource
    from ibkr_assets.ingest.sweep import GapRegister
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarSource, BarStore, IntentBook, StrategyStore


class SettingsInForce:
    """The settings, read when they are asked for: a stack that starts later is found without a reload."""

    def __init__(self, load: Callable[[], Settings]) -> None:
        self._load = load

    def get(self) -> Settings:
        """Everything in force now. Raises ConfigurationError.

        Ticks are evaluated in threads, and all that need the database come by here first: where one thread begins with
        psycopg and another with a part of it, Python breaks the deadlock by giving out the package half made.
        """
        import psycopg  # noqa: F401

        return self._load()


class Ibkr(dg.ConfigurableResource[Any]):
    """Market data of the gateway. No order can be reached from it."""

    settings: dg.ResourceDependency[SettingsInForce]

    def source(self) -> "BarSource":
        """Contracts, history and quotes."""
        return bootstrap.bar_source(self.settings.get())

    def hours(self) -> "HoursSource":
        """When contracts trade."""
        return bootstrap.bar_source(self.settings.get())


class OwnBars(dg.ConfigurableResource[Any]):
    """Bars of the user's own, where the settings (`sources.bars`) name them instead of the broker's."""

    settings: dg.ResourceDependency[SettingsInForce]

    def source(self) -> "OwnSource | None":
        """A directory, an object store or a table of another database; None where the broker feeds `raw_bars`."""
        return bootstrap.feeds(self.settings.get()).own()


class Postgres(dg.ConfigurableResource[Any]):
    """The system of record."""

    settings: dg.ResourceDependency[SettingsInForce]
    _kept: Any = PrivateAttr(default=None)

    def _in_force(self) -> Settings:
        """The settings now; their database is kept, so that a run or a tick opens its connections once."""
        settings = self.settings.get()
        self._kept = bootstrap.database(settings)
        return settings

    def bars(self) -> "BarStore":
        """Bars, verdicts and features."""
        return bootstrap.bar_store(self._in_force())

    def universe(self, days: Sequence[date]) -> tuple[str, ...]:
        """The symbols that are looked at on one of these days, where a run names none."""
        from ibkr_assets.adapters.postgres.universe import PostgresUniverse

        settings = self._in_force()
        return PostgresUniverse(bootstrap.database(settings), settings.market.symbols).members(days)

    def gaps(self) -> "GapRegister":
        """The register of sessions that lack bars."""
        return bootstrap.bar_store(self._in_force())

    def hours(self) -> "HoursRegister":
        """Where the broker's hours differ from the calendar's."""
        from ibkr_assets.adapters.postgres.hours import PostgresHours

        return PostgresHours(bootstrap.database(self._in_force()))

    def strategies(self) -> "StrategyStore":
        """Strategies and their signals."""
        return bootstrap.strategy_store(self._in_force())

    def intents(self) -> "IntentBook":
        """The order ledger as those who decide see it."""
        return bootstrap.intent_book(self._in_force())

    def alerts(self) -> "PostgresAlerts":
        """Where people are told of what is wrong."""
        return bootstrap.alerts(self._in_force(), "dagster")

    def invariants(self) -> "list[dict[str, Any]]":
        """Every invariant of the order ledger, with what contradicts it now."""
        from ibkr_assets.adapters.postgres.invariants import check_invariants

        return check_invariants(bootstrap.database(self._in_force()))


class Clock(dg.ConfigurableResource[Any]):
    """The market's time."""

    settings: dg.ResourceDependency[SettingsInForce]
    _clock: Any = PrivateAttr(default=None)

    def now(self) -> datetime:
        """The present instant, aware UTC. Raises Unavailable when a market clock is named and does not answer."""
        if self._clock is None:
            self._clock = bootstrap.clock(self.settings.get())
        moment: datetime = self._clock.now()
        return moment


class Calendar(dg.ConfigurableResource[Any]):
    """The sessions of the exchange."""

    settings: dg.ResourceDependency[SettingsInForce]

    def load(self) -> "ExchangeCalendar":
        """The calendar; built once a process."""
        return bootstrap.calendar(self.settings.get())

    def sessions(self, days: Sequence[date]) -> "list[TradingSession]":
        """The sessions of these days; InputError names one without. Settings are read once, however many days."""
        found = self.load()
        return [found.session(day) for day in days]


@dg.resource(
    required_resource_keys={"settings"},
    description="dagster-mlflow's own resource, for assets of your own; the chain uses `mlflow`.",
)
def mlflow_tracking(context: dg.InitResourceContext) -> Iterator[Any]:
    """Importing dagster-mlflow takes three seconds, so that happens only where this is used."""
    from dagster_mlflow import mlflow_tracking as original

    settings = context.resources.settings.get().mlflow
    config = {
        "experiment_name": settings.experiment,
        "mlflow_tracking_uri": settings.tracking_uri,
        "env": {},
        "extra_tags": {},
    }
    yield from original.resource_fn(context.replace_config(config))
