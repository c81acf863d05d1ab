"""`ibkr-assets up`: the embedded stack, a replay of past sessions through it, the closing words, and the end.

The order of things and nothing else; each step is a module of its own. Words for people go to stderr; stdout has the
JSON document or nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.adapters.strategies_file import read_strategies
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import account_ref
from ibkr_assets.settings import Settings, is_stack_running
from ibkr_assets.stack.checks import require_gateway
from ibkr_assets.stack.layout import Layout, plan_layout
from ibkr_assets.stack.market_time import MarketTime
from ibkr_assets.stack.ports import Ports
from ibkr_assets.stack.record import StackRecord
from ibkr_assets.stack.services import list_services
from ibkr_assets.stack.signals import Interruptible
from ibkr_assets.stack.state import DataDirectory, StackState
from ibkr_assets.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from ibkr_assets.adapters.dagster_api import DagsterApi
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import StrategyRecord
    from ibkr_assets.stack.replay import Replayed

#: Before the storm closure of 29 and 30 October 2012 and two half days.
DEFAULT_START = date(2012, 10, 1)
#: What a stack trades when no file is named.
DEFAULT_STRATEGIES = Path(__file__).parent / "strategies.yaml"
_START_BEFORE_OPEN = timedelta(minutes=30)
_INTERRUPTED = 130
LIVE_SENSORS = ("market_open", "ibkr_auth")
LIVE_SCHEDULES = ("trading_strategy_evening", "trading_strategy_before_open")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `up` was asked for. `sessions` are replayed from `start` on; `ports` are by service name.

    `entrance` makes a path of the dashboard, of a data directory, that lets its bearer in once.
    """

    settings: Settings
    start: date | None = None
    sessions: int = 60
    speed: float = 0.0
    strategies: Path | None = None
    once: bool = False
    as_json: bool = False
    entrance: Callable[[Path], str] | None = None
    ports: Mapping[str, int] = field(default_factory=dict)


def up(options: UpOptions) -> int:
    """Run the stack until it is told to stop, or with `once` until the replay is settled. Returns the exit code.

    Raises ConfigurationError, InputError, Unavailable, StackFailure or RunFailure after everything that was started
    has been stopped.
    """
    began = time.monotonic()
    settings = options.settings
    strategies = read_known_strategies(options.strategies, settings.strategies.directory)
    if settings.gateway.url is not None and not is_stack_running(settings.data_dir):
        require_gateway(settings)
    with Interruptible() as interruptible:
        try:
            with DataDirectory(settings.data_dir, say=say) as directory, Ports(options.ports) as ports:
                first = directory.keep_first_session(options.start, DEFAULT_START)
                sessions = list_sessions(bootstrap.calendar(settings), first, options.sessions)
                layout = plan_layout(
                    settings, directory.path, ports.numbers,
                    first_session=min(settings.market.first_session, sessions[0].day.isoformat()),
                )  # fmt: skip
                say(f"starting on {directory.path}, with one log a process in {directory.logs}")
                clock_start = sessions[0].opens_at - _START_BEFORE_OPEN
                with Supervisor(
                    list_services(layout, directory.logs, clock_start=clock_start),
                    marker=directory.marker,
                    say=say,
                    on_change=publisher(layout, directory.path),
                ) as supervisor:
                    interruptible.on_repeat = supervisor.hurry
                    set_up_s = time.monotonic() - began
                    say(f"everything is ready after {set_up_s:.1f} s")
                    if not options.once:
                        say(f"watch it: {_dashboard(layout, options)}")
                    Session(options, layout, supervisor, strategies, set_up_s).run(sessions[: options.sessions])
                    say("stopping")
        except KeyboardInterrupt:
            say("stopped")
            return _INTERRUPTED if options.once else 0
    return 0


def _dashboard(layout: Layout, options: UpOptions) -> str:
    """The address to open; with a way in, for whoever reads this terminal."""
    if options.entrance is None:
        return layout.dashboard_url
    return f"{layout.dashboard_url}{options.entrance(layout.data_dir)}"


