"""The watchdog: a second process that withdraws permission to trade when the first one cannot be trusted to.

What goes here: what is counted, from when, and what follows. What does not: SQL (`adapters.postgres.watch_rows`) and
what the submitter sees itself. All times are real seconds of this process' own watching: a machine that slept, a stack
that was stopped, or a watchdog that was paused has watched nothing meanwhile, and so nobody is accused of silence.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ibkr_assets.domain.errors import LedgerConflict, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.domain.permission import Vitals

log = logging.getLogger("ibkr_assets.watchdog")

#: A submitter that said this ended on purpose; it is not missed.
STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. Longer than `pause_s` between two rounds means that this process was not running."""

    every_s: float = 1.0
    silence_s: float = 30.0
    step_s: float = 180.0
    question_s: float = 20.0
    doubt_page_s: float = 300.0
    doubt_kill_s: float = 900.0
    compared_s: float = 300.0
    sender_s: float = 60.0
    pause_s: float = 5.0


class WatchRows(Protocol):
    """The watchdog's own door to the database. All methods raise Unavailable."""

    def vitals(self) -> Vitals:
        """What is to be watched, now."""

    def beat(self, status: str, detail: str) -> None:
        """The watchdog's own heartbeat."""

    def page(self, kind: str, subject: str, text: str) -> bool:
        """An alert for a person; False when the same one is open."""

    def settle(self, kind: str, *, keep: tuple[str, ...]) -> None:
        """Close the alerts of this kind about other subjects: they are over."""

    def kill(self, reason: str) -> bool:
        """Withdraw permission to trade; False when the watchdog did so already and nobody resumed it."""


@dataclass
class _Timer:
    """How long something has been seen without a change."""

    since: float
    value: object = None
    has_changed: bool = False

    def age_s(self, value: object, now: float) -> float:
        if value != self.value:
            self.has_changed = self.value is not None
            self.value, self.since = value, now
        return now - self.since


@dataclass
class _Watched:
    """Everything counted since the watching began."""

    began: float
    beat: _Timer = field(init=False)
    compared: _Timer = field(init=False)
    sender: _Timer = field(init=False)
    questions: dict[str, float] = field(default_factory=dict)
    doubts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.beat, self.compared, self.sender = _Timer(self.began), _Timer(self.began), _Timer(self.began)


