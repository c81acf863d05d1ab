"""One simulated gateway: its venue, sessions, clock, limits and files, and the order in which they act.

Everything runs on one thread, and no method awaits, so each request sees and leaves a whole state. HTTP is the
face's work, and so are faults, which act on a gateway from outside (`faults.board`).
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.clock import RunningClock
from ibkr_assets.simulator.late_orders import LateOrders
from ibkr_assets.simulator.ledger import Ledger
from ibkr_assets.simulator.nights import REGIONS, NightlyReset
from ibkr_assets.simulator.options import GatewayOptions
from ibkr_assets.simulator.pacing import Pacer
from ibkr_assets.simulator.performance import NavHistory
from ibkr_assets.simulator.questions import Question
from ibkr_assets.simulator.records import Record
from ibkr_assets.simulator.sessions import GatewaySession, SessionRules
from ibkr_assets.simulator.stream_hub import StreamHub
from ibkr_assets.simulator.tape import Tape
from ibkr_assets.simulator.venue import Venue
from ibkr_assets.simulator.wirelog import WireLog

#: While the clock runs by itself, it is noted in the ledger this often (real seconds), for a restart.
_NOTE_CLOCK_EVERY_S = 5.0


class Gateway:
    """The parts of a running gateway. `mono` is this process's monotonic clock."""

    def __init__(self, options: GatewayOptions, tape: Tape) -> None:
        self.options = options
        self.tape = tape
        self.peer_port: int | None = None
        #: Questions that a fault puts before the broker's own at the next submission.
        self.extra_questions: tuple[Question, ...] = ()
        self.late = LateOrders()
        self.history_running = 0
        self.tls: ssl.SSLContext | None = None  #: what the API port shows who it is with; None for plain HTTP
        self.ledger = Ledger(options.state_dir)
        start = options.clock_start or tape.sessions[1].opens_at - timedelta(minutes=30)
        self.venue = Venue(
            tape, options.account, options.opening_cash, start, seed=options.seed, can_short=options.can_short,
            initial_margin=options.initial_margin, sink=self._note,
        )  # fmt: skip
        self.nav_history = NavHistory(tape, options.account, options.opening_cash, start)
        self._remember()
        mono = self.mono()
        self.clock = RunningClock(self.venue.now, options.clock_speed, mono)
        self._clock_noted = mono
        # A session's identity is a secret and no choice of the venue's, so it does not come from the seed.
        self.session = GatewaySession(lambda: secrets.token_hex(16), _rules_of(options), mono, self.venue.now)
        self.pacer = Pacer(options.pace, options.penalty_s)
        self.streams = StreamHub(options.pace)
        #: Set by the server: closes the API port for so many real seconds.
        self.close_port: Callable[[float], None] | None = None
        self.wirelog = WireLog()

    @staticmethod
    def mono() -> float:
        """Real seconds, only ever growing."""
        return time.monotonic()

    def tick(self) -> datetime:
        """Let what the market clock has passed happen; returns market time."""
        mono = self.mono()
        now = self.clock.now(mono)
        if now > self.venue.now:
            is_due = mono - self._clock_noted >= _NOTE_CLOCK_EVERY_S
            self.late.arrive(self.venue, now)
            self.venue.advance(now, is_recorded=is_due)
            self._clock_noted = mono if is_due else self._clock_noted
            self.ledger.flush()
        self.session.advance(mono, self.venue.now)
        return self.venue.now

    def set_clock(self, moment: datetime) -> None:
        """Move the market clock forward; everything in between happens. Raises BackwardsInTime."""
        self.tick()
        self.clock.set(moment, self.mono())
        self.late.arrive(self.venue, moment)
        self.venue.advance(moment)
        self.ledger.flush()
        self.session.advance(self.mono(), self.venue.now)

    def restart(self, down_s: float) -> None:
        """The gateway process ends and comes up anew; its API port is closed for `down_s` real seconds, if any."""
        self.session.restart()
        if down_s > 0 and self.close_port is not None:
            self.close_port(down_s)

    def _note(self, record: Record) -> None:
        self.ledger.append(record, t_mono=self.mono(), peer_port=self.peer_port)
        self.streams.observe(record)

    def _remember(self) -> None:
        """Rebuild what the broker knows from the ledger of an earlier process."""
        for record in self.ledger.records():
            if record.account is not None and record.account != self.options.account:
                raise ConfigurationError(
                    f"state_dir: its ledger is of account {record.account}, not {self.options.account}"
                )
            self.venue.book.apply(record)


def _rules_of(options: GatewayOptions) -> SessionRules:
    def span(seconds: float | None) -> timedelta | None:
        return None if seconds is None else timedelta(seconds=seconds)

    return SessionRules(
        idle_limit_s=options.idle_limit_s,
        zone=REGIONS[options.region],
        reset=NightlyReset(options.nightly_reset),
        has_maintenance=options.maintenance,
        login_life=span(options.login_life_h * 3600 if options.login_life_h else None),
        auto_login_after=span(options.auto_login_after_s),
        grace_s=options.login_grace_s,
        bridge_delay_s=options.bridge_delay_s,
    )
