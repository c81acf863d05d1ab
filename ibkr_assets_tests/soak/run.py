"""The days of a soak: collections through each session, a decision after it, a night, an opening; faults throughout.

What goes here: the order of events and what is measured of each. What does not: the peers (`stage`), the plan of faults
(`faults`), and what is made of it all (`report`).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.defs.due import run_key
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.stack.record import OPEN, UNSENT, StackRecord
from ibkr_assets_tests.soak.faults import BY_DAY, BY_EVENING, ON_THE_LAST_EVENING
from ibkr_assets_tests.soak.stage import Stage, open_stage
from ibkr_assets_tests.soak.tape import symbols

FIRST = date(2012, 10, 1)
_CHAIN = ("raw_bars", "validated_bars", "enriched_features", "signals", "orders")
_STEPS = (
    "query($id: ID!) { runOrError(runId: $id) { ... on Run { startTime endTime stepStats { startTime endTime } } } }"
)
_RUN_BOUND_S = 600.0
#: Faults that strike cancels, which somebody has to ask for.
_OF_CANCELS = {"F38", "F39"}


@dataclass(frozen=True)
class Options:
    """What a soak is made of; `every_min` are market minutes between two collections."""

    sessions: int = 20
    symbols: int = 50
    every_min: int = 200
    seed: int = 7
    with_faults: bool = True


@dataclass(frozen=True)
class Tick:
    """One run: real seconds from its launch until it was over, and those of them that its steps took."""

    what: str
    total_s: float
    steps_s: float


@dataclass
class Soaked:
    """What a soak was, measured; `weights` are bytes by process at the end of each session."""

    options: Options
    ticks: list[Tick] = field(default_factory=list)
    weights: list[dict[str, int]] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    armed: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    lifted: int = 0
    sessions: list[date] = field(default_factory=list)
    gateway_sessions: set[str] = field(default_factory=set)
    restarts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Soak:
    """One soak over an open stage."""

    def __init__(self, stage: Stage, options: Options, sessions: Sequence[TradingSession], say: Callable[[str], None]):
        self.stage, self.options, self.say = stage, options, say
        self.sessions = sessions
        self.record = StackRecord(stage.database, stage.ref)
        self.done = Soaked(options)
        self._by_day, self._by_evening = list(BY_DAY), list(BY_EVENING)

    def run(self) -> Soaked:
        """Every session but the last one of the tape, at whose opening the last orders fill."""
        began = time.monotonic()
        for number, session in enumerate(self.sessions[:-1]):
            day_began = time.monotonic()
            left = len(self.sessions) - 1 - number
            self._through_the_day(session, left)
            self._evening(session, left)
            self._night(self.sessions[number + 1])
            self.done.sessions.append(session.day)
            self.done.weights.append(self.stage.weights())
            self.done.gateway_sessions.add(self.stage.gateway_session())
            self.say(
                f"[{number + 1}/{len(self.sessions) - 1}] {session.day}  {len(self.done.ticks)} runs  "
                f"{sum(self.done.struck.values())} strikes  {time.monotonic() - day_began:.0f} s"
            )
        self.done.restarts = {
            str(row["name"]): int(row.get("restarts") or 0) for row in self.stage.state()["processes"]
        }
        self.done.seconds = time.monotonic() - began
        return self.done

    # ---- a session

    def _through_the_day(self, session: TradingSession, left: int) -> None:
        moments = list(_boundaries(session, self.options.every_min))
        spoilt = _share(self._by_day, left) if self.options.with_faults else []
        self._move_to(moments[0] + timedelta(minutes=1))
        for fault in spoilt:
            with self._armed(fault, session):
                self._launch(f"collection with {fault['id']}", "minute_collection", session, [self.stage.symbols[-1]])
            self.stage.gateway.set_session("ok")  # the person who is asked for logs in again
            self.stage.wait_for_submitter()
            self.done.gateway_sessions.add(self.stage.gateway_session())
        for moment in moments:
            self._move_to(moment + timedelta(minutes=1))
            self._launch("collection", "minute_collection", session, [], moment.strftime("%H%MZ"))

    def _evening(self, session: TradingSession, left: int) -> None:
        self._move_to(session.closes_at + timedelta(minutes=20))
        self.stage.wait_for_submitter()
        faults = _share(self._by_evening, left) if self.options.with_faults else []
        if left == 1 and self.options.with_faults:
            faults = [*faults, *ON_THE_LAST_EVENING]
        with contextlib.ExitStack() as armed:
            for fault in faults:
                armed.enter_context(self._armed(fault, session))
            self._launch("chain", "trading_strategy", session, None)
            self.stage.wait("orders to leave", lambda: not self.record.intents_in(UNSENT))
            if _OF_CANCELS & {fault["id"] for fault in faults}:
                self._ask_back()
        self.stage.wait("orders to leave", lambda: not self.record.intents_in(UNSENT))

    def _night(self, following: TradingSession) -> None:
        """Midnight ends the brokerage session, an hour later the gateway is away for ten minutes; then it opens."""
        midnight = following.opens_at.replace(hour=5, minute=5)  # 00:05 or 01:05 in New York: within maintenance or not
        self._move_to(midnight)
        self._move_to(following.opens_at - timedelta(minutes=30))
        self.stage.gateway.set_session("ok")
        self.stage.wait_for_submitter()
        self._lift()
        self._move_to(following.opens_at + timedelta(minutes=1))
        moment = self.stage.gateway.now()
        is_last = following is self.sessions[-1]

        def is_settled() -> bool:
            snapshot = self.record.snapshot()
            return snapshot is not None and snapshot.market_at >= moment and not self.record.intents_in(OPEN)

        if is_last and self.options.with_faults:  # what the last evening left in doubt is a person's to settle
            with contextlib.suppress(TimeoutError):
                self.stage.wait("orders to fill", is_settled, bound_s=30)
            return
        self.stage.wait("orders to fill", is_settled)

    def _ask_back(self) -> None:
        """An operator wants what works cancelled, so that cancels meet their faults."""
        ledger = PostgresLedger(self.stage.database)
        ledger.control("kill_cancel", scope="global", actor="soak", session="soak", reason="the last evening")
        with contextlib.suppress(TimeoutError):
            self.stage.wait("cancels", lambda: not self.record.intents_in(OPEN), bound_s=20)

    def _lift(self) -> None:
        """The operator looks at what the platform stopped by itself, and lets it go on."""
        rows = self.stage.rows(
            "select distinct c.scope from oms.control c where c.action like 'kill%%' and not exists (select from "
            "oms.control r where r.scope = c.scope and r.action = 'resume' and r.control_id > c.control_id)"
        )
        ledger = PostgresLedger(self.stage.database)
        for (scope,) in rows:
            with contextlib.suppress(InputError):
                ledger.control("resume", scope=scope, actor="operator", session="soak", reason="looked at it")
                self.done.lifted += 1

    # ---- steps

    def _move_to(self, moment: datetime) -> None:
        if self.stage.gateway.now() < moment:
            self.stage.gateway.set_clock(moment)

    @contextlib.contextmanager
    def _armed(self, fault: dict[str, Any], session: TradingSession) -> Iterator[None]:
        spec = {"times": 1, **fault}
        if fault["id"] == "F49":
            spec["day"] = session.day.isoformat()
        name = str(spec.pop("id"))
        self.done.armed.add(name)
        self.stage.gateway.arm_fault(name, **spec)
        try:
            yield
        finally:
            rows = self.stage.gateway.admin("GET", "/admin/fault")
            self.done.struck[name] += sum(int(row["struck"]) for row in rows if row["id"] == name)
            self.stage.gateway.disarm_fault(name)

    def _launch(
        self, what: str, job: str, session: TradingSession, names: list[str] | None, mark: str | None = None
    ) -> None:
        """Have a run done, as a sensor would ask for it; how it ended is counted."""
        if names is None:
            ops: dict[str, Any] = {name: {"config": {"dry_run": False}} for name in _CHAIN}
        else:
            ops = {"minute_bars": {"config": {"symbols": names}}}
        tags = {} if mark is None and names is not None else {"dagster/run_key": run_key(job, session, mark)}
        began = time.monotonic()
        run_id = self.stage.dagster.launch(job, partition=session.day, config={"ops": ops}, tags=tags)
        while not (found := self.stage.dagster.status(run_id)).is_over:
            if time.monotonic() - began > _RUN_BOUND_S:
                raise TimeoutError(f"run {run_id} of {what} is {found.status}")
            time.sleep(0.1)
        total_s = time.monotonic() - began
        steps = self.stage.dagster.ask(_STEPS, id=run_id)["runOrError"]["stepStats"]
        taken = sum((one["endTime"] or 0) - (one["startTime"] or 0) for one in steps if one["endTime"])
        self.done.ticks.append(Tick(what, total_s, taken))
        self.done.ended[f"{what.partition(' ')[0]} {found.status}"] += 1
        if not found.is_success and " with " not in what:
            self.say(f"{what} of {session.day}: {self.stage.dagster.why_failed(run_id)}")


def _boundaries(session: TradingSession, every_min: int) -> Sequence[datetime]:
    """Whole steps since the opening whose minutes are then collected, and the close."""
    step, found = timedelta(minutes=every_min), []
    moment = session.opens_at + step
    while moment < session.closes_at:
        found.append(moment)
        moment += step
    return [*found, session.closes_at]


def _share(waiting: list[dict[str, Any]], left: int) -> list[dict[str, Any]]:
    """The next of what is to be spread evenly over what is left."""
    count = -(-len(waiting) // left)
    taken, waiting[:] = waiting[:count], waiting[count:]
    return taken


def soak(directory: Path, options: Options, say: Callable[[str], None], look: Callable[[Stage, Soaked], Any]) -> Any:
    """Run a soak in `directory`, and give what `look` makes of it while the stage still stands."""
    days = exchange_calendar("XNYS").sessions(FIRST, date(2013, 3, 1))[: options.sessions + 1]
    names = symbols(options.symbols)
    with open_stage(directory, names, days, seed=options.seed, every_min=options.every_min) as stage:
        say(f"the stack stands: {len(names)} symbols, {options.sessions} sessions from {days[0].day}")
        done = Soak(stage, options, days, say).run()
        return look(stage, done)
