"""The one place that picks concrete adapters for the settings in force.

Nothing here decides or computes; the process that sends orders is put together in `bootstrap_submitter`. Functions
import adapters when called: who needs one peer does not pay for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.risk.engine import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibkr_assets.adapters.ibkr.client import IbkrBroker
    from ibkr_assets.adapters.ibkr.market_data import IbkrMarketData
    from ibkr_assets.adapters.mlflow import MlflowTracker
    from ibkr_assets.adapters.mlflow_models import MlflowModels
    from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
    from ibkr_assets.adapters.postgres.bars import PostgresBars
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.adapters.postgres.intents import PostgresIntents
    from ibkr_assets.adapters.postgres.ledger import PostgresLedger
    from ibkr_assets.adapters.postgres.limits import PostgresLimits
    from ibkr_assets.adapters.postgres.lineage import PostgresLineage
    from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
    from ibkr_assets.adapters.postgres.views.llm import PostgresLlm
    from ibkr_assets.domain.lineage import Version
    from ibkr_assets.execution.parity import Parity
    from ibkr_assets.ingest.feeds import Feeds
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import Clock
    from ibkr_assets.risk.facts import Versions
    from ibkr_assets.settings import Settings
    from ibkr_assets.strategies.analyst import Analysts, PastAnalysts


def clock(settings: Settings) -> Clock:
    """The market clock of mode sim where one is named, the machine's clock otherwise."""
    from ibkr_assets.adapters.clock import MarketClock, SystemClock

    return MarketClock(settings.clock_url) if settings.clock_url else SystemClock()


def calendar(settings: Settings) -> ExchangeCalendar:
    """The exchange calendar of the market."""
    from ibkr_assets.market.calendar import exchange_calendar

    return exchange_calendar(settings.market.calendar)


def database(settings: Settings) -> Database:
    """The platform's database, shared by all who hold it. Raises ConfigurationError when no URL is known."""
    from ibkr_assets.adapters.postgres.connection import shared_database

    return shared_database(database_url(settings))


def database_url(settings: Settings) -> str:
    """The platform database's URL. Raises ConfigurationError when neither a URL nor a running stack is there."""
    if settings.database.url is None:
        raise ConfigurationError(
            f"database.url: not set, and no embedded stack runs on data_dir {settings.data_dir}; "
            "start one with `ibkr-assets up` or set IBKR_ASSETS_DATABASE_URL"
        )
    return settings.database.url.get_secret_value()


def bar_source(settings: Settings) -> IbkrMarketData:
    """Market data of the gateway; no order can be reached from it."""
    from ibkr_assets.adapters.ibkr.client import market_data

    gateway = settings.gateway
    return market_data(
        gateway_url(settings), ca=gateway.ca, clock=clock(settings), calendar=calendar(settings), pace=gateway.pace,
        connect_timeout_s=gateway.connect_timeout_s, read_timeout_s=gateway.read_timeout_s,
        may_compete=gateway.may_compete,
    )  # fmt: skip


def feeds(settings: Settings) -> Feeds:
    """Where bars come from beside the broker."""
    from ibkr_assets.adapters.objects import S3Objects
    from ibkr_assets.adapters.postgres.foreign_bars import ForeignBars
    from ibkr_assets.ingest.feeds import Feeds

    own, broker = settings.sources, (lambda: bar_source(settings)) if settings.gateway.url else None
    return Feeds(own, calendar(settings), lambda url: S3Objects(url, own.s3), lambda: ForeignBars(own.postgres), broker)


def broker(settings: Settings) -> IbkrBroker:
    """The gateway's order side. For the submitter and for a person at the command line."""
    from ibkr_assets.adapters.ibkr.client import broker as connect

    gateway = settings.gateway
    return connect(
        gateway_url(settings), ca=gateway.ca, account=account(settings), connect_timeout_s=gateway.connect_timeout_s,
        read_timeout_s=gateway.read_timeout_s, order_timeout_s=gateway.order_timeout_s, pace=gateway.pace,
        may_compete=gateway.may_compete,
    )  # fmt: skip


