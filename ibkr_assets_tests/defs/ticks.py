"""Resources for ticks: a clock that stands still, a gateway that says what it is told, bars that are there or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from ibkr_assets.definitions import defs
from ibkr_assets.defs.due import run_key
from ibkr_assets.defs.resources import Calendar, Clock, Ibkr, Postgres, SettingsInForce
from ibkr_assets.domain.alert import Alert
from ibkr_assets.domain.broker import SessionStatus
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import BarSource, BarStore, StrategyRecord, StrategyStore
from ibkr_assets.settings import Settings
from ibkr_assets_tests.fakes.bars import MemoryBars

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    """An instant in the exchange's time, from `2012-11-21 16:20`."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


CROSS = StrategyRecord(
    id="cross", version=1, kind="sma_cross", params={}, symbols=("IBM",), bar_size="1d", schedule="after_close",
    sizing="percent:8", risk={}, account=None, is_enabled=True,
)  # fmt: skip


class Peers(SettingsInForce):
    """Settings, and what the peers of a tick answer. An error given instead of an answer is raised."""

    def __init__(
        self,
        now: datetime | Exception,
        *,
        mode: str = "dry_run",
        session: SessionStatus | Exception | None = None,
        bars: MemoryBars | None = None,
        first_session: str = "2012-05-18",
        strategies: tuple[StrategyRecord, ...] = (CROSS,),
    ) -> None:
        settings = Settings.model_validate(
            {
                "mode": mode,
                "gateway": {"url": "https://localhost:5000/v1/api"},
                "market": {"first_session": first_session},
            }
        )
        super().__init__(lambda: settings)
        self.now, self.session, self.bars = now, session, bars or MemoryBars()
        self.strategies = strategies
        self.alerts = MemoryAlerts()


class _Source:
    def __init__(self, answer: SessionStatus | Exception | None) -> None:
        self.answer = answer

    def session(self) -> SessionStatus:
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


class Strategies:
    """The strategies of a tick."""

    def __init__(self, records: tuple[StrategyRecord, ...]) -> None:
        self.records = records

    def strategies(self, *, is_enabled_only: bool = False) -> list[StrategyRecord]:
        return [record for record in self.records if record.is_enabled or not is_enabled_only]


class TickClock(Clock):
    def now(self) -> datetime:
        if isinstance(self.settings.now, Exception):
            raise self.settings.now
        return self.settings.now


class TickIbkr(Ibkr):
    def source(self) -> BarSource:
        return _Source(self.settings.session)


class MemoryAlerts:
    """Open alerts, by code and subject; what was told stays in `told`."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], Alert] = {}
        self.told: list[Alert] = []

    def raise_alert(self, alert: Alert) -> bool:
        is_new = (alert.code, alert.subject) not in self.open
        self.open[alert.code, alert.subject] = alert
        self.told += [alert] if is_new else []
        return is_new

    def settle(self, code: str, *, keep: tuple[str, ...] = ()) -> int:
        over = [key for key in self.open if key[0] == code and key[1] not in keep]
        for key in over:
            del self.open[key]
        return len(over)

    def settle_one(self, code: str, subject: str) -> bool:
        return self.open.pop((code, subject), None) is not None


class TickPostgres(Postgres):
    def alerts(self) -> MemoryAlerts:
        return self.settings.alerts

    def bars(self) -> BarStore:
        return self.settings.bars

    def universe(self, days: Sequence[date]) -> tuple[str, ...]:
        return self.settings.get().market.symbols

    def strategies(self) -> StrategyStore:
        return Strategies(self.settings.strategies)


def resources(peers: Peers) -> dict[str, object]:
    return {
        "settings": peers,
        "clock": TickClock(settings=peers),
        "calendar": Calendar(settings=peers),
        "ibkr": TickIbkr(settings=peers),
        "postgres": TickPostgres(settings=peers),
    }


def status(**changes: bool) -> SessionStatus:
    """A session that is ready, but for the changes."""
    ready = {
        "is_logged_in": True,
        "is_connected": True,
        "is_authenticated": True,
        "is_established": True,
        "is_competing": False,
    }
    return SessionStatus(**{**ready, **changes})


def unreachable() -> Unavailable:
    return Unavailable("gateway at https://localhost:5000: connection refused")


def _answer(requests: Sequence[dg.RunRequest] | None, skip_message: str | None) -> list[dg.RunRequest] | str:
    return list(requests) if requests else str(skip_message)


def evaluate(sensor: dg.SensorDefinition, peers: Peers, instance: dg.DagsterInstance) -> list[dg.RunRequest] | str:
    """One tick of a sensor: the runs it asks for, or why it asks for none."""
    with dg.build_sensor_context(instance=instance, definitions=defs, resources=resources(peers)) as context:
        data = sensor.evaluate_tick(context)
    return _answer(data.run_requests, data.skip_message)


def evaluate_schedule(
    schedule: dg.ScheduleDefinition, peers: Peers, instance: dg.DagsterInstance, tick: datetime
) -> list[dg.RunRequest] | str:
    """One tick of a schedule, whose own time is `tick`."""
    with dg.build_schedule_context(
        instance=instance,
        resources=resources(peers),
        scheduled_execution_time=tick,
        repository_def=defs.get_repository_def(),
    ) as context:
        data = schedule.evaluate_tick(context)
    return _answer(data.run_requests, data.skip_message)


def note_run(
    instance: dg.DagsterInstance,
    job: str,
    day: str,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS,
    strategy_id: str | None = None,
) -> str:
    """A run on record that was asked for with the key of this session."""
    session = exchange_calendar("XNYS").session(datetime.fromisoformat(day).date())

    @dg.job(name=job)
    def stand_in() -> None: ...

    return instance.create_run_for_job(
        stand_in, status=status, tags={"dagster/run_key": run_key(job, session, strategy_id)}
    ).run_id
