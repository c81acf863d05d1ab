"""Where everything of a stack is: addresses, roles, and the environment that leads there.

Decided before anything starts, from the settings, the data directory and the chosen ports. The processes that serve
these addresses are in `stack.services`.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode
from ibkr_assets.risk.simulated import SIMULATED
from ibkr_assets.settings import Settings
from ibkr_assets.stack.databases import ensure_sibling_databases
from ibkr_assets.stack.instance import BROKER_VARIABLE
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets.stack.stand_in import plan_stand_in

SIMULATED_ACCOUNT = "DU1000001"
#: The last day of the real bars that our own gateway replays: after it there is no session to ask for.
LAST_SESSION_OF_TAPE = "2013-03-01"
#: Dagster's processes open a connection for nearly every question, and most of the time of each went into hashing
#: its password 4,096 times. That guards passwords that can be guessed; ours are 192 random bits.
_CHEAP_CONNECTIONS = {"scram_iterations": "1"}
#: No encryption is asked for on loopback, and Dagster's events do not wait for the disk: they are not the record of
#: anything, and a run whose last event was lost in a crash is asked for again and changes nothing.
_DAGSTER_OPTIONS = "?sslmode=disable&gssencmode=disable&options=-csynchronous_commit%3Doff"


@dataclass(frozen=True, slots=True)
class Databases:
    """URLs by who uses them. With an outside database there is one role for all that touches the platform's."""

    owner: str
    app: str
    submitter: str
    dashboard: str
    dagster: str
    mlflow: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A stack before it runs. `postgres` and `gateway_port` are None where an outside one stands in.

    `clock_url` is None when the market runs on the machine's time; `admin_token` moves the clock. `stand_in` are the
    variables that lead to the stand-in for a language model, none where it is not asked; `cluster` those that lead to
    the broker of the workers, none where runs stay on this machine.
    """

    data_dir: Path
    mode: Mode
    account: str
    symbols: tuple[str, ...]
    allowed_symbols: tuple[str, ...]
    limits: Mapping[str, str]
    first_session: str
    last_session: str | None
    postgres: EmbeddedPostgres | None
    databases: Databases
    gateway_url: str
    gateway_ca: str | None
    is_gateway_ours: bool
    clock_url: str | None
    admin_token: str | None
    mlflow_url: str
    is_mlflow_ours: bool
    dagster_url: str
    dashboard_url: str
    stand_in: Mapping[str, str]
    cluster: Mapping[str, str]
    dagster_home: Path
    ports: Mapping[str, int]

    @property
    def can_replay(self) -> bool:
        """True when the market's time is ours to move."""
        return self.mode in (Mode.SIM, Mode.DRY_RUN) and self.clock_url is not None and self.admin_token is not None

    @property
    def urls(self) -> dict[str, str]:
        """Addresses for people."""
        urls = {
            "dashboard": self.dashboard_url,
            "dagster": self.dagster_url,
            "mlflow": self.mlflow_url,
            "gateway": self.gateway_url,
        }
        if self.clock_url is not None:
            urls["market_clock"] = self.clock_url
        return urls

    def environment(self, database_url: str | None = None) -> dict[str, str]:
        """The variables that lead a process to this stack; the role is the one that decides, unless another is given.

        The submitter's URL is never part of what is handed on.
        """
        variables = {
            "IBKR_ASSETS_DATA_DIR": str(self.data_dir),
            "IBKR_ASSETS_DATABASE_URL": database_url or self.databases.app,
            "IBKR_ASSETS_GATEWAY_URL": self.gateway_url,
            "IBKR_ASSETS_ACCOUNT": self.account,
            "IBKR_ASSETS_MODE": self.mode.value,
            "IBKR_ASSETS__MARKET__SYMBOLS": json.dumps(self.symbols),
            "IBKR_ASSETS__MARKET__FIRST_SESSION": self.first_session,
            **{f"IBKR_ASSETS__RISK__{name.upper()}": text for name, text in self.limits.items()},
            "IBKR_ASSETS__RISK__ALLOWED_SYMBOLS": json.dumps(self.allowed_symbols),
            "IBKR_ASSETS__DASHBOARD__DAGSTER_URL": self.dagster_url,
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "DAGSTER_HOME": str(self.dagster_home),
            **self.stand_in,
            **self.cluster,
        }
        if self.last_session is not None:
            variables["IBKR_ASSETS__MARKET__LAST_SESSION"] = self.last_session
        if self.gateway_ca is not None:
            variables["IBKR_ASSETS_GATEWAY_CA"] = self.gateway_ca
        if self.clock_url is not None:
            variables["IBKR_ASSETS_CLOCK_URL"] = self.clock_url
        return variables


