"""The two sessions of a gateway: the login, and the brokerage session on top of it; and what ends and begins them.

What a brokerage session remembers goes with it (`session_memory`). What a client is told is the work of
`face.sessions`, and what the broker itself remembers is in `book`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.nights import NightlyReset, is_maintenance, next_midnight
from ibkr_assets.simulator.session_memory import SessionMemory

#: A login is renewed by the gateway itself every minute, and tells how much of these ten minutes is left.
_LOGIN_LEFT_S, _LOGIN_RENEWED_S = 600.0, 60.0
_ATTEMPTS_KEPT = 1_000


class Brokerage(StrEnum):
    """Where the brokerage session stands. An init brings back a lost one; a disconnected one it does not."""

    READY = "ok"
    LOST = "lost"
    COMPETING = "competing"
    DISCONNECTED = "disconnected"


class InitFailed(Exception):
    """IBKR's servers did not take part in an init."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What ends sessions. `idle_limit_s`, `grace_s` and `bridge_delay_s` are real seconds, the others market time.

    `grace_s` is how long a fresh login is answered 401, `bridge_delay_s` how long there is no bridge after a good
    init. `login_life` None never ends; `auto_login_after` None leaves a login to somebody who does it.
    """

    idle_limit_s: float
    zone: ZoneInfo
    reset: NightlyReset = NightlyReset.OFF
    has_maintenance: bool = False
    login_life: timedelta | None = None
    auto_login_after: timedelta | None = None
    grace_s: float = 0.0
    bridge_delay_s: float = 0.0


class GatewaySession:
    """State of login and brokerage session; begins as after a successful login in a browser.

    `mono` is real monotonic seconds, `now` market time. Both come in with `advance`, before anything else is asked.
    """

    def __init__(self, new_id: Callable[[], str], rules: SessionRules, mono: float, now: datetime) -> None:
        self._new_id = new_id
        self._rules = rules
        self._mono = self._last_request = self._login_mono = mono
        self._now = self._login_at = now
        self._logout_at = now
        self._admitted_from = self._bridged_from = mono
        self._midnight = next_midnight(now, rules.zone)
        self._watchers: list[Callable[[], None]] = []
        self.idle_limit_s = rules.idle_limit_s
        self.auto_login_after = rules.auto_login_after
        self.id = new_id()
        self.is_logged_in = True
        self.is_portfolio_read = False
        self.brokerage = Brokerage.READY
        self.memory = SessionMemory()
        self.init_failures = 0
        self.attempt_count = 0
        self.attempts: deque[datetime] = deque(maxlen=_ATTEMPTS_KEPT)
        self.login_count = 0

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after every change of either session."""
        self._watchers.append(changed)

    # ---- time

    def advance(self, mono: float, now: datetime) -> None:
        """Let happen what time brings, in order: silence, midnights, the end of a login, a login by itself."""
        self._mono = mono
        if self.brokerage is Brokerage.READY and mono - self._last_request > self.idle_limit_s:
            self.lose(Brokerage.LOST)
        while (due := self._next_event())[0] <= now:
            self._now = due[0]
            due[1]()
        self._now = now

    def touch(self) -> None:
        """A request came in."""
        self._last_request = self._mono

    def _next_event(self) -> tuple[datetime, Callable[[], None]]:
        events: list[tuple[datetime, Callable[[], None]]] = [(self._midnight, self._pass_midnight)]
        if self.is_logged_in and self._rules.login_life is not None:
            events.append((self._login_at + self._rules.login_life, self.log_out))
        if not self.is_logged_in and self.auto_login_after is not None:
            events.append((self._logout_at + self.auto_login_after, self.log_in))
        return min(events, key=lambda event: event[0])

    def _pass_midnight(self) -> None:
        self._midnight = next_midnight(self._midnight, self._rules.zone)
        if not self.is_logged_in:
            return
        if self._rules.reset is NightlyReset.LOGIN:
            self.log_out()
        elif self._rules.reset is NightlyReset.BROKERAGE:
            self.lose(Brokerage.LOST)

    # ---- what ends and begins

    def lose(self, state: Brokerage) -> None:
        """The brokerage session ends, and its memory with it."""
        self.brokerage = state
        self.memory = SessionMemory()
        self._tell()

    def init(self, *, may_compete: bool) -> None:
        """Bring the brokerage session up, unless another platform holds it and we may not compete.

        Raises InitFailed as often as `init_failures` says.
        """
        if self.init_failures > 0:
            self.init_failures -= 1
            raise InitFailed
        if self.brokerage is Brokerage.LOST or (self.brokerage is Brokerage.COMPETING and may_compete):
            self._bridged_from = self._mono + self._rules.bridge_delay_s
            self._come_up()

    def note_attempt(self) -> None:
        """An init was asked for, whatever came of it."""
        self.attempt_count += 1
        self.attempts.append(self._now)

    def log_out(self) -> None:
        """Both sessions end; only a person can log in again."""
        if self.is_logged_in:
            self._logout_at = self._now
        self.is_logged_in = False
        self.lose(Brokerage.LOST)

    def log_in(self) -> None:
        """A person logged in; the brokerage session comes with it, wherever it was before."""
        if not self.is_logged_in:
            self.is_logged_in = True
            self.is_portfolio_read = False
            self.id = self._new_id()
            self.login_count += 1
            self._login_mono, self._login_at = self._mono, self._now
            self._admitted_from = self._mono + self._rules.grace_s
        self._bridged_from = self._admitted_from
        if self.brokerage is not Brokerage.READY:
            self._come_up()
        self.touch()

    def restart(self) -> None:
        """The gateway process came up anew: another session id, and nothing remembered."""
        self.id = self._new_id()
        self.is_portfolio_read = False
        self.memory = SessionMemory()
        self.log_in()
        self._tell()

    def _come_up(self) -> None:
        self.brokerage = Brokerage.READY
        self.memory = SessionMemory()
        self._tell()

    def _tell(self) -> None:
        for changed in self._watchers:
            changed()

    # ---- questions

    @property
    def is_admitted(self) -> bool:
        """True when a call with the login session is not a 401."""
        return self.is_logged_in and self._mono >= self._admitted_from

    @property
    def is_authenticated(self) -> bool:
        """True when the brokerage session is up, be its bridge there already or not."""
        return self.is_logged_in and self.brokerage is Brokerage.READY

    @property
    def is_ready(self) -> bool:
        """True when everything under /iserver answers."""
        return self.is_authenticated and self._mono >= self._bridged_from

    @property
    def is_in_maintenance(self) -> bool:
        """True while IBKR answers nothing but 503."""
        return self._rules.has_maintenance and is_maintenance(self._now, self._rules.zone)

    @property
    def logged_in_at(self) -> datetime:
        """Market time of the last login."""
        return self._login_at

    @property
    def login_left_ms(self) -> int:
        """How long the login lasts, as IBKR counts it: renewed every minute, and 0 when it is over."""
        if not self.is_logged_in:
            return 0
        left_s = _LOGIN_LEFT_S - (self._mono - self._login_mono) % _LOGIN_RENEWED_S
        if self._rules.login_life is not None:
            left_s = min(left_s, (self._login_at + self._rules.login_life - self._now).total_seconds())
        return round(left_s * 1000)