def keep_alive_age_s(settings: Settings) -> float | None:
    """Seconds since any process of this user on this machine kept the gateway's session alive; None: not known."""
    from ibkr_assets.adapters.ibkr.client import shared_limiter

    return shared_limiter(gateway_url(settings)).alive_age_s()


def account(settings: Settings) -> str:
    """The pinned broker account. Raises ConfigurationError when there is none: IBKR would pick the first."""
    if not settings.account:
        raise ConfigurationError("account: not set; name the one account to trade with IBKR_ASSETS_ACCOUNT")
    return settings.account


def alerts(settings: Settings, by: str) -> PostgresAlerts:
    """The outbox of alerts; `by` is who raises them. Without an account they are the platform's own."""
    from ibkr_assets.adapters.postgres.alerts import PostgresAlerts

    return PostgresAlerts(database(settings), alert_ref(settings), by)


def alert_ref(settings: Settings) -> str:
    """Whose alerts: the account's by its reference, or the platform's own where no account is named."""
    from ibkr_assets.domain.order import account_ref

    return account_ref(settings.account) if settings.account else "platform"


def bar_store(settings: Settings) -> PostgresBars:
    """Bars and features in Postgres."""
    from ibkr_assets.adapters.postgres.bars import PostgresBars

    return PostgresBars(database(settings))


def strategy_store(settings: Settings) -> PostgresStrategies:
    """Strategies and signals in Postgres."""
    from ibkr_assets.adapters.postgres.strategies import PostgresStrategies

    return PostgresStrategies(database(settings), lambda: version(settings))


def parity(settings: Settings) -> Parity:
    """Past decisions held beside what became of them."""
    from ibkr_assets.adapters.postgres.parity import PostgresParity
    from ibkr_assets.domain.order import account_ref
    from ibkr_assets.execution.parity import Parity

    store, own = strategy_store(settings), settings.strategies.directory
    past = PostgresParity(database(settings), account_ref(account(settings)), settings.mode).read
    return Parity(
        bar_store(settings), store, past, store.version, calendar(settings), account=settings.account, directory=own,
        window_sessions=settings.market.warm_up_sessions, models=models(settings),
        analysts=analysts(settings, may_ask=False),
    )  # fmt: skip


def intent_book(settings: Settings) -> PostgresIntents:
    """The order ledger as those who decide see it."""
    from ibkr_assets.adapters.machine import measure
    from ibkr_assets.adapters.postgres.intents import PostgresIntents

    return PostgresIntents(
        database(settings), settings.submitter.salt, lambda: version(settings),
        lambda: measure(settings.data_dir, versions(settings)),
    )  # fmt: skip


def lineage(settings: Settings) -> PostgresLineage:
    """Where orders came from."""
    from ibkr_assets.adapters.postgres.lineage import PostgresLineage

    return PostgresLineage(database(settings))


def version(settings: Settings) -> Version:
    """What runs: the code, and the settings that decide."""
    from ibkr_assets.adapters.version import describe_version

    # Whom alerts reach decides nothing, and the process that tells them alone may know the addresses.
    decides = settings.model_dump(mode="json", exclude={"alerts"})
    return describe_version(decides | {"risk": limits(settings).as_text()})


def versions(settings: Settings) -> Versions:
    """The hashes of `version`: what the deciding and the sending process must have in common."""
    from ibkr_assets.adapters.version import versions_of

    return versions_of(version(settings))


def order_ledger(settings: Settings) -> PostgresLedger:
    """The order ledger as the submitter and the command line see it."""
    from ibkr_assets.adapters.postgres.ledger import PostgresLedger

    return PostgresLedger(database(settings), versions(settings))


def recovery_report(settings: Settings) -> dict[str, Any] | None:
    """The newest restoration of the database and what was taken over since; None where there never was one."""
    from ibkr_assets.adapters.postgres.recovery import PostgresRecovery
    from ibkr_assets.domain.order import account_ref

    return PostgresRecovery(database(settings), account_ref(account(settings))).report()