def plan_limits(settings: Settings) -> dict[str, str]:
    """The limits that differ from those of a small account: what somebody set, and in a simulation `SIMULATED`."""
    own = {name: settings.risk.model_dump(mode="json")[name] for name in settings.risk.model_fields_set}
    stand_in = SIMULATED if settings.mode in (Mode.SIM, Mode.DRY_RUN) and settings.gateway.url is None else {}
    limits = {**stand_in, **own}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in limits.items()}


def plan_layout(settings: Settings, data_dir: Path, ports: Mapping[str, int], *, first_session: str) -> Layout:
    """Decide where everything is. Raises ConfigurationError when the settings contradict an embedded stack.

    With an outside database its siblings for Dagster and MLflow are created here; Unavailable when it is not there.
    """
    postgres = None
    if settings.database.url is None:
        postgres = EmbeddedPostgres(data_dir, port=ports["postgres"], settings=_CHEAP_CONNECTIONS)
        databases = _own_databases(postgres)
    else:
        url = settings.database.url.get_secret_value()
        siblings = ensure_sibling_databases(url)
        databases = Databases(url, url, url, url, siblings["dagster"], siblings["mlflow"])
    is_gateway_ours = settings.gateway.url is None
    if is_gateway_ours and settings.mode in (Mode.PAPER, Mode.LIVE):
        raise ConfigurationError(
            f"mode: {settings.mode} needs a real gateway; name it with IBKR_ASSETS_GATEWAY_URL, or leave the mode out"
        )
    return Layout(
        data_dir=data_dir,
        mode=Mode.SIM if is_gateway_ours and "mode" not in settings.model_fields_set else settings.mode,
        account=settings.account or SIMULATED_ACCOUNT,
        symbols=settings.market.symbols,
        allowed_symbols=settings.risk.allowed_symbols or settings.market.symbols,
        limits=plan_limits(settings),
        first_session=first_session,
        last_session=settings.market.last_session or (LAST_SESSION_OF_TAPE if is_gateway_ours else None),
        postgres=postgres,
        databases=databases,
        gateway_url=settings.gateway.url or f"http://127.0.0.1:{ports['gateway']}/v1/api",
        gateway_ca=settings.gateway.ca,
        is_gateway_ours=is_gateway_ours,
        clock_url=(f"http://127.0.0.1:{ports['gateway_admin']}/clock" if is_gateway_ours else settings.clock_url),
        admin_token=os.environ.get("IBKR_ASSETS_ADMIN_TOKEN")
        or (secrets.token_urlsafe(24) if is_gateway_ours else None),
        mlflow_url=settings.mlflow.tracking_uri or f"http://127.0.0.1:{ports['mlflow']}",
        is_mlflow_ours=settings.mlflow.tracking_uri is None,
        dagster_url=f"http://127.0.0.1:{ports['webserver']}",
        dashboard_url=f"http://127.0.0.1:{ports['dashboard']}",
        stand_in=plan_stand_in(settings, ports["analyst"]),
        cluster=_cluster(settings),
        dagster_home=data_dir / "dagster",
        ports=ports,
    )


def _cluster(settings: Settings) -> dict[str, str]:
    url = settings.cluster.broker_url
    return {} if url is None else {BROKER_VARIABLE: url.get_secret_value()}


def _own_databases(postgres: EmbeddedPostgres) -> Databases:
    return Databases(
        owner=postgres.url("platform"),
        app=postgres.url("platform", "ibkr_app"),
        submitter=postgres.url("platform", "ibkr_submitter"),
        dashboard=postgres.url("platform", "ibkr_dashboard"),
        dagster=postgres.url("dagster") + _DAGSTER_OPTIONS,
        mlflow=postgres.url("mlflow"),
    )
