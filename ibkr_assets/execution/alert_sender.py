"""The one process that tells people: gathers, plans, sends, and says to the outside that it is there.

What goes here: the order of effects. What does not: when and in which words (`execution.alerting`), SQL and channels
(`adapters`). A try is written down before a message leaves and once more when its end is known; so nothing is lost,
and a message can arrive twice only when the process ends in between, and then says so. Each channel has a thread: one
that hangs holds up nobody else's alarm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.alert import Alert, AlertCode, Severity
from ibkr_assets.domain.errors import LedgerConflict, Unavailable
from ibkr_assets.execution.alerting import (
    FAILING,
    RATE_WINDOW,
    Message,
    Terms,
    digest_at,
    digest_due,
    due_at,
    retry_in,
    share_out,
    write_message,
)

if TYPE_CHECKING:
    from ibkr_assets.domain.alert import Channel
    from ibkr_assets.execution.outbox import Outbox, Target

log = logging.getLogger("ibkr_assets.alerts")

#: A watchdog that did not look for so long is not well, and then neither is what the outside is told.
WATCHDOG_SILENT_S = 120.0
#: So long may the database be away before the channels are told without it.
DATABASE_AWAY_S = 60.0
_JOIN_S = 5.0


class Sender:
    """Tells people of alerts. `gather` collects what the ledger gives rise to; `digest` is the day in figures."""

    def __init__(
        self,
        outbox: Outbox,
        targets: Sequence[tuple[Channel, Target]],
        *,
        terms: Terms,
        place: str,
        gather: Callable[[], None],
        raise_alert: Callable[[Alert], bool],
        settle: Callable[..., int],
        digest: Callable[[], Mapping[str, Any]],
        now: Callable[[], datetime],
        heartbeat: Callable[[], None] | None = None,
        heartbeat_every_s: float = 60.0,
        every_s: float = 1.0,
        holder: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._targets = list(targets)
        self._terms = terms
        self._place = place
        self._gather = gather
        self._raise_alert = raise_alert
        self._settle = settle
        self._digest = digest
        self._now = now
        self._heartbeat = heartbeat
        self._heartbeat_every_s = heartbeat_every_s
        self._every_s = every_s
        self._holder = holder
        self._monotonic = monotonic
        self._heartbeat_due = float("-inf")
        self._heartbeat_problem = ""
        self._away_since: float | None = None
        self._has_told_away = False
        #: Tries whose end is known and could not be written down yet, by channel.
        self._unwritten: dict[str, tuple[int, Message, str]] = {}

    def run(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        """Until `stop` is set; `say` gets the ready line. Where another process sends already, wait for its end."""
        has_said = False
        while not stop.is_set():
            try:
                with self._outbox.exclusive() as is_ours:
                    if not has_said:
                        has_said = True
                        names = ", ".join(channel.name for channel, _ in self._targets) or "no channel"
                        say(f"ready alerts ({names if is_ours() else 'waiting: another process sends'})")
                    if is_ours():
                        self._outbox.take_over([channel for channel, _ in self._targets], self._now())
                        self._back()
                        self._work(stop, is_ours)
            except (Unavailable, LedgerConflict) as error:
                self._miss_database(error)
            stop.wait(self._every_s)

    def _work(self, stop: threading.Event, is_ours: Callable[[], bool]) -> None:
        """Rounds until the right to send is gone, or the database, which is raised when every thread has ended."""
        ended = threading.Event()
        names = [channel.name for channel, _ in self._targets]
        threads = [threading.Thread(target=self._serve, args=(one, ended), name=one, daemon=True) for one in names]
        for thread in threads:
            thread.start()
        try:
            while not stop.is_set() and is_ours():
                self.look()
                stop.wait(self._every_s)
        finally:
            ended.set()
            for thread in threads:
                thread.join(_JOIN_S)

    def _serve(self, channel: str, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self.deliver(channel)
            except (Unavailable, LedgerConflict) as error:
                log.warning("%s: the outbox cannot be read: %s", channel, error)
            ended.wait(self._every_s)

    def look(self) -> None:
        """One round without sending: gather, plan, heartbeat. Raises Unavailable and LedgerConflict."""
        now = self._now()
        try:
            self._gather()
        except (Unavailable, LedgerConflict) as error:  # what is in the outbox already goes out all the same
            log.warning("the ledger could not be looked through for alerts: %s", error)
        self._tell_failing(now)
        unplanned = self._outbox.unplanned(now - self._terms.remind_every)
        wanted = [
            (one, now if one.event == "reminder" else due_at(one.severity, one.code, now, self._terms))
            for one in unplanned
        ]
        self._outbox.plan(wanted, now)
        day = digest_due(now, self._terms)
        self._outbox.plan_digest(day, digest_at(day, self._terms), now)
        heard_at = now if self._ask_heartbeat() else None
        self._outbox.beat(
            self._holder, len(self._targets), now, heartbeat_at=heard_at, heartbeat_problem=self._heartbeat_problem
        )

    def deliver(self, name: str) -> int:
        """Everything that one channel is due, within its rate. Returns how many messages it took."""
        self._write_down(name)
        now = self._now()
        due = self._outbox.due(name, now)
        if not due:
            return 0
        allowance = self._terms.messages_per_minute - self._outbox.sent_since(name, now - RATE_WINDOW)
        taken = 0
        for group in share_out(due, allowance):
            needs_digest = any(one.event == "digest" for one in group)
            message = write_message(group, place=self._place, digest=self._digest() if needs_digest else None)
            number = self._outbox.begin_try(name, message.deliveries, self._now())
            problem = self._hand_over(name, message)
            self._unwritten[name] = (number, message, problem)
            self._write_down(name)
            if problem:
                break  # a channel that fails is not asked again for each of them
            taken += 1
        return taken

    def _hand_over(self, name: str, message: Message) -> str:
        target = next(target for channel, target in self._targets if channel.name == name)
        try:
            target.send(message.title, message.body, message.severity)
        except Unavailable as error:
            log.warning("not delivered: %s", error)
            return str(error) or "not taken"
        return ""

    def _write_down(self, name: str) -> None:
        """The end of a try is kept until the database has it: a message that was taken is not sent again for that."""
        if name not in self._unwritten:
            return
        number, message, problem = self._unwritten[name]
        self._outbox.end_try(
            number, name, message.deliveries, self._now(), problem=problem, retry_in=retry_in(message.tries + 1)
        )
        del self._unwritten[name]

    def _tell_failing(self, now: datetime) -> None:
        """A channel that fails for long is told by the others, and shown."""
        failing = tuple(name for name, since in self._outbox.failing().items() if now - since >= FAILING)
        for name in failing:
            text = f"messages to {name} have not been taken for {FAILING.total_seconds() / 60:.0f} minutes or longer"
            self._raise_alert(Alert(AlertCode.CHANNEL_FAILED, name, text))
        self._settle(AlertCode.CHANNEL_FAILED, keep=failing)

    def _ask_heartbeat(self) -> bool:
        """Whether the outside was told now. It is not while the watchdog is silent: then all is not well."""
        if self._heartbeat is None or self._monotonic() < self._heartbeat_due:
            return False
        self._heartbeat_due = self._monotonic() + self._heartbeat_every_s
        age_s = self._outbox.watchdog_age_s()
        if age_s is not None and age_s > WATCHDOG_SILENT_S:
            self._heartbeat_problem = f"withheld: the watchdog has not looked for {age_s:.0f} s"
            return False
        try:
            self._heartbeat()
        except Unavailable as error:
            self._heartbeat_problem = str(error)
            log.warning("%s", error)
            return False
        self._heartbeat_problem = ""
        return True

    def _miss_database(self, error: Exception) -> None:
        """Without the outbox the one thing left to tell is that it is away, once and straight to every channel."""
        now = self._monotonic()
        if self._away_since is None:
            self._away_since = now
            log.warning("the database is away: %s", error)
        if now - self._away_since >= DATABASE_AWAY_S and not self._has_told_away:
            self._has_told_away = True
            self._tell_straight(f"the platform's database is away for {now - self._away_since:.0f} s")

    def _back(self) -> None:
        if self._has_told_away:
            self._tell_straight("the platform's database answers again", is_over=True)
        self._away_since, self._has_told_away = None, False

    def _tell_straight(self, text: str, *, is_over: bool = False) -> None:
        title = f"{self._place} {'over' if is_over else 'PAGE'}: {text}"
        body = f"{text}\nWhat to do: docs/runbook.md, section {AlertCode.DATABASE_AWAY}. Sent without the outbox."
        for channel, target in self._targets:
            try:
                target.send(title, body, Severity.PAGE)
            except Unavailable as error:
                log.warning("%s could not be told: %s", channel.name, error)
