"""Any order of decisions, faults, deaths, fills and people's acts: the submitter's real steps against a real gateway.

The steps run in this process, so that a death is an exception at a named point; ledger and gateway are real.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.adapters.ibkr.client import broker
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.transactions import transaction
from ibkr_assets.domain.errors import BrokerRefusal, LedgerConflict, LoginRequired, Unavailable, UnreadableAnswer
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution import crashpoints
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.chaos.comparison import Comparison, compare_executions, compare_orders
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.desk import Desk, an_intent
from ibkr_assets_tests.faults.trading import APART, CONIDS, PRICE, flat_gateway
from ibkr_assets_tests.gateway import RunningGateway
from ibkr_assets_tests.simulator.clients import connect

__all__ = ["flat_gateway"]

S = OrderState
FAULTS: tuple[dict[str, Any], ...] = (
    {"id": "F1"}, {"id": "F2"}, {"id": "F3", "late_s": 20}, {"id": "F5", "booked": True, "delay_s": 0},
    {"id": "F5", "booked": False, "delay_s": 0}, {"id": "F6"}, {"id": "F7"}, {"id": "F10", "booked": True},
    {"id": "F11"}, {"id": "F12"}, {"id": "F14", "chain": 2}, {"id": "F14", "message_ids": ["o99"]}, {"id": "F15"},
    {"id": "F17"}, {"id": "F18"}, {"id": "F19"}, {"id": "F24"}, {"id": "F28"}, {"id": "F30"},
    {"id": "F31", "times": 2}, {"id": "F33", "times": 2}, {"id": "F34", "times": 1}, {"id": "F38"}, {"id": "F39"},
)  # fmt: skip
#: Answers that prove nothing, with the order at the gateway, not there, or there later.
LOSSES: tuple[dict[str, Any], ...] = (
    {"id": "F1"}, {"id": "F2"}, {"id": "F3", "late_s": 20}, {"id": "F5", "booked": True, "delay_s": 0},
    {"id": "F5", "booked": False, "delay_s": 0}, {"id": "F10", "booked": True, "form": "204"},
)  # fmt: skip
AWAY = (Unavailable, LedgerConflict, BrokerRefusal, UnreadableAnswer, LoginRequired)
#: How the gateway says no.
_REFUSAL = re.compile(r'"error"|"Failed"|"Inactive"')
#: Points that a death in this process can pass; those of the start are passed by every new start.
POINTS = sorted(point for point in crashpoints.CRASH_POINTS if not point.startswith(("start.leased", "start.session")))


class Died(BaseException):
    """The process is gone, as far as this test is concerned."""


def die() -> None:
    raise Died


class Machine(RuleBasedStateMachine):
    """One account, from its first decision to the comparison of both ledgers."""

    gateway: RunningGateway
    open_database: Callable[[], contextlib.AbstractContextManager[Database]]
    directory: Any
    may_resend = False
    #: What went wrong first: the machine's clock never goes back, so a second try of the same steps is another one.
    failures: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__()
        self.closing = contextlib.ExitStack()
        self.database = self.closing.enter_context(type(self).open_database())
        gateway = self.gateway
        self.days = iter(())
        side = broker(
            gateway.api_url, ca=None, account=gateway.account, connect_timeout_s=2.0, read_timeout_s=5.0,
            order_timeout_s=2.0, first_penalty_s=0.5, pace=1000.0,
        )  # fmt: skip
        self.closing.callback(side.close)
        self.desk = Desk(self.database, self.directory, account=gateway.account, may_resend=self.may_resend)
        self.desk.broker = side
        self.desk.market = MarketClock(gateway.clock_url)
        self.closing.callback(self.desk.stop)
        self.is_up = False
        self.decided = 0
        self.decisions: set[str] = set()
        self.rows_before = len(gateway.ledger())
        later = (gateway.now() + APART).date()
        self.sessions = iter(exchange_calendar("XNYS").sessions(later, later + 3 * APART))
        self.session = next(self.sessions)
        self.following = next(self.sessions)

    @initialize(loss=st.sampled_from(LOSSES), is_lagging=st.booleans())
    def begin(self, loss: dict[str, Any], is_lagging: bool) -> None:
        """An evening whose first answer is lost."""
        self.gateway.set_clock(self.session.closes_at)
        self.gateway.step_clock(3600)
        self.start()
        self.lose_answer("IBM", loss, is_lagging)

    # ---- the submitter

    def start(self) -> None:
        """A new process, tried as often as one would be."""
        for _ in range(6):
            if self.survives(self.desk.start):
                self.is_up = True
                return

    def survives(self, act: Callable[[], Any]) -> bool:
        try:
            act()
        except (Died, *AWAY):
            self.is_up = False
            self.desk.stop()
            return False
        return True

    @rule(times=st.integers(1, 4))
    def run(self, times: int) -> None:
        if not self.is_up:
            self.start()
        if self.is_up:
            self.survives(lambda: self.desk.turn(times))

    @rule(point=st.sampled_from(POINTS))
    def die_at(self, point: str) -> None:
        crashpoints.arm(f"{point}:1")
        self.run(2)
        crashpoints.arm(None)

    @precondition(lambda self: self.is_up)
    @rule()
    def die_now(self) -> None:
        self.is_up = False
        self.desk.stop()

    # ---- decisions

    @rule(symbol=st.sampled_from(sorted(CONIDS)), is_far=st.booleans(), is_again=st.booleans())
    def decide(self, symbol: str, is_far: bool, is_again: bool) -> None:
        """A decision, perhaps twice; one far from the price is questioned."""
        intent = an_intent(
            self.decided, symbol=symbol, conid=CONIDS[symbol], reference_price=PRICE,
            limit_price=Decimal(60) if is_far else PRICE, session_date=self.session.day,
            signal_bar_end=self.session.closes_at, valid_until=self.following.opens_at,
        )  # fmt: skip
        self.decided += 1
        self.decisions.add(intent.decision_key)
        first = self.desk.propose(intent)
        if is_again:
            second = self.desk.propose(intent)
            assert (second.intent_id, second.is_new) == (first.intent_id, False)

    # ---- what goes wrong, and what people do

    @rule(symbol=st.sampled_from(sorted(CONIDS)), loss=st.sampled_from(LOSSES), is_lagging=st.booleans())
    def lose_answer(self, symbol: str, loss: dict[str, Any], is_lagging: bool) -> None:
        """A decision whose sending proves nothing; the list may be too old to show what became of it."""
        self.arm(loss, 1)
        if is_lagging:
            self.arm({"id": "F31", "times": 1}, 1)
        self.decide(symbol, is_far=False, is_again=False)
        self.run(1)

    @rule(fault=st.sampled_from(FAULTS), nth=st.integers(1, 2))
    def arm(self, fault: dict[str, Any], nth: int) -> None:
        self.gateway.arm_fault(fault["id"], nth=nth, **{key: v for key, v in fault.items() if key != "id"})

    @rule(state=st.sampled_from(["lost", "restart"]))
    def end_session(self, state: str) -> None:
        if state == "restart":
            self.gateway.restart_session()
        else:
            self.gateway.set_session(state)

    @rule()
    def cancel_at_the_venue(self) -> None:
        with connect(self.gateway) as api:
            api.cancel(-1)

    @rule(quantity=st.integers(1, 10))
    def fill(self, quantity: int) -> None:
        """A part of the newest order at the venue is executed before its time; parts of it may be more than all."""
        accepted = [row["coid"] for row in self.rows("accept")]
        if accepted:
            with contextlib.suppress(httpx.HTTPStatusError):  # it does not live any more
                self.gateway.fill(coid=accepted[-1], quantity=quantity, price=100)

    @rule(action=st.sampled_from(["kill", "kill_cancel", "resume"]))
    def control(self, action: str) -> None:
        self.desk.whole_ledger.control(action, scope="global", actor="test", reason="drill")

    @rule()
    def open_market(self) -> None:
        """The next session opens and closes; what waited for it is over."""
        self.gateway.set_clock(self.following.opens_at)
        self.gateway.step_clock(300)
        self.run(3)
        self.session, self.following = self.following, next(self.sessions)
        self.gateway.set_clock(self.session.closes_at)
        self.gateway.step_clock(3600)

    # ---- what must be true after each of them

    def rows(self, *events: str) -> list[dict[str, Any]]:
        rows = self.gateway.ledger()[self.rows_before :]
        return [row for row in rows if row["event"] in events]

    @invariant()
    def every_decision_is_accepted_once_at_most(self) -> None:
        times = Counter(row["coid"] for row in self.rows("accept"))
        assert not [coid for coid, count in times.items() if count > 1]

    @invariant()
    def the_ledger_contradicts_itself_nowhere(self) -> None:
        """Legal moves alone, risk reserved exactly while it is held, what is filled is what was executed.

        An order that the venue filled beyond its quantity is one that the ledger must say it of, and no other.
        """
        broken = {found["id"]: set(found["examples"]) for found in check_invariants(self.database)}
        assert broken.pop("I2") <= self.over_filled()
        assert {name: rows for name, rows in broken.items() if rows} == {}

    def over_filled(self) -> set[str]:
        """Orders of which the venue executed more than was ordered."""
        filled: Counter[str] = Counter()
        for row in self.rows("fill"):
            filled[row["coid"]] += row["qty"]
        return {row["coid"] for row in self.rows("accept") if filled[row["coid"]] > row["qty"]}

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None and self.is_calm_possible():
                self.settle()
        finally:
            if isinstance(sys.exc_info()[1], Exception):
                self.failures.append(traceback.format_exc())
            crashpoints.arm(None)
            for fault in self.gateway.admin("GET", "/admin/fault"):
                self.gateway.disarm_fault(fault["id"])
            self.gateway.set_session("ok")
            with connect(self.gateway) as api:
                api.cancel(-1)
            self.closing.close()

    def is_calm_possible(self) -> bool:
        """False when the machine never began, because a rule has failed before."""
        return self.desk.seat is not None

    def settle(self) -> None:
        """Calm: no fault, no kill, the next open. Everything ends, and both ledgers are the same."""
        for fault in self.gateway.admin("GET", "/admin/fault"):
            self.gateway.disarm_fault(fault["id"])
        self.gateway.set_session("ok")
        self.control("resume")
        self.run(4)
        self.open_market()
        for _ in range(12):
            self.run(2)
            records = self.desk.book.intents()
            if all(record.state.is_terminal for record in records):
                break
        assert [(r.client_order_id, r.state, r.reason) for r in records if not r.state.is_terminal] == []
        self.both_ledgers_agree()
        self.the_ledger_contradicts_itself_nowhere()
        (told,) = [found["examples"] for found in check_invariants(self.database) if found["id"] == "I2"]
        assert set(told) == self.over_filled(), "each is known, and stops the account"
        over_fills = {
            found.subject for found in self.desk.ledger.differences.open_breaks() if found.kind == "over_fill"
        }
        assert over_fills == self.over_filled()

    def both_ledgers_agree(self) -> None:
        """Every decision, order and execution, and no refusal that the gateway did not utter."""
        rows, found = self.gateway.ledger()[self.rows_before :], Comparison()
        with transaction(self.database) as cursor:
            orders = cursor.execute("select * from oms.order_intent").fetchall()
            executions = cursor.execute("select * from oms.execution_current where quantity <> 0").fetchall()
            refused = cursor.execute(
                "select i.client_order_id from oms.wire_call w join oms.order_intent i using (intent_id) "
                "where w.kind = 'place' and w.outcome = 'rejected'"
            ).fetchall()
        compare_orders(found, rows, orders, self.decisions)
        compare_executions(found, rows, executions)
        # Cancelled without a fill on a day when no submitter looked, it is in no list of a later one: nobody can know.
        silent = "is NOT_PLACED, at the gateway CANCELLED"
        unknown = {line.split()[0] for line in found.lost if line.endswith(silent)}
        assert not unknown & {row["coid"] for row in rows if row["event"] == "fill"}
        follows = tuple(f"{coid} {what}:" for coid in unknown for what in ("state", "broker order id"))
        lost = [line for line in found.lost if not line.endswith(silent)]
        differences = [line for line in found.differences if not line.startswith(follows)]
        assert (found.duplicates, lost, differences, found.unfinished) == ([], [], [], [])
        uttered = {
            json.loads(row["body"])["orders"][0]["cOID"]
            for row in self.gateway.wirelog()
            if row["route"] == "submit" and row["status"] in (200, 400) and _REFUSAL.search(row["answer"])
        }
        assert {row["client_order_id"] for row in refused} <= uttered


@pytest.fixture
def machine(flat_gateway, postgres_server, _template, tmp_path, monkeypatch) -> Iterator[type[Machine]]:
    """The machine on the module's gateway; every example has a database of its own."""

    @contextlib.contextmanager
    def open_database() -> Iterator[Database]:
        with fresh_database(postgres_server, _template) as name:
            database = Database(postgres_server.url(name, "ibkr_platform"))
            try:
                yield database
            finally:
                database.close()

    monkeypatch.setattr(crashpoints, "die", die)
    return type(
        "OneGateway", (Machine,), {"gateway": flat_gateway, "open_database": open_database, "directory": tmp_path}
    )


@pytest.mark.slow
@pytest.mark.parametrize("may_resend", [False, True])
def test_whatever_happens_in_whatever_order_each_decision_is_one_order(machine, may_resend):
    machine.may_resend = may_resend
    machine.open_database = staticmethod(machine.open_database)
    machine.failures = []
    try:
        run_steps(machine)
    finally:
        assert machine.failures == [], machine.failures[0]


def run_steps(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=3,
            stateful_step_count=12,
            deadline=None,
            phases=(Phase.generate,),  # a step costs too much for shrinking
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
