"""IBKR's request limits, kept before a request leaves, because breaking them shuts the address out for minutes.

What goes here: the limits and when a request may go. How that is shared between processes goes to `pacing_state`.
A sliding log, not a token bucket: a bucket lets almost twice the limit into the first second after a pause.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ibkr_assets.adapters.ibkr.pacing_state import MemoryState, Sent, State
from ibkr_assets.domain.errors import Unavailable

#: Added to every window: a gateway may see two requests closer together than they were sent.
MARGIN_S = 0.04
#: Silence after a 429; doubles with every 429 that follows without a good answer between, up to the longest.
FIRST_PENALTY_S = 60.0
LONGEST_PENALTY_S = 900.0
#: How many history requests may be open at once, and how long a slot of a process that died is kept.
HISTORY_SLOTS = 5
SLOT_HELD_S = 90.0
_POLL_S = 0.01


class PacedOut(Unavailable):
    """A limit does not let the request go now. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` requests in any `window_s` seconds. `pattern` matches "METHOD path"."""

    name: str
    pattern: re.Pattern[str]
    limit: int
    window_s: float


def _rule(name: str, pattern: str, limit: int, window_s: float) -> Rule:
    return Rule(name, re.compile(pattern), limit, window_s)


LOGIN_RULE = "login"

#: IBKR's published limits ("Pacing Limitations" of the Web API v1 documentation). The last one is ours: a login that
#: does not work is not tried more often than this, so that a dead session never hammers IBKR's login.
RULES = (
    _rule("all", r".", 10, 1.0),
    _rule("orders", r"^GET iserver/account/orders$", 1, 5.0),
    _rule("trades", r"^GET iserver/account/trades$", 1, 5.0),
    _rule("pnl", r"^GET iserver/account/pnl/partitioned$", 1, 5.0),
    _rule("portfolio accounts", r"^GET portfolio/accounts$", 1, 5.0),
    _rule("portfolio subaccounts", r"^GET portfolio/subaccounts$", 1, 5.0),
    _rule("tickle", r" tickle$", 1, 1.0),
    _rule("sso validate", r" sso/validate$", 1, 60.0),
    _rule("scanner run", r" iserver/scanner/run$", 1, 1.0),
    _rule("scanner params", r" iserver/scanner/params$", 1, 900.0),
    _rule("performance", r" pa/performance$", 1, 900.0),
    _rule("performance summary", r" pa/summary$", 1, 900.0),
    _rule("transactions", r" pa/transactions$", 1, 900.0),
    _rule("notifications", r" fyi/", 1, 1.0),
    _rule(LOGIN_RULE, r"^POST iserver/auth/ssodh/init$", 6, 3600.0),
)
_HISTORY = re.compile(r" (iserver/marketdata|hmds)/history$")
_tokens = itertools.count()


class Permit:
    """Leave to send one request."""

    def __init__(self, limiter: Limiter, token: str, rules: list[Rule]) -> None:
        self._limiter = limiter
        self._token = token
        self._rules = rules

    def sent(self) -> None:
        """Count the request from now on: it may have waited for a connection since it was let go."""
        self._limiter.restamp(self._token, self._rules)


class Limiter:
    """Lets requests go when every limit allows. Safe for threads; `clock` is monotonic seconds.

    `pace` divides every window and penalty: 1 is IBKR's; more is for a simulated gateway that runs at that pace too.
    """

    def __init__(
        self,
        state: State | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        first_penalty_s: float = FIRST_PENALTY_S,
        pace: float = 1.0,
    ) -> None:
        self._state = state or MemoryState()
        self._clock = clock
        self._sleep = sleep
        self._first_penalty_s = first_penalty_s / pace
        self._pace = pace

    @contextmanager
    def permit(self, method: str, path: str, *, max_wait_s: float) -> Iterator[Permit]:
        """Wait for leave to send, at most `max_wait_s`. Raises PacedOut when that is not enough, or after a 429."""
        name = f"{method} {path}"
        rules = [rule for rule in RULES if rule.pattern.search(name)]
        token = f"{os.getpid()}-{next(_tokens)}"
        give_up = self._clock() + max_wait_s
        is_history = _HISTORY.search(name) is not None
        try:
            if is_history:  # the slot before the stamp: a stamp that ages while waiting for a slot counts too early
                self._take_slot(token, give_up)
            for group in (rules[1:], rules[:1]):  # the stamp shared by all last: one that waits holds up nobody else
                self._take_stamps(token, group, give_up)
            yield Permit(self, token, rules)
        finally:
            if is_history:
                with self._state.locked() as sent:
                    sent.slots.pop(token, None)

    def _take_slot(self, token: str, give_up: float) -> None:
        while True:
            with self._state.locked() as sent:
                now = self._clock()
                self._refuse_when_shut(sent, now)
                sent.slots = {t: until for t, until in sent.slots.items() if now < until <= now + SLOT_HELD_S}
                if len(sent.slots) < HISTORY_SLOTS:
                    sent.slots[token] = now + SLOT_HELD_S
                    return
            if now >= give_up:
                raise PacedOut(f"history: {HISTORY_SLOTS} requests are open already")
            self._sleep(_POLL_S)

    def _take_stamps(self, token: str, rules: list[Rule], give_up: float) -> None:
        """Queue behind all others; when the turn comes, look again, since who went before may have gone late."""
        is_queued = False
        while True:
            with self._state.locked() as sent:
                now = self._clock()
                at = now
                for rule in rules:
                    window_s = (rule.window_s + MARGIN_S) / self._pace
                    others = _others(sent, rule.name, token, now, window_s)
                    counted = [t for t in others if t <= now] if is_queued else others
                    if len(counted) >= rule.limit:
                        at = max(at, counted[-rule.limit] + window_s)
                if _is_shut(sent, now) or at > give_up:
                    for rule in RULES:
                        _put(sent, rule, token, None)
                    self._refuse_when_shut(sent, now)
                    raise PacedOut(f"{rules[-1].name}: the limit allows the next request in {at - now:.1f} s")
                for rule in rules:
                    _put(sent, rule, token, at)
                is_queued = True
            if at <= now:
                return
            self._sleep(at - now)

    def restamp(self, token: str, rules: list[Rule]) -> None:
        """Move the stamps of a request to now."""
        with self._state.locked() as sent:
            now = self._clock()
            for rule in rules:
                _put(sent, rule, token, now)

    def refund_login(self) -> None:
        """Take the newest login off the log: it worked, and the limit is against logins that do not."""
        with self._state.locked() as sent:
            stamps = sent.stamps.get(LOGIN_RULE, [])
            if stamps:
                stamps.pop()

    def penalise(self) -> None:
        """A 429 came: nothing at all leaves for a while. Further 429s of requests already under way do not add."""
        with self._state.locked() as sent:
            now = self._clock()
            if not _is_shut(sent, now):
                sent.strikes += 1
                penalty_s = self._first_penalty_s * 2 ** min(sent.strikes - 1, 10)
                sent.shut_until = now + min(penalty_s, LONGEST_PENALTY_S)

    def forgive(self) -> None:
        """A good answer came: the next 429 starts with the first penalty again."""
        with self._state.locked() as sent:
            sent.strikes = 0

    def _refuse_when_shut(self, sent: Sent, now: float) -> None:
        if _is_shut(sent, now):
            raise PacedOut(f"the gateway answered 429; nothing is sent for another {sent.shut_until - now:.0f} s")
        sent.shut_until = 0.0


def _is_shut(sent: Sent, now: float) -> bool:
    """A time farther ahead than any penalty was written before the machine's last start."""
    return now < sent.shut_until <= now + LONGEST_PENALTY_S


def _others(sent: Sent, rule: str, token: str, now: float, window_s: float) -> list[float]:
    """Stamps of others that still count, ascending; old ones are dropped, and those of before a restart."""
    stamps = [(t, at) for t, at in sent.stamps.get(rule, []) if now - window_s < at <= now + 2 * window_s]
    sent.stamps[rule] = stamps
    return sorted(at for t, at in stamps if t != token)


def _put(sent: Sent, rule: Rule, token: str, at: float | None) -> None:
    stamps = [(t, other) for t, other in sent.stamps.get(rule.name, []) if t != token]
    if at is not None:
        stamps.append((token, at))
    sent.stamps[rule.name] = sorted(stamps, key=lambda stamp: stamp[1])