def say(line: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def publisher(layout: Layout, data_dir: Path) -> Callable[[list[dict[str, Any]]], None]:
    """What writes `stack.json` anew each time a process came or went."""
    environment = layout.environment()
    if layout.admin_token is not None:
        environment["IBKR_ASSETS_ADMIN_TOKEN"] = layout.admin_token
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    state = StackState(layout.mode.value, started_at, environment, layout.ports, layout.urls)

    def publish(processes: list[dict[str, Any]]) -> None:
        state.processes = processes
        state.write(data_dir)

    return publish


def list_sessions(calendar: ExchangeCalendar, first: date, count: int) -> list[TradingSession]:
    """Sessions from the first one on or after a day; at least one, so that the market has a time to start at."""
    sessions = [calendar.next_session(first - timedelta(days=1))]
    while len(sessions) < count:
        sessions.append(calendar.next_session(sessions[-1].day))
    return sessions


def read_known_strategies(path: Path | None, directory: Path | None) -> list[StrategyRecord] | None:
    """The strategies of a file, each checked to the last parameter; None without a file.

    `directory` holds the user's own kinds.
    """
    from ibkr_assets.strategies.registry import build_strategy

    if path is None:
        return None
    records = read_strategies(path)
    for record in records:
        build_strategy(record.kind, record.params, directory=directory)
    return records


class Session:
    """The use of a running stack from its first moment to its last."""

    def __init__(
        self,
        options: UpOptions,
        layout: Layout,
        supervisor: Supervisor,
        strategies: list[StrategyRecord] | None,
        set_up_s: float,
    ) -> None:
        self._options = options
        self._layout = layout
        self._supervisor = supervisor
        self._strategies = strategies
        self._set_up_s = set_up_s
        self._database = Database(layout.databases.app, application_name="ibkr-assets up")
        self._store = PostgresStrategies(self._database)
        self._calendar = bootstrap.calendar(options.settings)
        self._record = StackRecord(self._database, account_ref(layout.account))

    def run(self, sessions: list[TradingSession]) -> None:
        """Store the strategies, replay, say what happened, and then stay until something ends the stack or once."""
        from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi

        self._store_strategies()
        with DagsterApi(self._layout.dagster_url, LOCATION) as dagster:
            replayed = self._replay(dagster, sessions)
            self._close(dagster, replayed)
            if self._options.once:
                return
            if self._options.speed > 0:
                self._go_on(dagster)
        say("running until Ctrl-C")
        while True:
            self._supervisor.check()
            time.sleep(0.2)

    def _store_strategies(self) -> None:
        """A file's strategies always; our own only where there are none, so that a change of them stays."""
        store = self._store
        if self._strategies is not None:
            self._check(self._strategies)
            written = store.save_strategies(self._strategies, actor="up --strategies")
            say(f"strategies: {written} new or changed, {len(self._strategies) - written} as they were")
        elif not store.strategies():
            store.save_strategies(read_strategies(DEFAULT_STRATEGIES), actor="up")

    def _check(self, records: list[StrategyRecord]) -> None:
        """Each could run on this stack as it is written; its limits are known only now."""
        from ibkr_assets import settings as configuration
        from ibkr_assets.execution.adoption import check_strategy

        in_force = configuration.load(self._layout.environment())
        for record in records:
            check_strategy(
                record, limits=bootstrap.limits(in_force), account=self._layout.account,
                directory=self._options.settings.strategies.directory, has_model=in_force.llm.is_configured,
            )  # fmt: skip

    def _due(self, session: TradingSession) -> dict[str, list[str]]:
        """Read anew for each session, so that a strategy added meanwhile decides at the next."""
        from ibkr_assets.execution.decisions import extra_symbols, strategies_due

        records = strategies_due(self._store, session, self._calendar, self._layout.account)
        return {record.id: extra_symbols(record, self._layout.symbols) for record in records}

    def _replay(self, dagster: DagsterApi, sessions: list[TradingSession]) -> Replayed:
        from ibkr_assets.stack.replay import Replay, Replayed

        layout = self._layout
        if layout.clock_url is None or layout.admin_token is None or not layout.can_replay:
            say("nothing is replayed: the market's time is not ours to move")
            return Replayed()
        market = MarketTime(layout.clock_url, layout.admin_token)
        replayed = Replay(
            dagster=dagster, market=market, record=self._record, calendar=self._calendar, mode=layout.mode,
            due=self._due, check=self._supervisor.check, say=say,
        ).run(sessions)  # fmt: skip
        if replayed.passed_by:
            first, last = replayed.passed_by[0].day, replayed.passed_by[-1].day
            say(
                f"{len(replayed.passed_by)} sessions from {first} to {last} are left out: the market clock of this "
                f"data directory is at {market.now().isoformat()} and cannot go back"
            )
        return replayed

    def _close(self, dagster: DagsterApi, replayed: Replayed) -> None:
        """The closing words, after all that was replayed is settled."""
        from ibkr_assets.adapters.dagster_api import count_ends
        from ibkr_assets.stack.replay import session_runs
        from ibkr_assets.stack.report import count_mlflow_runs, session_table, summary

        layout = self._layout
        if self._options.as_json:
            document = summary(
                layout,
                self._record,
                replayed,
                dagster_runs=count_ends(session_runs(dagster)),
                mlflow_runs=count_mlflow_runs(layout.mlflow_url, self._options.settings.mlflow.experiment),
                set_up_s=self._set_up_s,
            )
            sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
            sys.stdout.flush()
        say(session_table(self._record, self._calendar, replayed.sessions))
        if not self._options.once:
            for name, url in (layout.urls | {"dashboard": _dashboard(layout, self._options)}).items():
                say(f"{name:<12} {url}")
            say('for dagster and mlflow in another shell:  eval "$(ibkr-assets env)"')

    def _go_on(self, dagster: DagsterApi) -> None:
        """Let the market's time run, and let Dagster act on it by itself."""
        layout = self._layout
        if layout.clock_url is None or layout.admin_token is None:
            raise InputError("--speed: the market's time is not ours to move")
        for name in LIVE_SENSORS:
            dagster.start_sensor(name)
        for name in LIVE_SCHEDULES:
            dagster.start_schedule(name)
        MarketTime(layout.clock_url, layout.admin_token).run(self._options.speed)
        say(f"the market clock runs at {self._options.speed:g} times real time; sensors and schedules are on")