def inspect(settings: Settings, what: str, **arguments: Any) -> Any:
    """What the client understood of one part of the gateway, as plain values for JSON."""
    from ibkr_assets.adapters.ibkr.inspect import inspect_broker

    return inspect_broker(bar_source(settings), broker(settings), what, **arguments)


def tracker(settings: Settings, strategy_id: str | None = None) -> MlflowTracker | None:
    """Experiment tracking, each strategy's its own; None where no server is named. Locks are the database's, if any."""
    from ibkr_assets.adapters.mlflow import MlflowTracker, experiment_of

    if not (uri := settings.mlflow.tracking_uri):
        return None
    experiment = experiment_of(settings.mlflow.experiment, strategy_id)
    return MlflowTracker(uri, experiment, *([] if settings.database.url is None else [database(settings).lock]))


def models(settings: Settings) -> MlflowModels | None:
    """Approved models of the registry, or None where no server is named."""
    from ibkr_assets.adapters.mlflow_models import MlflowModels

    return MlflowModels(settings.mlflow.tracking_uri) if settings.mlflow.tracking_uri else None


def analysts(settings: Settings, dagster_run_id: str | None = None, *, may_ask: bool = True) -> Analysts | None:
    """A language model for each strategy, None where none is configured; without `may_ask` what it answered before."""
    from ibkr_assets.adapters.llm.chat import ChatModel
    from ibkr_assets.adapters.postgres.canaries import PostgresCanaries
    from ibkr_assets.adapters.postgres.llm_calls import PostgresCalls
    from ibkr_assets.domain.analysis import Caller
    from ibkr_assets.execution.analyst import KeptAnalyst
    from ibkr_assets.execution.canary import watch

    own = settings.llm
    if not own.is_configured:
        return None
    terms, calls, endpoint = own.terms(settings.market.symbols), PostgresCalls(database(settings)), own.endpoint
    model = ChatModel(endpoint.base_url, key_env=endpoint.api_key_env, timeout_s=own.timeout_s) if may_ask else None
    canaries = PostgresCanaries(database(settings)) if may_ask else None
    return lambda strategy_id, version: watch(
        KeptAnalyst(terms, Caller(strategy_id, version, dagster_run_id), calls, model, own.price_of, own.read_notes),
        canaries,
    )


def llm_calls(settings: Settings) -> PostgresLlm:
    """What was asked of a language model, and what it cost."""
    from ibkr_assets.adapters.postgres.views.llm import PostgresLlm

    return PostgresLlm(database(settings))


def past_analysts(settings: Settings) -> PastAnalysts:
    """What a language model answered in requests that are stored, with the settings of then; nobody is asked."""
    from ibkr_assets.adapters.postgres.llm_calls import PostgresCalls
    from ibkr_assets.execution.analyst import KeptAnalyst

    def of(call_ids: Sequence[int]) -> KeptAnalyst:
        calls = PostgresCalls(database(settings), past=call_ids)
        then = calls.asked_with(call_ids)
        return KeptAnalyst(then.terms, then.caller, calls, None, lambda _: None, lambda *_: then.texts)

    return of


def limits(settings: Settings) -> Limits:
    """The configured risk limits."""
    return settings.risk.limits()


def limits_store(settings: Settings) -> PostgresLimits:
    """Versions of the limits in the order ledger, and who changed them."""
    from ibkr_assets.adapters.postgres.limits import PostgresLimits

    return PostgresLimits(database(settings))


def limits_in_force(settings: Settings) -> Limits:
    """What a decision is reviewed by: the configured limits, noted where they changed; raised ones wait in live."""
    return limits_store(settings).in_force(limits(settings), settings.mode)


def gateway_url(settings: Settings) -> str:
    """The gateway's base URL. Raises ConfigurationError when neither one nor a running stack is there."""
    if not settings.gateway.url:
        raise ConfigurationError(
            f"gateway.url: not set, and no embedded stack runs on data_dir {settings.data_dir}; "
            "start one with `ibkr-assets up` or set IBKR_ASSETS_GATEWAY_URL"
        )
    return settings.gateway.url