class Watchdog:
    """Watches the submitter of one account. `kill_by_file` is for when the database is away."""

    def __init__(
        self,
        rows: WatchRows,
        *,
        kill_by_file: Callable[[str], object],
        limits: Limits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._kill_by_file = kill_by_file
        self._limits = limits or Limits()
        self._monotonic = monotonic
        self._watched = _Watched(monotonic())
        self._ended_at = monotonic()
        self._was_active = False
        self._away_since: float | None = None
        self._has_written_file = False
        #: Kinds of alerts that may be open; those of an earlier watchdog are closed in the first round.
        self._open = {"silent", "question_open", "doubt_lasts", "not_compared", "sender_silent"}

    def run(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        """Watch until `stop` is set; `say` gets the ready line after the first look at the database."""
        is_ready = False
        while not stop.is_set():
            self.look()
            if not is_ready and self._away_since is None:
                is_ready = True
                say("ready watchdog")
            stop.wait(self._limits.every_s)

    def look(self) -> None:
        """One round. A database that is away is counted, not raised."""
        now = self._monotonic()
        if now - self._ended_at > self._limits.pause_s:
            log.warning("not running for %.0f s; everything is counted from now", now - self._ended_at)
            self._watched = _Watched(now)
            self._away_since = None
        try:
            vitals = self._rows.vitals()
            self._was_active, self._away_since = vitals.is_active, None
            self._judge(vitals, now)
            self._rows.beat("watching", "active" if vitals.is_active else "nothing to watch over")
        except (Unavailable, LedgerConflict) as error:
            self._miss_database(error, now)
        self._ended_at = self._monotonic()

    def _judge(self, vitals: Vitals, now: float) -> None:
        self._judge_silence(vitals, now)
        self._judge_orders("question_open", vitals.questions, self._watched.questions, now)
        self._judge_orders("doubt_lasts", vitals.doubts, self._watched.doubts, now)
        compared_s = self._watched.compared.age_s(vitals.compared_at, now)
        is_late = vitals.is_active and vitals.status == "working" and compared_s >= self._limits.compared_s
        self._tell("not_compared", "account", f"the account was not compared for {compared_s:.0f} s", is_true=is_late)
        # Nobody is told of this one while it lasts: it is shown, and after ten minutes orders are denied (R24).
        mute_s = self._watched.sender.age_s(vitals.sender_at, now)
        is_mute = vitals.sender_at is not None and mute_s >= self._limits.sender_s
        self._tell("sender_silent", "alerts", f"nobody is told of alerts for {mute_s:.0f} s", is_true=is_mute)

    def _judge_silence(self, vitals: Vitals, now: float) -> None:
        silent_s = self._watched.beat.age_s(vitals.beat_at, now)
        is_watched = vitals.is_active and vitals.status != STOPPED
        is_silent = is_watched and silent_s >= self._limits.silence_s
        if is_silent and self._watched.beat.has_changed:
            self._kill(f"no heartbeat of the submitter for {silent_s:.0f} s")
        elif is_watched and vitals.busy_s >= self._limits.step_s:
            self._kill(f"one step of the submitter takes {vitals.busy_s:.0f} s already")
        text = f"no heartbeat of the submitter for {silent_s:.0f} s"
        self._tell("silent", "submitter", text, is_true=is_silent)

    def _judge_orders(self, kind: str, present: tuple[str, ...], seen: dict[str, float], now: float) -> None:
        """Orders that stand where no order should stand for long, each counted from when it was first seen there."""
        for gone in set(seen) - set(present):
            del seen[gone]
        is_doubt = kind == "doubt_lasts"
        limit_s = self._limits.doubt_page_s if is_doubt else self._limits.question_s
        late = []
        for client_order_id in present:
            age_s = now - seen.setdefault(client_order_id, now)
            if age_s >= limit_s:
                late.append(client_order_id)
                self._page(kind, client_order_id, f"{client_order_id} is {kind.replace('_', ' ')} for {age_s:.0f} s")
            if is_doubt and age_s >= self._limits.doubt_kill_s:
                self._kill(f"{client_order_id} is in doubt for {age_s:.0f} s")
        self._settle(kind, tuple(late))

    def _tell(self, kind: str, subject: str, text: str, *, is_true: bool) -> None:
        if is_true:
            self._page(kind, subject, text)
        self._settle(kind, (subject,) if is_true else ())

    def _settle(self, kind: str, keep: tuple[str, ...]) -> None:
        if kind in self._open:
            self._rows.settle(kind, keep=keep)
            if not keep:
                self._open.discard(kind)

    def _page(self, kind: str, subject: str, text: str) -> None:
        self._open.add(kind)
        if self._rows.page(kind, subject, text):
            log.error("%s", text)

    def _kill(self, reason: str) -> None:
        if self._rows.kill(reason):
            log.error("the account is killed: %s", reason)
            self._rows.page("killed", reason[:100], f"the account is killed: {reason}")

    def _miss_database(self, error: Exception, now: float) -> None:
        """Without the database no order can leave; the file keeps that so when it comes back without a submitter."""
        if self._away_since is None:
            self._away_since, self._has_written_file = now, False
            log.warning("the database is away: %s", error)
        away_s = now - self._away_since
        if self._was_active and away_s >= self._limits.silence_s and not self._has_written_file:
            self._kill_by_file(f"no heartbeat can be read: the database is away for {away_s:.0f} s")
            self._has_written_file = True
            log.error("kill file written: the database is away for %.0f s", away_s)
