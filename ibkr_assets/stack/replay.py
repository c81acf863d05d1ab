"""Drives the market through past sessions, one after the other, and lets the platform do its daily work in each.

A session D: the clock goes to D's close, a run of `trading_strategy` for each strategy that is due decides, all at
once, the submitter sends; the clock goes to the next opening, orders fill, books are reconciled. What is done already,
by an earlier replay on the same data directory, is not done again: Dagster's runs and the market clock say what that
is. The schedules' own job and run keys are used, so a schedule that is switched on later asks for no session twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ibkr_assets.adapters.dagster_pages import ASSETS
from ibkr_assets.domain.errors import RunFailure, StackFailure
from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.stack.record import OPEN, UNSENT, SessionRecord, StackRecord

if TYPE_CHECKING:
    from ibkr_assets.adapters.dagster_api import DagsterApi, Run
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.stack.market_time import MarketTime

JOB = "trading_strategy"
RUN_KEY_TAG = "dagster/run_key"
REPLAY_TAG = "ibkr_assets/replay"
STRATEGY_TAG = "ibkr_assets/strategy"

AFTER_CLOSE = timedelta(minutes=20)
AFTER_OPEN = timedelta(minutes=1)
#: A look at a run costs the webserver about 10 ms, at the ledger 1 ms.
_RUN_POLL_S = 0.15
_POLL_S = 0.05
_RUN_LIMIT_S = 600.0
_SUBMITTER_LIMIT_S = 180.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one session: the run from its launch to its end, sending, and filling with the reconciliation."""

    run: float
    send: float
    fill: float

    @property
    def total(self) -> float:
        """All three."""
        return self.run + self.send + self.fill


@dataclass(slots=True)
class Replayed:
    """What a replay did: the sessions now on record, and the timings of those that it replayed itself.

    `passed_by` are sessions without a decision that lie before the market clock: it never goes back.
    """

    sessions: list[TradingSession] = field(default_factory=list)
    passed_by: list[TradingSession] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)


