"""The keep-alive of the brokerage session: a thread of its own, so that no slow turn lets the session die.

What goes here: the rhythm, what the last answer said, and its age, which is health. What does not: what follows from
a session that is gone (`submitter`), and the call (`ports.Broker.keep_alive`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import PlatformError, Unavailable
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import SessionStatus
    from ibkr_assets.ports import Broker

#: IBKR ends a session after five to six minutes of silence: a keep-alive older than this many rounds is unhealthy.
UNHEALTHY_ROUNDS = 3
_STOP_BOUND_S = 1.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What the newest keep-alive gave: a status, or why there was none."""

    status: SessionStatus | None
    error: PlatformError | None = None


class KeepAlive:
    """Calls `broker.keep_alive` every `every_s` seconds. `supervise` is for whoever owns the session, often."""

    def __init__(self, broker: Broker, *, every_s: float, monotonic: Callable[[], float]) -> None:
        self._broker = broker
        self._every_s = every_s
        self._monotonic = monotonic
        self._wanted = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest: Kept | None = None
        self._alive_at: float | None = None
        self._asked_at: float | None = None
        self.restarts = 0

    def begin(self) -> None:
        """A session was just found ready: what was known before counts no more."""
        self._newest = None
        self._alive_at = self._asked_at = self._monotonic()
        self.supervise()

    def supervise(self) -> Kept | None:
        """Start the thread again where it has died, and give the newest answer since `begin`, None before one."""
        if self._thread is None or not self._thread.is_alive():
            if self._thread is not None:
                self.restarts += 1
                log.error("the keep-alive thread has died; it is started again")
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="keep-alive", daemon=True)
            self._thread.start()
        return self._newest

    def hurry(self) -> None:
        """Something says that the session may be gone: ask now."""
        self._wanted.set()

    def age_s(self) -> float | None:
        """Seconds since an answer said that the session is ready; None before the first."""
        return None if self._alive_at is None else self._monotonic() - self._alive_at

    @property
    def is_healthy(self) -> bool:
        """False when the session was not kept alive for so long that it may have ended."""
        age_s = self.age_s()
        return age_s is not None and age_s <= self._every_s * UNHEALTHY_ROUNDS

    def stop(self) -> None:
        """End the thread; one call that is under way ends by itself."""
        self._stop.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(_STOP_BOUND_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait(self._left_s())
            if self._stop.is_set():
                return
            self._wanted.clear()
            self._asked_at = self._monotonic()
            try:
                status = self._broker.keep_alive()
            except PlatformError as error:
                self._newest = Kept(None, error)
                continue
            if status.is_ready:
                self._alive_at = self._monotonic()
            self._newest = Kept(status)

    def _left_s(self) -> float:
        """A thread that was started again asks at once if its turn has passed."""
        if self._asked_at is None:
            return self._every_s
        return max(0.0, self._every_s - (self._monotonic() - self._asked_at))


def require_session(kept: Kept | None, gateway_session: str) -> None:
    """Raises what the newest keep-alive failed with, or Unavailable when the session is gone or another one."""
    if kept is None:
        return
    if kept.error is not None:
        raise kept.error
    assert kept.status is not None
    if not kept.status.is_ready:
        raise Unavailable(f"the brokerage session is gone: {kept.status.message or 'no reason given'}")
    if kept.status.session_id not in (None, gateway_session):
        raise Unavailable("the gateway has a new session; lists of the old one are gone")
