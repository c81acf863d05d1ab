"""The sections of the settings: names, types, bounds and defaults, each in the words of a person who sets it.

What goes here: one class a section. What does not: where a value may come from, and what sections must agree on
(`settings`); limits, which have a floor of their own (`risk.configuration`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ibkr_assets.adapters.llm.endpoints import ENDPOINTS, Endpoint
from ibkr_assets.domain.analysis import Budgets, Price, Terms
from ibkr_assets.domain.host import is_loopback


class Section(BaseModel):
    """What all sections have in common: frozen, and nothing unknown in them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def known_zone(value: str) -> str:
    """The name of a time zone. Raises ValueError."""
    try:
        return ZoneInfo(value).key
    except (ValueError, ZoneInfoNotFoundError):
        raise ValueError(f"not a time zone: {value!r}") from None


class DatabaseSettings(Section):
    """The system of record. Without `url` the embedded Postgres of the data directory is meant."""

    url: SecretStr | None = Field(None, description="postgresql:// URL of the platform database")
    backup_recipient: str | None = Field(None, description="age public key that `db backup` encrypts for")

    @field_validator("backup_recipient", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None  # as a compose file hands on a variable that is not set


class GatewaySettings(Section):
    """The gateway that speaks IBKR's Web API."""

    url: str | None = Field(None, description="base URL up to and including /v1/api")
    ca: str | None = Field(None, description="PEM file of the gateway's certificate, or sha256:<hex> to pin it")
    reset_zone: str = Field("America/New_York", description="region in whose nights IBKR resets its gateways")
    connect_timeout_s: float = Field(3.0, gt=0, le=30)
    read_timeout_s: float = Field(10.0, gt=0, le=60, description="whole time of a read")
    order_timeout_s: float = Field(15.0, gt=0, le=60, description="whole time of an order call")
    may_compete: bool = Field(
        default=False, description="take the brokerage session from another platform of this user, at most once an hour"
    )
    has_stream: bool = Field(default=True, description="follow the websocket, so that fills are read as they happen")
    pace: float = Field(1.0, ge=1, description="mode sim only: divides IBKR's windows, as the simulated gateway's does")

    @field_validator("reset_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return known_zone(value)


class MarketSettings(Section):
    """What is looked at, and on which exchange's days."""

    calendar: str = Field("XNYS", description="ISO 10383 MIC of the exchange calendar")
    symbols: tuple[str, ...] = Field(("AAPL", "FB", "GOOG", "IBM", "MSFT"), min_length=1)
    first_session: str = Field("2012-05-18", description="first partition of the assets, ISO date")
    last_session: str | None = Field(None, description="last partition where the market's days end, as a tape's do")
    warm_up_sessions: int = Field(120, ge=1, le=1000, description="sessions fetched before a first partition")
    minutes_every: int | None = Field(
        None, ge=1, le=60, description="minutes between two collections of minute bars in a session; empty: none"
    )

    @field_validator("symbols")
    @classmethod
    def _upper(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [s for s in value if s != s.strip().upper() or not s]
        if wrong:
            raise ValueError(f"symbols are written in capitals, got {wrong}")
        return value


class SubmitterSettings(Section):
    """How the one process that sends orders behaves. Times are real, not market, seconds."""

    salt: str = Field("default", min_length=1, description="separates installations that trade one account")
    poll_interval_s: float = Field(0.1, gt=0, le=5)
    settle_s: float = Field(30.0, ge=0, description="between a send and the first, and the next, proof of absence")
    lease_s: float = Field(20.0, gt=1)
    may_resend: bool = Field(
        default=False, description="send once more, under the same id, what is proven absent; refused in mode live"
    )


class MlflowSettings(Section):
    """Where experiments are tracked; without a URI nothing is."""

    tracking_uri: str | None = None
    experiment: str = "ibkr_assets"


class ClusterSettings(Section):
    """Runs on other machines. Without a broker every run is a process of this one."""

    broker_url: SecretStr | None = Field(None, description="redis:// URL that carries runs to `ibkr-assets worker run`")


class StrategySettings(Section):
    """Where strategies come from beside the shipped kinds."""

    directory: Path | None = Field(None, description="directory of the user's own strategies, one Python file each")


class ChannelSettings(Section):
    """One way to reach somebody. The address is a secret: it stands in the environment or in a file of its own."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    url: SecretStr | None = Field(None, description="as the library apprise writes it: mailtos://, slack://, json://")
    url_file: Path | None = Field(None, description="a file whose first line is the address")
    min_severity: Literal["info", "warning", "page"] = Field("info", description="info: the daily digest as well")

    @model_validator(mode="after")
    def _one_address(self) -> ChannelSettings:
        if (self.url is None) == (self.url_file is None):
            raise ValueError(f"{self.name}: name one of url and url_file")
        return self


class AlertSettings(Section):
    """Who is told what, and when. Without a channel alerts are kept and shown, and nobody is told."""

    channels: tuple[ChannelSettings, ...] = ()
    zone: str = Field("America/New_York", description="time zone of the hours below")
    quiet_from: time | None = Field(None, description="from then on only pages are sent, as 22:00")
    quiet_until: time | None = None
    digest_at: time = Field(time(18), description="when everything that is not urgent is told in one message")
    messages_per_minute: int = Field(6, ge=1, le=60, description="of one channel; what is more goes into one message")
    remind_every_s: float = Field(1800.0, ge=60, description="a page that nobody acknowledged is sent again")
    timeout_s: float = Field(10.0, gt=0, le=60, description="whole time of one message")
    drift_fraction: Decimal = Field(
        Decimal("0.05"), gt=0, le=1, description="of the account: holdings farther from what was decided are told"
    )
    heartbeat_url: SecretStr | None = Field(None, description="asked while all is well; its silence is the alarm")
    heartbeat_every_s: float = Field(60.0, ge=1, le=3600)
    login_deadline_min: int = Field(60, ge=1, le=720, description="before the opening: somebody must have logged in")

    @field_validator("heartbeat_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None  # as a compose file hands on a variable that is not set

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return known_zone(value)

    @model_validator(mode="after")
    def _consistent(self) -> AlertSettings:
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise ValueError("channels: a name is there twice")
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet_from, quiet_until: name both or neither")
        return self


class DashboardUser(Section):
    """Who may log in. The hash is made by `ibkr-assets dashboard password`."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")
    role: Literal["viewer", "operator", "arm"] = "viewer"
    password_hash: SecretStr = Field(description="argon2id, as `ibkr-assets dashboard password` prints it")


class DashboardSettings(Section):
    """The web page. Without users a one-time link of `ibkr-assets dashboard link` is the only way in."""

    host: str = Field("127.0.0.1", description="address to listen on; another than loopback needs users")
    port: int = Field(8000, ge=0, le=65535, description="0 picks a free one")
    allowed_hosts: tuple[str, ...] = Field((), description="host names it answers to, beside those of loopback")
    users: tuple[DashboardUser, ...] = ()
    dagster_url: str | None = Field(None, description="Dagster's webserver, on loopback or a network of its own")
    metrics_token: SecretStr | None = Field(None, description="what a scrape of /metrics must bear; on loopback none")

    @model_validator(mode="after")
    def _guarded(self) -> DashboardSettings:
        names = [user.name for user in self.users]
        if len(set(names)) < len(names):
            raise ValueError("users: a name is there twice")
        if not self.users and not is_loopback(self.host):
            raise ValueError(f"host {self.host} is not loopback, and there is no user with a password")
        return self


class LlmPrice(Section):
    """What a model costs, where the dated table that comes with the platform does not know it."""

    input_usd_per_million: Decimal = Field(ge=0, description="for a million tokens of the prompt")
    output_usd_per_million: Decimal = Field(ge=0, description="for a million tokens of the answer")
    source: str = Field(min_length=1, max_length=200, description="where the price is published")
    as_of: date = Field(description="the day it was looked up")


class LlmBudgets(Section):
    """What may be spent on a language model. A day is one of UTC by the database's clock: bills know no market time."""

    call_usd: Decimal = Field(gt=0, description="at most for one request")
    strategy_usd: Decimal = Field(gt=0, description="at most for one strategy in a day")
    day_usd: Decimal = Field(gt=0, description="at most for all in a day")


class LlmSettings(Section):
    """The language model that strategies of kind llm_analyst ask. Off until `base_url` or `provider` is set."""

    base_url: str | None = Field(None, pattern=r"^https?://", description="of any endpoint that speaks OpenAI's API")
    provider: str | None = Field(None, description="one of the endpoints that are known by name, in place of base_url")
    model: str | None = Field(None, min_length=1, description="the model's id, as the endpoint knows it")
    api_key_env: str | None = Field(None, pattern=r"^[A-Z][A-Z0-9_]*$", description="name of the variable with the key")
    timeout_s: float = Field(30.0, gt=0, le=600, description="whole time of one request")
    samples: int = Field(1, ge=1, le=9, description="how often the same is asked, to see whether answers agree")
    max_output_tokens: int = Field(600, ge=50, le=8000)
    sees_charts: bool = Field(default=False, description="show the model a picture of the prices")
    ask_again: bool = Field(default=False, description="ask even where the same inputs were answered before")
    answers_as: str | None = Field(None, description="the id an answer must come from; another one counts for nothing")
    training_cutoff: date | None = Field(None, description="last day that the model may have learnt of")
    notes: Path | None = Field(None, description="directory of your notes and headlines: SYMBOL/YYYY-MM-DD*.txt")
    price: LlmPrice | None = None
    budgets: LlmBudgets | None = Field(None, description="required: without them nothing is asked")

    @property
    def is_configured(self) -> bool:
        """Whether there is an endpoint."""
        return self.base_url is not None or self.provider is not None

    @property
    def endpoint(self) -> Endpoint:
        """Where to ask, and the variable of the key; ask for it only where one is configured."""
        known = ENDPOINTS.get(self.provider or "")
        if known is None:
            return Endpoint(self.base_url or "", self.api_key_env)
        return Endpoint(known.base_url, self.api_key_env or known.api_key_env)

    def price_of(self, model: str) -> Price | None:
        """What the model costs today, by these settings or by the table that is installed; None: not known."""
        from ibkr_assets.adapters.llm.prices import find_price

        if self.price is not None:
            return Price(**self.price.model_dump())
        return find_price(model, self.endpoint.base_url, datetime.now(UTC).date())

    def read_notes(self, symbol: str, opened_at: datetime) -> list[str]:
        """Outside text on a symbol up to the day of a bar; none where no directory is named."""
        from ibkr_assets.adapters.llm.notes import read_notes

        return [] if self.notes is None else read_notes(self.notes, symbol, opened_at)

    def terms(self, symbols: tuple[str, ...]) -> Terms:
        """How is asked. `symbols` are those of the market, which no answer may name."""
        budgets = None if self.budgets is None else Budgets(**self.budgets.model_dump())
        return Terms(
            self.model or "", {"temperature": 0, "max_tokens": self.max_output_tokens}, self.samples, self.sees_charts,
            symbols, budgets, self.answers_as, self.ask_again,
        )  # fmt: skip

    @model_validator(mode="after")
    def _whole(self) -> LlmSettings:
        if self.base_url is not None and self.provider is not None:
            raise ValueError("base_url and provider: set one of them")
        if self.provider is not None and self.provider not in ENDPOINTS:
            raise ValueError(f"provider {self.provider!r}: known are {', '.join(ENDPOINTS)}")
        if self.is_configured and (self.model is None or self.budgets is None):
            raise ValueError("model and budgets are required with an endpoint")
        if self.api_key_env and self.base_url and self.base_url.startswith("http://"):
            host = urlsplit(self.base_url).hostname or ""
            if not is_loopback(host):
                raise ValueError(f"base_url must be https where a key is sent, got host {host}")
        return self