class Replay:
    """A replay on a running stack. `check` raises when the stack has ended; `say` gets one line a session."""

    def __init__(
        self,
        *,
        dagster: DagsterApi,
        market: MarketTime,
        record: StackRecord,
        calendar: ExchangeCalendar,
        mode: Mode,
        due: Callable[[TradingSession], Mapping[str, Sequence[str]]],
        check: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        """`due` gives the strategies that decide at a session's close, as the database has them then, each with the
        symbols its run is asked for (none: the market's).
        """
        self._dagster = dagster
        self._market = market
        self._record = record
        self._calendar = calendar
        self._mode = mode
        self._due = due
        self._check = check
        self._say = say

    def run(self, sessions: Sequence[TradingSession]) -> Replayed:
        """Replay what of these sessions is missing. Raises RunFailure when a run ends badly.

        Raises StackFailure when orders do not go out or do not settle in time.
        """
        runs: dict[str, dict[str, Run]] = {}
        for run in reversed(session_runs(self._dagster)):
            key = run.tags[RUN_KEY_TAG]
            runs.setdefault("|".join(key.split("|")[:3]), {})[key] = run
        self._wait("the first account snapshot", lambda: [] if self._record.snapshot() else ["there is none"])
        done = Replayed()
        for number, session in enumerate(sessions, start=1):
            following = self._calendar.next_session(session.day)
            known = runs.get(run_key(session), {})
            settles_at = following.opens_at + AFTER_OPEN
            if self._market.now() >= settles_at:
                if not any(run.is_success for run in known.values()):
                    done.passed_by.append(session)
                    continue
                if not self._unsettled(settles_at):
                    done.sessions.append(session)
                    continue
            done.sessions.append(session)
            timing = self._replay(session, following, known)
            done.timings.append(timing)
            self._say(describe(number, len(sessions), self._record.session(session, following), timing))
        return done

    def _replay(self, session: TradingSession, following: TradingSession, known: Mapping[str, Run]) -> Timing:
        began = time.monotonic()
        self._move_to(session.closes_at + AFTER_CLOSE)
        self._decide(session, known)
        ran = time.monotonic()
        self._wait("orders to go out", lambda: self._record.intents_in(UNSENT))
        sent = time.monotonic()
        moment = self._move_to(following.opens_at + AFTER_OPEN)
        self._wait("orders to fill and the account to be reconciled", lambda: self._unsettled(moment))
        return Timing(ran - began, sent - ran, time.monotonic() - sent)

    def _decide(self, session: TradingSession, known: Mapping[str, Run]) -> None:
        """Have the runs of this session succeed, all at once: those that are under way, or new ones.

        Without a strategy one run keeps the bars up to date. The market's morning is not waited for: whatever a
        schedule says of the time of day, the orders are for the same opening.
        """
        due = self._due(session)
        asked: dict[str | None, Sequence[str]] = dict(due.items()) if due else {None: ()}
        waiting: dict[str | None, str] = {}
        for strategy_id, symbols in asked.items():
            run = known.get(run_key(session, strategy_id))
            if run is not None and not run.is_over:
                waiting[strategy_id] = run.run_id
            elif run is None or not run.is_success:
                waiting[strategy_id] = self._launch(session, strategy_id, symbols)
        again = {run.run_id for run in known.values()}
        deadline = time.monotonic() + _RUN_LIMIT_S
        while waiting:
            for strategy_id, run_id in list(waiting.items()):
                current = self._dagster.status(run_id)
                if current.is_success:
                    del waiting[strategy_id]
                elif current.is_over and run_id in again:  # it was cut short by the end of an earlier stack
                    waiting[strategy_id] = self._launch(session, strategy_id, asked[strategy_id])
                elif current.is_over:
                    why = self._dagster.why_failed(run_id)
                    raise RunFailure(f"run {run_id} of session {session.day}: {current.status}: {why}")
                elif time.monotonic() > deadline:
                    raise RunFailure(
                        f"run {run_id} of session {session.day}: still {current.status} after {_RUN_LIMIT_S:.0f} s"
                    )
            self._check()
            if waiting:
                time.sleep(_RUN_POLL_S)

    def _launch(self, session: TradingSession, strategy_id: str | None, symbols: Sequence[str]) -> str:
        config: dict[str, Any] = {"dry_run": self._mode is Mode.DRY_RUN, "symbols": list(symbols)}
        tags = {RUN_KEY_TAG: run_key(session, strategy_id), REPLAY_TAG: "1", "ibkr_assets/mode": self._mode.value}
        if strategy_id is not None:
            config["strategy_id"] = tags[STRATEGY_TAG] = strategy_id
        return self._dagster.launch(
            JOB, partition=session.day, config={"ops": {name: {"config": config} for name in ASSETS}}, tags=tags
        )

    def _move_to(self, moment: datetime) -> datetime:
        """Move the clock forward; where it is further already, it stays. Returns the time it then shows."""
        now = self._market.now()
        if now >= moment:
            return now
        self._market.set(moment)
        return moment

    def _unsettled(self, moment: datetime) -> list[str]:
        """What still keeps the account from being settled at this market time."""
        snapshot = self._record.snapshot()
        if snapshot is None or snapshot.market_at < moment:
            return [f"the newest account snapshot is of {snapshot.market_at.isoformat() if snapshot else 'never'}"]
        return self._record.intents_in(OPEN)

    def _wait(self, what: str, obstacles: Callable[[], list[str]]) -> None:
        deadline = time.monotonic() + _SUBMITTER_LIMIT_S
        while left := obstacles():
            self._check()
            if time.monotonic() > deadline:
                raise StackFailure(
                    f"waited {_SUBMITTER_LIMIT_S:.0f} s for {what}: {'; '.join(left[:5])}; see the submitter's log"
                )
            time.sleep(_POLL_S)


def session_runs(dagster: DagsterApi) -> list[Run]:
    """Runs that were asked for on behalf of a session, by whomever: a replay, a schedule, a sensor. Newest first."""
    return [run for run in dagster.runs(JOB, {}) if RUN_KEY_TAG in run.tags]


def run_key(session: TradingSession, strategy_id: str | None = None) -> str:
    """The key under which schedules and sensors ask for this session; they are Dagster's side and spell it too."""
    return "|".join([JOB, session.exchange, str(session.day), *([] if strategy_id is None else [strategy_id])])


def describe(number: int, count: int, record: SessionRecord, timing: Timing) -> str:
    """One line on a session for a person."""
    parts: list[Any] = [
        f"[{number:>{len(str(count))}}/{count}] {record.day}",
        *(_plural(n, word) for n, word in (
            (record.bars, "bar"), (record.signals, "signal"), (record.orders, "order"), (record.fills, "fill"),
        )),
        "NAV -" if record.nav_usd is None else f"NAV {record.nav_usd:,.2f}",
        f"{timing.total:.1f} s",
    ]  # fmt: skip
    return "  ".join(parts)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
