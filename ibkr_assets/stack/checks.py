"""Is each thing that the platform depends on reachable, and if not, what can be done about it.

Each check asks the peer itself, once, with the adapters that the platform uses. Nothing is mended here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from ibkr_assets import bootstrap
from ibkr_assets.adapters.ibkr.transport import GatewayNotTrusted
from ibkr_assets.domain.errors import ConfigurationError, LoginRequired, PlatformError, Unavailable
from ibkr_assets.domain.order import account_ref
from ibkr_assets.settings import Settings
from ibkr_assets.stack.upkeep import (
    BACKUPS,
    Unknown,
    look_at_backups,
    look_at_disk,
    look_at_minutes,
    look_at_workers,
    require_answer,
)

_HEARTBEAT_LIMIT = timedelta(seconds=30)
_START = "start a stack with `ibkr-assets up`, or name one"


def run_checks(
    settings: Settings, state: dict[str, Any] | None, *, without: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """One row a dependency: `name`, `ok` (None when unknown), `detail`, `advice`. `state` is the running stack's.

    Those named in `without` are not asked.
    """
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("data_dir", lambda: look_at_disk(settings), "free some space, or choose another --data-dir"),
        ("database", lambda: _database(settings), f"{_START} with IBKR_ASSETS_DATABASE_URL"),
        ("gateway", lambda: _gateway(settings), f"{_START} with IBKR_ASSETS_GATEWAY_URL"),
        ("market clock", lambda: _clock(settings), "it is served by the simulated gateway's admin port"),
        ("submitter", lambda: _submitter(settings), "start it with `ibkr-assets submitter run`; see its log"),
        ("watchdog", lambda: _watchdog(settings), "start it with `ibkr-assets watchdog run`; see its log"),
        (
            "alerts",
            lambda: _alerts(settings),
            "see the log of `ibkr-assets alerts run`; try `ibkr-assets alerts test`",
        ),
        ("language model", lambda: _language_model(settings), "strategies of kind llm_analyst abstain until then"),
        ("minutes", lambda: look_at_minutes(settings), "is the sensor minutes_while_open on? see its runs in Dagster"),
        (
            "workers",
            lambda: look_at_workers(settings),
            "start one: `ibkr-assets worker run`; see the broker's log",
        ),
        (
            "backups",
            lambda: look_at_backups(settings, datetime.now(UTC)),
            f"make one: ibkr-assets db backup --out {settings.data_dir.absolute() / BACKUPS}",
        ),
        ("mlflow", lambda: _mlflow(settings), f"{_START} with MLFLOW_TRACKING_URI; runs go on without it"),
        ("dagster", lambda: _dagster(settings, state), "see the logs of webserver, daemon and code location"),
    ]
    return [_row(*check) for check in checks if check[0] not in without]


def require_gateway(settings: Settings) -> None:
    """Raise unless somebody is logged in to the gateway of the settings; the rest the submitter can mend.

    Unavailable when it does not answer, LoginRequired when a person has to log in, ConfigurationError when its
    certificate is not the one that gateway.ca names.
    """
    url = settings.gateway.url
    try:
        session = bootstrap.bar_source(settings).session()
    except LoginRequired:
        raise
    except GatewayNotTrusted as error:
        raise ConfigurationError(f"gateway.ca: {url} is not trusted ({error})") from None
    except Unavailable as error:
        raise Unavailable(f"gateway.url: {url} does not answer ({error}); start that gateway, or unset it") from None
    if not session.is_logged_in:
        page = (url or "").removesuffix("/v1/api")
        raise LoginRequired(f"gateway.url: {url} is logged out; open {page} in a browser and log in, then start again")


def _row(name: str, look: Callable[[], str], advice: str) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": look(), "advice": None}
    except Unknown as unknown:
        return {"name": name, "ok": None, "detail": f"unknown: {unknown}", "advice": None}
    except LoginRequired as error:
        return {"name": name, "ok": False, "detail": str(error), "advice": "log in to the gateway in a browser"}
    except (PlatformError, httpx.HTTPError, OSError) as error:
        return {"name": name, "ok": False, "detail": str(error) or type(error).__name__, "advice": advice}


def _database(settings: Settings) -> str:
    from ibkr_assets.adapters.postgres.migrate import check

    check(bootstrap.database_url(settings))
    return f"answers, schema up to date: {bootstrap.database(settings)}"


def _gateway(settings: Settings) -> str:
    session = bootstrap.bar_source(settings).session()
    if session.is_ready:
        return f"{settings.gateway.url}: logged in, brokerage session up"
    if not session.is_logged_in:
        raise LoginRequired(f"{settings.gateway.url}: logged out {session.message}".strip())
    if session.is_competing:
        raise Unavailable(f"{settings.gateway.url}: another session uses this login")
    raise Unavailable(f"{settings.gateway.url}: logged in, but the brokerage session is not up {session.message}")


def _clock(settings: Settings) -> str:
    now = bootstrap.clock(settings).now().isoformat(timespec="seconds")
    return f"{settings.clock_url}: {now}" if settings.clock_url else f"the machine's: {now}"


def _submitter(settings: Settings) -> str:
    with bootstrap.database(settings).connect() as connection:
        row = connection.execute(
            "select status, detail, clock_timestamp() - at from oms.heartbeat where account_ref = %s",
            (account_ref(bootstrap.account(settings)),),
        ).fetchone()
    if row is None:
        raise Unavailable("has never run for this account")
    status, detail, age = row
    text = f"{status} {detail}".strip()
    if age > _HEARTBEAT_LIMIT:
        raise Unavailable(f"last heard of {age.total_seconds():.0f} s ago: {text}")
    if status == "keep-alive dead":  # the session behind it may have ended, whatever else still works
        raise Unavailable(text)
    return text


def _watchdog(settings: Settings) -> str:
    with bootstrap.database(settings).connect() as connection:
        row = connection.execute(
            "select w.status, w.detail, clock_timestamp() - w.at, (select count(*) from oms.alert a "
            "where a.account_ref = w.account_ref and a.resolved_at is null) from oms.watchdog w where account_ref = %s",
            (account_ref(bootstrap.account(settings)),),
        ).fetchone()
    if row is None:
        raise Unknown("has never run for this account")
    status, detail, age, alerts = row
    if age > _HEARTBEAT_LIMIT:
        raise Unavailable(f"last heard of {age.total_seconds():.0f} s ago: {status} {detail}")
    return f"{status}, {detail}, {alerts} alerts open"


def _alerts(settings: Settings) -> str:
    """Whether anybody would hear of anything. No channel is a choice, and said so."""
    alerts = bootstrap.alerts(settings, "doctor")
    sender, channels = alerts.sender(), alerts.channels()
    if sender is None:
        raise Unknown("the process that tells people has never run for this account")
    if sender["age_s"] > _HEARTBEAT_LIMIT.total_seconds():
        raise Unavailable(f"nobody is told of alerts: last seen {sender['age_s']:.0f} s ago")
    if not channels:
        return "kept and shown; nobody is told: set alerts.channels"
    failing = [f"{one['channel']} ({one['problem']})" for one in channels if one["failing_since"] is not None]
    if failing:
        raise Unavailable(f"not taken: {', '.join(failing)}")
    if sender["heartbeat_problem"]:
        raise Unavailable(f"heartbeat: {sender['heartbeat_problem']}")
    return f"{', '.join(one['channel'] for one in channels)}; {sum(one['waiting'] for one in channels)} waiting"


def _language_model(settings: Settings) -> str:
    """What a question would find. None is asked, because it costs: only whether somebody listens."""
    own = settings.llm
    if not own.is_configured or own.budgets is None or own.model is None:
        return "none is named (llm.base_url): strategies of kind llm_analyst abstain"
    key = own.endpoint.api_key_env
    if key and not os.environ.get(key):
        raise ConfigurationError(f"llm.api_key_env: the variable {key} is not set here")
    if own.price_of(own.model) is None:
        raise ConfigurationError(f"llm.price: not set, and no price of model {own.model} is known")
    require_answer(own.endpoint.base_url)
    rows = bootstrap.llm_calls(settings).spend()
    today = datetime.now(UTC).date()
    spent = sum((row.cost_usd + row.in_flight_usd for row in rows if row.day == today), Decimal(0))
    return f"{own.model} at {own.endpoint.base_url}; {spent:f} of {own.budgets.day_usd:f} USD spent today"


def _mlflow(settings: Settings) -> str:
    uri = settings.mlflow.tracking_uri
    if uri is None:
        raise Unknown("no tracking server is named (MLFLOW_TRACKING_URI)")
    if not uri.startswith(("http://", "https://")):
        raise Unknown(f"{uri} is no server")
    version = httpx.get(f"{uri.rstrip('/')}/version", timeout=5, trust_env=False).raise_for_status().text
    return f"{uri}: MLflow {version}"


def _dagster(settings: Settings, state: dict[str, Any] | None) -> str:
    url = settings.dashboard.dagster_url if state is None else state["urls"]["dagster"]
    if url is None:
        raise Unknown("no embedded stack runs on this data directory, and dashboard.dagster_url is not set")
    info = httpx.get(f"{url}/server_info", timeout=5, trust_env=False).raise_for_status().json()
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
    answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=10, trust_env=False).raise_for_status().json()
    daemons = answer["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    if ill := [daemon["daemonType"] for daemon in daemons if daemon["required"] and not daemon["healthy"]]:
        raise Unavailable(f"{url}: daemons without a heartbeat: {', '.join(ill)}")
    return f"{url}: Dagster {info['dagster_version']}, daemons healthy"
