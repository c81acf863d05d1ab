"""The processes of the embedded stack: how each is started, when it is ready, and what its death means.

Where they listen and which database each may use is decided in `stack.layout`; starting and stopping them is
`stack.supervisor`'s work. Anything that runs longer than a start belongs into the process itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import yaml

from ibkr_assets.adapters.dagster_api import LOCATION
from ibkr_assets.stack.child import Service
from ibkr_assets.stack.instance import write_instance
from ibkr_assets.stack.layout import Layout
from ibkr_assets.stack.probes import SaysLine, accepts_tcp, answers_http

_ALLOWED_HOSTS = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,mlflow,mlflow:*"
#: How often the daemon looks for runs to start: most of what a run waits for.
_DEQUEUE_INTERVAL_S = 0.2
_SWITCHES = {
    "PYTHONUNBUFFERED": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # The job runner is eight more processes and about 500 MB, for features that nothing here uses.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
#: Ours to set, whatever the caller's shell has.
_NOT_INHERITED = (
    "IBKR_ASSETS_ADMIN_TOKEN", "IBKR_ASSETS_LIVE_ARM", "IBKR_ASSETS_PAPER_DATABASE_URL", "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
)  # fmt: skip
#: Whoever knows the address of a channel can use it.
_ADDRESSES = ("IBKR_ASSETS__ALERTS__CHANNELS", "IBKR_ASSETS__ALERTS__HEARTBEAT_URL")
_PATHS = ("IBKR_ASSETS_CONFIG", "IBKR_ASSETS_GATEWAY_CA")


def list_services(layout: Layout, logs: Path, *, clock_start: datetime) -> list[Service]:
    """All services in the order of their start; what needs nothing comes first.

    `clock_start` is the market time at which a simulated gateway begins that has no state yet.
    """
    table = _Table(layout, logs)
    services = []
    if layout.is_gateway_ours:
        services.append(table.gateway(clock_start))
    if layout.stand_in:
        services.append(table.analyst())
    if layout.postgres is not None:
        services.append(table.postgres())
    services.append(table.databases())
    services.append(table.dashboard())
    services.append(table.code_server())
    services.append(table.daemon())
    services.append(table.webserver())
    if layout.is_mlflow_ours:
        services.append(table.mlflow())
    services.append(table.submitter())
    services.append(table.watchdog())
    services.append(table.alerts())
    return services


class _Table:
    """One method a service."""

    def __init__(self, layout: Layout, logs: Path) -> None:
        self._layout = layout
        self._logs = logs
        self._workspace = layout.dagster_home / "workspace.yaml"
        self._after_postgres = () if layout.postgres is None else ("postgres",)

    def gateway(self, clock_start: datetime) -> Service:
        ports = self._layout.ports
        return self._ours(
            "gateway",
            (
                "gateway", "--port", str(ports["gateway"]), "--admin-port", str(ports["gateway_admin"]),
                "--account", self._layout.account, "--state-dir", str(self._layout.data_dir / "gateway"),
                "--clock-start", clock_start.isoformat(),
            ),
            "^ready http",
            more={"IBKR_ASSETS_ADMIN_TOKEN": self._layout.admin_token or ""},
            port=ports["gateway"],
            url=self._layout.gateway_url,
        )  # fmt: skip

    def analyst(self) -> Service:
        """The stand-in for a language model; it takes 20 MB, and half a second of its own to start."""
        port = self._layout.ports["analyst"]
        url = f"http://127.0.0.1:{port}/v1"
        return self._ours("analyst", ("analyst", "--port", str(port)), "^ready http", more={}, port=port, url=url)

    def postgres(self) -> Service:
        server = self._layout.postgres
        assert server is not None
        # Prepared before it is started, so that a directory which will not do is refused before anything runs.
        command = server.command()
        return Service(
            "postgres",
            command.argv,
            self._logs / "postgres.log",
            server.is_ready,
            environment=command.environment,
            prepare=server.prepare,
            stop_signal=signal.SIGINT,
            user=command.user,
            port=server.port,
        )

    def databases(self) -> Service:
        """Three databases with their roles, and the platform's schema."""

        def prepare() -> None:
            from ibkr_assets.adapters.postgres.migrate import migrate

            if self._layout.postgres is not None:
                self._layout.postgres.ensure_databases()
            migrate(self._layout.databases.owner)

        return Service("databases", (), self._logs / "databases.log", prepare=prepare, after=self._after_postgres)

    def mlflow(self) -> Service:
        port = self._layout.ports["mlflow"]
        scheme, _, rest = self._layout.databases.mlflow.partition("://")
        artifacts = self._layout.data_dir / "mlflow-artifacts"
        return Service(
            "mlflow",
            (
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--artifacts-destination", artifacts.as_uri(), "--allowed-hosts", _ALLOWED_HOSTS,
            ),
            self._logs / "mlflow.log",
            answers_http(f"http://127.0.0.1:{port}/health"),
            # In the environment: the URL holds a password, and everybody can read command lines.
            environment=self._environment({"MLFLOW_BACKEND_STORE_URI": f"{scheme}+psycopg2://{rest}"}),
            directory=self._layout.data_dir,
            after=("databases",),
            may_restart=True,
            port=port,
            url=self._layout.mlflow_url,
        )  # fmt: skip

    def code_server(self) -> Service:
        port = self._layout.ports["code"]
        return Service(
            "code",
            (
                sys.executable, "-m", "dagster", "api", "grpc", "--module-name", "ibkr_assets.definitions",
                "--host", "127.0.0.1", "--port", str(port), "--location-name", LOCATION,
            ),
            self._logs / "code.log",
            accepts_tcp(port),
            environment=self._environment(),
            directory=self._layout.data_dir,
            prepare=self._write_dagster_home,
            after=("databases",),
            port=port,
        )  # fmt: skip

    def daemon(self) -> Service:
        log = self._logs / "daemon.log"
        ready = SaysLine(log, "Instance is configured with the following daemons")
        return Service(
            "daemon",
            (sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(self._workspace)),
            log,
            ready,
            environment=self._environment(),
            directory=self._layout.data_dir,
            prepare=ready.mark,
            after=("databases", "code"),
            may_restart=True,
        )

    def webserver(self) -> Service:
        port = self._layout.ports["webserver"]
        return Service(
            "webserver",
            (
                sys.executable, "-m", "dagster_webserver", "--host", "127.0.0.1", "--port", str(port),
                "--workspace", str(self._workspace),
            ),
            self._logs / "webserver.log",
            answers_http(f"http://127.0.0.1:{port}/server_info"),
            environment=self._environment(),
            directory=self._layout.data_dir,
            after=("databases", "code"),
            may_restart=True,
            port=port,
            url=self._layout.dagster_url,
        )  # fmt: skip

    def dashboard(self) -> Service:
        # Before what takes longer: its pages say what is not there yet.
        port = self._layout.ports["dashboard"]
        more = {
            **self._layout.environment(self._layout.databases.dashboard),
            "IBKR_ASSETS__DASHBOARD__HOST": "127.0.0.1", "IBKR_ASSETS__DASHBOARD__PORT": str(port),
        }  # fmt: skip
        url = self._layout.dashboard_url
        return self._ours(
            "dashboard", ("dashboard", "run"), "^ready http", more=more, after=("databases",), port=port, url=url
        )

    def submitter(self) -> Service:
        gateway = ("gateway",) if self._layout.is_gateway_ours else ()
        return self._ours(
            "submitter",
            ("submitter", "run"),
            "^ready",
            more={**self._layout.environment(self._layout.databases.submitter), **_live_arm()},
            after=("databases", *gateway),
        )

    def watchdog(self) -> Service:
        # After the submitter, and so stopped before it: an end that was asked for is no silence.
        return self._ours("watchdog", ("watchdog", "run"), "^ready", more={}, after=("databases", "submitter"))

    def alerts(self) -> Service:
        # The one process that is handed the channels' addresses.
        more = {name: value for name, value in os.environ.items() if name.startswith(_ADDRESSES)}
        return self._ours("alerts", ("alerts", "run"), "^ready", more=more, after=("databases",))

    def _ours(
        self,
        name: str,
        arguments: tuple[str, ...],
        ready_line: str,
        *,
        more: Mapping[str, str],
        after: tuple[str, ...] = (),
        port: int | None = None,
        url: str | None = None,
    ) -> Service:
        log = self._logs / f"{name}.log"
        ready = SaysLine(log, ready_line)
        return Service(
            name,
            (sys.executable, "-m", "ibkr_assets.cli", *arguments),
            log,
            ready,
            environment=self._environment(more),
            directory=self._layout.data_dir,
            prepare=ready.mark,
            after=after,
            may_restart=True,
            port=port,
            url=url,
        )

    def _environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in (*_NOT_INHERITED, *_ADDRESSES)}
        for name in _PATHS:  # the working directory is another one there
            if (value := inherited.get(name)) and not value.startswith("sha256:"):
                inherited[name] = str(Path(value).absolute())
        return {**inherited, **_SWITCHES, **self._layout.environment(), **(more or {})}

    def _write_dagster_home(self) -> None:
        home = self._layout.dagster_home
        write_instance(
            home,
            postgres_url=self._layout.databases.dagster,
            dequeue_interval_s=_DEQUEUE_INTERVAL_S,
            has_workers=bool(self._layout.cluster),
        )
        location = {"host": "127.0.0.1", "port": self._layout.ports["code"], "location_name": LOCATION}
        self._workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")


def _live_arm() -> dict[str, str]:
    """The key of mode live that the submitter alone is handed."""
    value = os.environ.get("IBKR_ASSETS_LIVE_ARM")
    return {"IBKR_ASSETS_LIVE_ARM": value} if value else {}
