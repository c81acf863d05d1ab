"""A submitter's seat over a real ledger and a scripted venue, turned by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import sleep
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.broker import OrderTicket
from ibkr_assets.domain.order import Mode, OrderIntent, account_ref
from ibkr_assets.execution.looks import Looks
from ibkr_assets.execution.reconcile import reconcile
from ibkr_assets.execution.seat import Seat, SubmitterOptions
from ibkr_assets.execution.watch import Watch
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.engine import Approved, Exposure
from ibkr_assets_tests.fakes.broker import FakeBroker
from ibkr_assets_tests.fakes.clock import FixedClock
from ibkr_assets_tests.risk.orders import CLOSE
from ibkr_assets_tests.risk.orders import intent as base_intent

ACCOUNT = "DU1000001"
REF = account_ref(ACCOUNT)
EVENING = CLOSE + timedelta(hours=1)


def an_intent(number: int = 1, **changes: Any) -> OrderIntent:
    """One decision a number: another strategy each, otherwise the same order."""
    return base_intent(**{"strategy_id": f"s{number}", "account_ref": REF, "quantity": Decimal(10), **changes})


def approve(intent: OrderIntent, exposure: Exposure) -> Approved:
    """A review that everything passes."""
    del exposure
    return Approved(intent, ())


def ticket_of(record: IntentRecord) -> OrderTicket:
    """What the submitter would send for this order."""
    intent = record.intent
    return OrderTicket(
        account=ACCOUNT,
        client_order_id=record.client_order_id,
        conid=intent.conid,
        symbol=intent.symbol,
        side=intent.side,
        order_type=intent.order_type,
        quantity=intent.quantity,
        limit_price=intent.limit_price,
        time_in_force=intent.time_in_force,
    )


def describe(ticket: OrderTicket) -> dict[str, Any]:
    """A request in words."""
    return {"cOID": ticket.client_order_id, "quantity": str(ticket.quantity)}


class HandClock:
    """Monotonic seconds that move when the test says so, and by `step` at every look."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.step = 0.0

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Desk:
    """Everything around one submitter; `start` as often as a process would."""

    database: Database
    directory: Path
    mode: Mode = Mode.SIM
    settle_s: float = 0.0
    may_resend: bool = False
    account: str = ACCOUNT
    broker: FakeBroker = field(default_factory=FakeBroker)
    market: FixedClock = field(default_factory=lambda: FixedClock(EVENING))
    time: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.ref = account_ref(self.account)
        self.book = PostgresIntents(self.database, "salt")
        self.ledger = PostgresLedger(self.database).of_account(self.ref)
        self.whole_ledger = PostgresLedger(self.database)
        self.kill_file = self.directory / "kill"
        self.seat: Seat | None = None
        self.looks: Looks | None = None
        self.watch: Watch | None = None

    def start(self) -> Desk:
        """Take the lease and reconcile, as a new process does."""
        self.ledger.lease.register(self.account, self.mode)
        epoch = self._acquire()
        self.broker.open_session()
        self.seat = Seat(
            account=self.account,
            account_ref=self.ref,
            mode=self.mode,
            epoch=epoch,
            gateway_session=self.broker.session_id(),
            broker=self.broker,
            ledger=self.ledger,
            clock=self.market,
            options=SubmitterOptions(
                max_order_value_usd=Decimal(10_000),
                price_collar_fraction=Decimal("0.03"),
                kill_file=self.kill_file,
                settle_s=self.settle_s,
                may_resend=self.may_resend,
                salt="salt",
            ),
            describe=describe,
            monotonic=self.time,
            openings=self.broker.openings(),
        )
        self.looks = reconcile(self.seat, self.time.pass_time)
        self.watch = Watch(self.seat, self.looks)
        return self

    def _acquire(self) -> int:
        """The lease; a session that was closed a moment ago holds it until the server has noticed."""
        for _ in range(200):
            epoch = self.ledger.lease.acquire("test", 20.0)
            if epoch is not None:
                return epoch
            self.ledger.lease.release()
            sleep(0.05)
        raise AssertionError("somebody else holds the lease")

    def stop(self) -> None:
        self.ledger.lease.release()

    def propose(self, intent: OrderIntent) -> IntentRecord:
        return self.book.propose(intent, approve, now=self.market.now(), dagster_run_id="run-1", created_by="test")

    def turn(self, times: int = 1, *, every_s: float = 6.0) -> None:
        """Turns with time passing before each."""
        assert self.watch is not None
        for _ in range(times):
            self.time.pass_time(every_s)
            self.watch.turn()

    def record(self, record: IntentRecord) -> IntentRecord:
        """The same order as it stands now."""
        return self.ledger.sends.find([record.client_order_id])[record.client_order_id]

    def states(self) -> list[str]:
        return [str(record.state) for record in self.book.intents()]

    def calls_of(self, record: IntentRecord) -> list[tuple[str, str | None]]:
        """Kind and outcome of the order's wire calls."""
        with self.database.connect() as connection:
            rows = connection.execute(
                "select kind, outcome from oms.wire_call where intent_id = %s order by call_id", (record.intent_id,)
            ).fetchall()
        return [(str(kind), outcome) for kind, outcome in rows]

    def breaks(self) -> dict[str, str]:
        """Open differences: kind and what they block."""
        return {found.kind: str(found.blocks) for found in self.ledger.differences.open_breaks()}

    def move_market(self, moment: datetime) -> None:
        self.market.moment = moment
