"""IBKR's request limits, kept before a request leaves, because breaking them shuts the address out for minutes.

What goes here: the limits and when a request may go. How that is shared between processes goes to `pacing_state`.
A sliding log, not a token bucket: a bucket lets almost twice the limit into the first second after a pause.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ibkr_assets.adapters.ibkr.logins import Logins
from ibkr_assets.adapters.ibkr.pacing_state import MemoryState, Sent, State
from ibkr_assets.domain.errors import ShutOut, Unavailable

#: Added to every window: a gateway may see two requests closer together than they were sent.
MARGIN_S = 0.03
#: A request is counted from when the gateway can have seen it: when it left, plus what its answer took longer than the
#: quickest of the last ones did, but at most this. A gateway that stalls sees requests late, and so closer together.
LATEST_S = 1.0
_ROUND_TRIPS = 20
#: With fewer answers than this nothing is known of the quickest one: then a request may have been seen just before
#: its answer came.
_KNOWN_AFTER = 6
#: Silence after a 429: as long as IBKR's page says that an address is shut out. A shorter one, of a simulated gateway,
#: doubles with every 429 that follows without a good answer between, up to the longest.
FIRST_PENALTY_S = 900.0
LONGEST_PENALTY_S = 900.0
#: While it lasts, this one call may leave once a minute; its good answer says that the door is open again.
PROBE = "POST iserver/auth/status"
PROBE_EVERY_S = 60.0
#: How many history requests may be open at once, and how long a slot of a process that died is kept.
HISTORY_SLOTS = 5
SLOT_HELD_S = 90.0
#: A gateway may count a request as open for a moment after its answer.
SLOT_REST_S = 0.05
#: Who waits looks again this often, for others may turn out to have gone earlier than was assumed; and who has not
#: looked for this long is gone.
_LOOK_S = 0.05
_GONE_S = 1.0


class PacedOut(Unavailable):
    """A limit does not let the request go now. Nothing was sent."""


class PenaltyLasts(PacedOut, ShutOut):
    """The silence after a 429 is not over. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` requests in any `window_s` seconds. `pattern` matches "METHOD path"."""

    name: str
    pattern: re.Pattern[str]
    limit: int
    window_s: float


def _rule(name: str, pattern: str, limit: int, window_s: float) -> Rule:
    return Rule(name, re.compile(pattern), limit, window_s)


#: IBKR's published limits ("Pacing Limitations" of the Web API v1 documentation). The last one is ours: a login is
#: not tried more often than this, whether it works or not, so that a session that comes and goes never hammers IBKR.
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
    _rule("login", r"^POST iserver/auth/ssodh/init$", 6, 3600.0),
)
_HISTORY = re.compile(r" (iserver/marketdata|hmds)/history$")
_tokens = itertools.count()
#: Containers that share the state number their processes alike.
_MACHINE = socket.gethostname()


class Permit:
    """Leave to send one request. `is_probe` is of the one call that may leave in the silence after a 429."""

    def __init__(self, sent: Callable[[], None], *, is_probe: bool) -> None:
        self.sent = sent  #: to be called just before the first byte leaves
        self.is_probe = is_probe


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
        self.pace = pace
        self.logins = Logins(self._state, clock, pace)
        self._round_trips: dict[str, deque[float]] = {}
        self._round_trips_lock = threading.Lock()

    @contextmanager
    def permit(self, method: str, path: str, *, max_wait_s: float) -> Iterator[Permit]:
        """Wait for leave to send, at most `max_wait_s`. Raises PacedOut when that is not enough, or after a 429."""
        name = f"{method} {path}"
        rules = [rule for rule in RULES if rule.pattern.search(name)]
        token = f"{_MACHINE}-{os.getpid()}-{next(_tokens)}"
        give_up = self._clock() + max_wait_s
        is_history = _HISTORY.search(name) is not None
        is_probe = name == PROBE and self._may_probe(token)
        left_at: list[float] = []

        def note_sent() -> None:
            left_at.append(self._clock())
            self._stamp(token, rules, left_at[0] + LATEST_S / self.pace)

        try:
            if is_history:  # the slot before the stamp: a stamp that ages while waiting for a slot counts too early
                self._take_slot(token, give_up)
            for group in (rules[1:], rules[:1]):  # the rule for all last: who waits for another holds up nobody else
                self._take_turn(token, group, give_up, is_probe=is_probe)
            yield Permit(note_sent, is_probe=is_probe)
            if left_at:
                late_s = min(self._late_s(path, self._clock() - left_at[0]), LATEST_S / self.pace)
                self._stamp(token, rules, left_at[0] + late_s)
        finally:
            if is_history:
                with self._state.locked() as sent:
                    sent.slots[token] = self._clock() + SLOT_REST_S / self.pace

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
            self._sleep(_LOOK_S / 5)

    def _may_probe(self, token: str) -> bool:
        """True where the door is shut and the last look whether it still is was a minute ago."""
        with self._state.locked() as sent:
            now = self._clock()
            if not _is_shut(sent, now):
                return False
            every_s = PROBE_EVERY_S / self.pace
            last = sent.stamps.get(PROBE, {})
            if any(now - every_s < at <= now for at in last.values()):
                return False
            sent.stamps[PROBE] = {token: now}
            return True

    def _take_turn(self, token: str, rules: list[Rule], give_up: float, *, is_probe: bool) -> None:
        """Queue behind those who wait already, and go when every rule has room."""
        while rules:
            with self._state.locked() as sent:
                now = self._clock()
                at = max(self._turn(sent, rule, token, now) for rule in rules)
                is_over = at > give_up or (_is_shut(sent, now) and not is_probe)
                for rule in rules:
                    if is_over or at <= now:
                        sent.queues[rule.name].pop(token, None)
                    else:
                        sent.queues[rule.name][token] = now
                    if not is_over and at <= now:
                        sent.stamps[rule.name][token] = now
                if not is_probe:
                    self._refuse_when_shut(sent, now)
                if is_over:
                    raise PacedOut(f"{rules[-1].name}: the limit allows the next request in {at - now:.1f} s")
            if at <= now:
                return
            self._sleep(min(at - now, _LOOK_S))

    def _turn(self, sent: Sent, rule: Rule, token: str, now: float) -> float:
        """When this rule has room for a request and for all that wait before it; `now` where it has already."""
        window_s = (rule.window_s + MARGIN_S) / self.pace
        latest = now + window_s  # what lies beyond was written before the machine's last start
        stamps = {t: at for t, at in sent.stamps.get(rule.name, {}).items() if now - window_s < at <= latest}
        queue = {t: seen for t, seen in sent.queues.get(rule.name, {}).items() if now - _GONE_S < seen <= now}
        sent.stamps[rule.name], sent.queues[rule.name] = stamps, queue
        ahead = list(queue).index(token) if token in queue else len(queue)
        to_leave = len(stamps) + ahead + 1 - rule.limit  # this many must be older than a window first
        if to_leave <= 0:
            return now
        ordered = sorted(stamps.values())
        if to_leave <= len(ordered):
            return ordered[to_leave - 1] + window_s
        rounds = 1 + (to_leave - len(ordered) - 1) // rule.limit
        return (ordered[-1] if ordered else now) + window_s * (1 + rounds)

    def _stamp(self, token: str, rules: list[Rule], at: float) -> None:
        with self._state.locked() as sent:
            for rule in rules:
                sent.stamps.setdefault(rule.name, {})[token] = at

    def _late_s(self, path: str, round_trip_s: float) -> float:
        """How much longer an answer took than the quickest of the last ones of its kind."""
        with self._round_trips_lock:
            last = self._round_trips.setdefault("/".join(path.split("/")[:3]), deque(maxlen=_ROUND_TRIPS))
            last.append(round_trip_s)
            return round_trip_s - (min(last) if len(last) >= _KNOWN_AFTER else 0.0)

    def note_alive(self) -> None:
        """A keep-alive of this login was answered well, by whichever process."""
        with self._state.locked() as sent:
            sent.alive_at = self._clock()

    def alive_age_s(self) -> float | None:
        """Seconds since the last keep-alive of any process that was answered well; None where none is known."""
        with self._state.locked() as sent:
            age_s = None if sent.alive_at is None else self._clock() - sent.alive_at
        return age_s if age_s is not None and age_s >= 0 else None  # a later one is of before the machine's start

    def left(self) -> tuple[dict[str, int], float]:
        """How many requests each limit would let go now, and for how many seconds a 429 still holds all of them up."""
        with self._state.locked() as sent:
            now = self._clock()
            shut_s = max(0.0, sent.shut_until - now) if _is_shut(sent, now) else 0.0
            found = {}
            for rule in RULES:
                window_s = rule.window_s / self.pace
                stamps = sent.stamps.get(rule.name, {}).values()
                taken = sum(1 for at in stamps if now - window_s < at <= now + window_s)
                found[rule.name] = max(0, rule.limit - taken)
        return found, shut_s

    def penalise(self) -> None:
        """A 429 came: nothing at all leaves for a while. Further 429s of requests already under way do not add."""
        with self._state.locked() as sent:
            now = self._clock()
            if not _is_shut(sent, now):
                sent.strikes += 1
                penalty_s = self._first_penalty_s * 2 ** min(sent.strikes - 1, 10)
                sent.shut_until = now + min(penalty_s, LONGEST_PENALTY_S)
                sent.stamps[PROBE] = {"": now}

    def forgive(self, *, is_probe: bool = False) -> None:
        """A good answer came: the next 429 starts with the first penalty again; after a probe the silence is over."""
        with self._state.locked() as sent:
            sent.strikes = 0
            if is_probe:
                sent.shut_until = 0.0

    def _refuse_when_shut(self, sent: Sent, now: float) -> None:
        if _is_shut(sent, now):
            raise PenaltyLasts(f"the gateway answered 429; nothing is sent for another {sent.shut_until - now:.0f} s")
        sent.shut_until = 0.0


def _is_shut(sent: Sent, now: float) -> bool:
    """A time farther ahead than any penalty was written before the machine's last start."""
    return now < sent.shut_until <= now + LONGEST_PENALTY_S
