"""A chaos run: evenings on which decisions are made and everything goes wrong, then calm, then the comparison."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.order import Mode, OrderIntent, OrderState, account_ref
from ibkr_assets.execution.kill import remove_kill_file, write_kill_file
from ibkr_assets_tests.chaos.comparison import Comparison, compare
from ibkr_assets_tests.chaos.decisions import CONIDS, OPENING_SHARES, decide, sessions, write_tape
from ibkr_assets_tests.chaos.lives import Life, Proposer, start_submitter
from ibkr_assets_tests.chaos.peers import Server, Venue
from ibkr_assets_tests.chaos.troubles import (
    DRILLS_OF_CANCELLING,
    DRILLS_OF_OPENING,
    DRILLS_OF_SENDING,
    DRILLS_OF_WATCHING,
    FAULTS,
    FORGETFUL,
    HAPPENINGS,
    HAPPENINGS_OF_THEFT,
    OWN_FAULTS,
    Fate,
)

CALM_BOUND_S = 120.0
_S = OrderState
#: What an evening is held open for: an order in doubt may be sent again.
_UNSENT = {_S.PROPOSED, _S.APPROVED, _S.SUBMITTING, _S.QUESTION, _S.CONFIRMING, _S.UNKNOWN}
#: The share of the decisions meant to leave that the gateway must have taken, or the run has shown little.
LEAST_ACCEPTED = 0.7
#: Real seconds for a drill, at most.
_DRILL_S = 6.0
_MOST_TROUBLES = 20
#: Real seconds of an opening, at most.
_OPENING_S = 20.0
_TURN_S = 0.03
_MARKET_SPEED = 20.0
_LEASE_S = 2.5


@dataclass(frozen=True)
class Options:
    """What a run is made of. `every_s` is the mean time between two happenings, `happenings` how many there are
    at most in an evening, so that a slow machine has them too and still comes to an end. An evening lasts until its
    decisions have left, `evening_s` at most. `drills` is how many of each kind an evening has at most.
    """

    orders: int
    seed: int
    profile: str = "everything"
    faults: tuple[str, ...] = ()
    pace: float = 1000.0
    settle_s: float = 0.5
    every_s: float = 0.45
    submitters: int = 2
    per_evening: int = 80
    may_resend: bool = True
    calm_s: float = CALM_BOUND_S
    thefts: int = 0
    happenings: int = 16
    evening_s: float = 90.0
    drills: int = 3

    @property
    def is_forgetful(self) -> bool:
        return self.profile == "forgetful"

    @property
    def own_faults(self) -> tuple[str, ...]:
        """What the run is about: each must have struck."""
        return self.faults or OWN_FAULTS[self.profile]


@dataclass
class Outcome:
    """What was done, and what it came to."""

    options: Options
    comparison: Comparison
    kills: Counter[str] = field(default_factory=Counter)
    happenings: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    not_reached: list[str] = field(default_factory=list)
    resumed: int = 0
    meant: int = 0
    calm_took_s: float = 0.0
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)
    directory: Path | None = None

    @property
    def is_good(self) -> bool:
        return self.comparison.is_good and not self.troubles


class Run:
    """One run. Everything it starts it ends, whatever happens."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        self.begun = time.monotonic()
        names = options.faults or (FORGETFUL if options.is_forgetful else tuple(FAULTS))
        happenings = HAPPENINGS_OF_THEFT if options.thefts else HAPPENINGS
        self.fate = Fate(options.seed, names, happenings, is_forgetful=options.is_forgetful)
        self.directory = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.evenings = -(-options.orders // options.per_evening)
        self.days = sessions(self.evenings)
        self.kills: Counter[str] = Counter()
        self.happenings: Counter[str] = Counter()
        self.troubles: list[str] = []
        self.resumed = 0
        self.keys: set[str] = set()
        self.meant: set[str] = set()
        self.drilled: str | None = None
        self.drills: Counter[str] = Counter()
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.lives: list[Life] = []
        self.is_calm = False
        self.left = 0
        self.next_at = 0.0
        self.resume_at = 0.0
        self.is_postgres_up = True

    def run(self) -> Outcome:
        with contextlib.ExitStack() as closing:
            write_tape(self.directory / "tape", self.evenings)
            self.server = Server()
            closing.callback(self.server.close)
            first = self.days[0].closes_at + timedelta(hours=1)
            self.venue = Venue(
                self.directory, self.directory / "tape", first, pace=self.options.pace, seed=self.options.seed
            )
            closing.callback(self.venue.close)
            self.ref = account_ref(self.venue.account)
            for conid in CONIDS.values():
                self.venue.gateway.move_position(conid, OPENING_SHARES)
            self.database = Database(self.server.url("ibkr_platform"))
            closing.callback(self.database.close)
            self.proposers = [Proposer(self.server.url("ibkr_app")) for _ in range(2)]
            closing.callback(lambda: [proposer.end() for proposer in self.proposers])
            closing.callback(lambda: [life.kill() for life in self.lives])
            self.lives = [start_submitter(self.environment(), self.log, None)]
            self.wait_until_open(30.0)
            self.lives[0].kill()
            self.revive()
            self.lives += [self.new_submitter() for _ in range(1, self.options.submitters)]
            for number in range(self.evenings):
                self.evening(number)
            while self.happenings["steal lease"] < self.options.thefts:
                self.left = 1
                self.turn()
            calm_took_s = self.calm_down()
            comparison = compare(self.database, self.venue.gateway, self.keys)
            outcome = Outcome(
                self.options, comparison, self.kills, self.happenings, self.venue.struck, self.fate.not_reached(),
                self.resumed, len(self.meant), calm_took_s, time.monotonic() - self.begun, self.troubles,
            )  # fmt: skip
            self.judge(outcome)
            for life in self.lives:
                life.end()
        if outcome.is_good:
            shutil.rmtree(self.directory)
        else:
            outcome.directory = self.directory
        return outcome

    def judge(self, outcome: Outcome) -> None:
        """A run that did not do what it is for has shown nothing."""
        struck, accepted = outcome.struck, outcome.comparison.accepted
        self.troubles += [f"{fault} never struck" for fault in self.options.own_faults if not struck[fault]]
        if self.options.orders >= 100 and accepted < LEAST_ACCEPTED * outcome.meant:
            self.troubles.append(f"only {accepted} of {outcome.meant} that were meant to leave were accepted")

    # ---- processes

    @property
    def log(self) -> Path:
        return self.directory / "submitter.log"

    def environment(self) -> dict[str, str]:
        gateway = self.venue.gateway
        return {
            "IBKR_ASSETS_MODE": "sim",
            "IBKR_ASSETS_DATABASE_URL": self.server.url("ibkr_submitter"),
            "IBKR_ASSETS_GATEWAY_URL": gateway.api_url,
            "IBKR_ASSETS_CLOCK_URL": gateway.clock_url,
            "IBKR_ASSETS_ACCOUNT": gateway.account,
            "IBKR_ASSETS_DATA_DIR": str(self.directory / "data"),
            "IBKR_ASSETS__GATEWAY__PACE": str(self.options.pace),
            "IBKR_ASSETS__GATEWAY__ORDER_TIMEOUT_S": "2",
            "IBKR_ASSETS__GATEWAY__READ_TIMEOUT_S": "2",
            "IBKR_ASSETS__SUBMITTER__SETTLE_S": str(self.options.settle_s),
            "IBKR_ASSETS__SUBMITTER__LEASE_S": str(_LEASE_S),
            "IBKR_ASSETS__SUBMITTER__MAY_RESEND": str(self.may_resend).lower(),
        }

    @property
    def may_resend(self) -> bool:
        """A gateway that forgets ids has not proven that it refuses a second arrival: nothing is sent twice to it."""
        return self.options.may_resend and not self.options.is_forgetful

    def new_submitter(self) -> Life:
        """Most are told where to kill themselves."""
        if self.is_calm or self.options.thefts:
            crash = None
        else:
            crash = f"{self.drilled}:1" if self.drilled is not None else self.fate.crash()
        return start_submitter(self.environment(), self.log, crash)

    def drill(self, points: Iterable[str]) -> bool:
        """Kill every submitter; those that follow die at one of these points that none has died at, until one has.

        False when there is none.
        """
        missing = [] if self.options.thefts else [point for point in points if point in self.fate.not_reached()]
        if not missing:
            return False
        self.drilled = min(missing, key=lambda point: self.drills[point])
        self.drills[self.drilled] += 1
        for life in self.lives:
            life.kill()
            self.kills["at any moment"] += 1
        return True

    def is_drilled(self) -> bool:
        return self.drilled is None

    def revive(self) -> None:
        """Start again whatever has died, and count what it died of."""
        for number, life in enumerate(self.lives):
            if life.is_alive:
                continue
            code = life.process.exitcode
            if not life.was_killed:
                if life.crash is not None and code == -signal.SIGKILL:
                    point = life.crash.partition(":")[0]
                    self.kills[point] += 1
                    self.fate.note_reached(point)
                    self.drilled = None if self.drilled == point else self.drilled
                else:
                    self.troubles.append(f"a submitter ended with {code}; see {self.log}")
                    if len(self.troubles) > _MOST_TROUBLES:
                        raise RuntimeError(f"submitters do not even start: {self.troubles[-1]}")
            self.lives[number] = self.new_submitter()

    # ---- what goes wrong

    def turn(self) -> None:
        """A moment of the run: revive, do what is due, let something happen."""
        time.sleep(_TURN_S)
        now = time.monotonic()
        for entry in [entry for entry in self.due if entry[0] <= now]:
            self.due.remove(entry)
            entry[1]()
        self.revive()
        if now >= self.resume_at and self.is_postgres_up:
            self.resume_at = now + 1.0
            self.resume_what_was_killed()
        if not self.is_calm and now >= self.next_at and self.left:
            self.left -= 1
            self.next_at = now + self.fate.pause_s(self.options.every_s)
            self.happen(self.fate.next_happening())

    def happen(self, what: str) -> None:
        done = getattr(self, f"_{what.replace(' ', '_').lower()}")()
        if done is not False:
            self.happenings[what] += 1

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self.due.append((time.monotonic() + seconds, act))

    def is_gateway_answering(self) -> bool:
        return self.venue.is_up and not self.venue.is_stopped

    def _kill_submitter(self) -> None:
        self.fate.chance.choice(self.lives).kill()
        self.kills["at any moment"] += 1

    def _pause_submitter(self) -> bool | None:
        life = self.fate.chance.choice(self.lives)
        is_long = self.fate.chance.random() < 0.3
        seconds = self.fate.chance.uniform(_LEASE_S, _LEASE_S * 2) if is_long else self.fate.chance.uniform(0.1, 1.0)
        if life.is_stopped or not life.is_alive:
            return False
        life.stop()
        self.later(seconds, life.go_on)
        return None

    def _steal_lease(self) -> bool | None:
        """The lease is anybody's, and with half of the thefts its holder is fenced off at once."""
        epochs = self.fate.chance.randint(0, 1)
        if not self.is_postgres_up:
            return False
        self.execute("update oms.writer_lease set epoch = epoch + %s, holder = 'thief', renewed_at = 'epoch'", epochs)
        return None

    def _arm_fault(self) -> bool | None:
        fault = self.fate.fault()
        if fault is None or not self.is_gateway_answering():
            return False
        self.venue.arm(fault)
        if fault["id"] == "F22":
            self.later(1.0, self.mend_session)
        return None

    def _kill_gateway(self) -> bool | None:
        seconds = self.fate.pause_s(0.4)
        if not self.is_gateway_answering():
            return False
        self.venue.kill()
        self.later(seconds, self.venue.start)
        return None

    def _pause_gateway(self) -> bool | None:
        seconds = self.fate.chance.uniform(0.1, 2.5)
        if not self.is_gateway_answering():
            return False
        self.venue.stop()
        self.later(seconds, self.venue.go_on)
        return None

    def _restart_gateway(self) -> bool | None:
        if not self.is_gateway_answering():
            return False
        self.venue.gateway.restart_session()
        return None

    def _lose_session(self) -> bool | None:
        if not self.is_gateway_answering():
            return False
        self.venue.gateway.set_session("lost")
        return None

    def _compete(self) -> bool | None:
        if not self.is_gateway_answering():
            return False
        self.venue.gateway.set_session("competing")
        self.later(1.0, self.mend_session)
        return None

    def mend_session(self) -> None:
        """The person at the other platform logs out."""
        if not self.is_gateway_answering():
            self.later(0.3, self.mend_session)
            return
        self.venue.gateway.set_session("ok")

    def _kill_postgres(self) -> bool | None:
        seconds = self.fate.pause_s(0.3)
        if not self.is_postgres_up:
            return False
        self.server.kill()
        self.is_postgres_up = False
        self.later(seconds, self.start_postgres)
        return None

    def start_postgres(self) -> None:
        self.server.start()
        self.is_postgres_up = True

    def _cut_postgres(self) -> bool | None:
        return None if self.is_postgres_up and self.server.cut() else False

    def _kill_cancel(self) -> bool | None:
        conid = self.fate.chance.choice(list(CONIDS.values()))
        if not self.is_postgres_up:
            return False
        with contextlib.suppress(psycopg.OperationalError):  # rather one that has something to cancel
            rows = self.execute("select min(conid) as conid from oms.order_intent where state = 'WORKING'")
            conid = rows[0]["conid"] or conid
        scope = f"conid:{conid}"
        self.control("kill_cancel", scope)
        self.later(1.5, lambda: self.control("resume", scope))
        return None

    def _kill_file(self) -> None:
        write_kill_file(self.directory / "data", actor="chaos", reason="drill")
        self.later(0.6, lambda: bool(remove_kill_file(self.directory / "data")))

    def control(self, action: str, scope: str) -> None:
        """An operator's act; one that the database cannot take now is tried again."""
        try:
            self.execute(
                "insert into oms.control (scope, action, actor, reason) values (%s, %s, 'operator', 'drill')",
                scope, action,
            )  # fmt: skip
        except psycopg.OperationalError:
            self.later(0.3, lambda: self.control(action, scope))

    def resume_what_was_killed(self) -> None:
        """The operator looks at what the platform stopped by itself, and lets it go on."""
        with contextlib.suppress(psycopg.OperationalError):
            rows = self.execute(
                "select distinct c.scope from oms.control c where c.actor <> 'operator' and c.action like 'kill%%' "
                "and not exists (select from oms.control r where r.scope = c.scope and r.action = 'resume' "
                "and r.control_id > c.control_id)"
            )
            for row in rows:
                self.control("resume", row["scope"])
                self.resumed += 1

    # ---- a day

    def evening(self, number: int) -> None:
        """Decisions of one evening, as much of them sent as trouble allows, and the opening after it."""
        session, following = self.days[number], self.days[number + 1]
        now = session.closes_at + timedelta(hours=1)
        self.with_gateway(lambda: self.venue.set_clock(now))
        self.with_gateway(lambda: self.venue.run_clock(_MARKET_SPEED))
        self.left = self.options.happenings
        first = number * self.options.per_evening
        numbers = range(first, min(first + self.options.per_evening, self.options.orders))
        intents = decide(self.fate.chance, numbers, self.ref, session, following)
        for name in self.options.own_faults:
            self.with_gateway(partial(self.venue.arm, self.fate.arm(name)))
        self.drill_sending()
        if number % 2 == 1 or self.evenings < 4 or self.drilled == "expire.done":
            self.let_expire(intents, now)
        self.meant |= {i.decision_key for i in intents if i.mode is Mode.SIM and i.valid_until == following.opens_at}
        self.propose(intents, now)
        for _ in range(1, self.options.drills):
            self.turn_until(self.options.evening_s, lambda: self.is_drilled() or not self.states() & _UNSENT)
            if self.states_now() & _UNSENT:
                self.drill_sending()
        self.turn_until(self.options.evening_s, lambda: not self.left and not self.states() & _UNSENT)
        self.drilled = None
        for _ in range(self.options.drills):
            if self.drill(DRILLS_OF_WATCHING):
                self.turn_until(_DRILL_S, self.is_drilled)
        for _ in range(self.options.drills):
            self.drill_cancelling()
        self.drill_opening()
        self.with_gateway(lambda: self.venue.run_clock(0))
        self.with_gateway(lambda: self.venue.set_clock(following.opens_at + timedelta(minutes=5)))
        self.turn_until(_DRILL_S, self.is_drilled)
        self.drilled = None
        self.turn_until(_OPENING_S, lambda: all(state.is_terminal for state in self.states()))
        self.tell(number + 1)

    def drill_sending(self) -> None:
        if self.drill(DRILLS_OF_SENDING) and (provoked := DRILLS_OF_SENDING[self.drilled or ""]) is not None:
            self.with_gateway(lambda: self.venue.arm(provoked))

    def drill_opening(self) -> None:
        """The one that is to die over the opening is at work before it, unless it is to start after it."""
        self.with_postgres()
        before = self.starts()
        if self.drill(DRILLS_OF_OPENING) and not (self.drilled or "").startswith("start."):
            self.turn_until(_DRILL_S, lambda: self.starts() > before)
            self.turn_until(1.0, lambda: False)  # it has looked at the clock before that moves

    def starts(self) -> int:
        """How many starts of submitters came to their end."""
        return int(
            self.execute("select count(*) as n from oms.recon_run where kind = 'start' and is_clean is not null")[0][
                "n"
            ]
        )

    def drill_cancelling(self) -> None:
        """An operator wants the orders of one instrument back, and every submitter dies over it."""
        self.with_postgres()
        rows = self.execute("select conid from oms.order_intent where state = 'WORKING' order by random() limit 1")
        if not rows or not self.drill(DRILLS_OF_CANCELLING):
            return
        scope = f"conid:{rows[0]['conid']}"
        self.control("kill_cancel", scope)
        self.happenings["kill_cancel"] += 1
        self.turn_until(_DRILL_S, self.is_drilled)
        self.drilled = None
        self.control("resume", scope)

    def let_expire(self, intents: list[OrderIntent], now: datetime) -> None:
        """The last decision may not leave before its time is over: its strategy is stopped until then."""
        soon = now + timedelta(seconds=60)
        intents[-1] = replace(intents[-1], valid_until=soon)
        scope = f"strategy:{intents[-1].strategy_id}"
        self.control("kill", scope)
        self.later(60 / _MARKET_SPEED + 1.0, lambda: self.control("resume", scope))

    def propose(self, intents: list[OrderIntent], now: datetime) -> None:
        """Both proposers are told everything, and die over it; each decision is stored once."""
        by_key = {intent.decision_key: intent for intent in intents}
        self.keys |= set(by_key)
        new: Counter[str] = Counter()
        waiting = [set(by_key) for _ in self.proposers]
        for proposer in self.proposers:
            for intent in intents:
                proposer.hand_in(intent, now)
        victim = self.fate.chance.randrange(len(self.proposers) * 3)
        if victim < len(self.proposers) and not self.is_calm:
            self.proposers[victim].life.kill()
            self.happenings["kill proposer"] += 1
        bound = time.monotonic() + 60
        while any(waiting):
            for number, proposer in enumerate(self.proposers):
                for key, is_new in proposer.answered():
                    new[key] += is_new
                    waiting[number].discard(key)
                if waiting[number] and not proposer.life.is_alive:
                    waiting[number] |= proposer.revive()
                    for key in list(waiting[number]):
                        proposer.hand_in(by_key[key], now)
            self.turn()
            if time.monotonic() > bound:
                raise TimeoutError(f"proposals are not stored: {waiting}")
        self.troubles += [f"{key} was new {count} times" for key, count in new.items() if count > 1]

    def with_gateway(self, act: Callable[[], Any]) -> None:
        """Do it as soon as the gateway answers."""
        while not self.is_gateway_answering():
            self.turn()
        act()

    def with_postgres(self) -> None:
        """Wait until the database answers."""
        while not self.is_postgres_up:
            self.turn()

    def turn_until(self, bound_s: float, is_done: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + bound_s
        due = 0.0
        while time.monotonic() < deadline:
            self.turn()
            if time.monotonic() >= due and self.is_postgres_up:
                due = time.monotonic() + 0.2
                with contextlib.suppress(psycopg.OperationalError):
                    if is_done():
                        return True
        return False

    def wait_until_open(self, bound_s: float) -> None:
        """Until the books are opened: what is there before the first trouble is what the account began with."""
        self.is_calm = True
        is_opened = self.turn_until(bound_s, lambda: bool(self.execute("select 1 from oms.account_snapshot limit 1")))
        if not is_opened:
            raise TimeoutError(f"the books were not opened; see {self.log}")
        self.is_calm = False

    def calm_down(self) -> float:
        """No faults, everything up, no crash point armed; wait until every order has ended. Returns the seconds."""
        begun = time.monotonic()
        self.is_calm = True
        while self.due:
            self.turn()
        remove_kill_file(self.directory / "data")
        self.venue.disarm_all()
        self.venue.gateway.set_session("ok")
        for life in self.lives:
            if life.crash is not None:
                life.kill()
        self.venue.set_clock(self.days[self.evenings].opens_at + timedelta(minutes=30))
        self.turn_until(self.options.calm_s, self.is_settled)
        return time.monotonic() - begun

    def is_settled(self) -> bool:
        """Every order has ended, and the account was compared after the last opening and found equal."""
        if not all(state.is_terminal for state in self.states()):
            return False
        rows = self.execute(
            "select market_at, nav_platform_usd = nav_broker_usd as is_equal from oms.account_snapshot "
            "order by snapshot_id desc limit 1"
        )
        open_at = self.days[self.evenings].opens_at
        return bool(rows) and rows[0]["market_at"] >= open_at and bool(rows[0]["is_equal"])

    # ---- looking

    def execute(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """One statement as the schema's owner, on a connection that trouble does not reach for long."""
        url = self.server.url("ibkr_platform")
        with psycopg.connect(url, autocommit=True, connect_timeout=5, row_factory=dict_row) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def states(self) -> set[OrderState]:
        return {OrderState(row["state"]) for row in self.execute("select distinct state from oms.order_intent")}

    def states_now(self) -> set[OrderState]:
        self.with_postgres()
        return self.states()

    def tell(self, number: int) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            counts = self.execute("select state, count(*) as n from oms.order_intent group by state order by state")
            states = ", ".join(f"{row['state'].lower()} {row['n']}" for row in counts)
            seconds = time.monotonic() - self.begun
            self.say(f"{seconds:6.0f} s  evening {number}/{self.evenings}  {self.kills.total()} kills  {states}")
