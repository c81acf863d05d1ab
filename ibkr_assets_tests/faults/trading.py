"""One account between a real ledger and a gateway process of its own, with the submitter's loop in a thread.

A module shares one gateway; each test has a database of its own and days of its own, later than everything that went
before. The market stands at 100 USD for ever, so that only a fault moves anything. The submitter's seconds run fast.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.adapters.ibkr.client import IbkrBroker, broker
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.order import OrderState, TimeInForce, account_ref
from ibkr_assets.execution.seat import SubmitterOptions
from ibkr_assets.execution.submitter import Submitter
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import IntentRecord
from ibkr_assets_tests.execution.desk import approve, describe
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent
from ibkr_assets_tests.simulator.clients import Api, connect

CONIDS = {"AAPL": 265598, "IBM": 8314, "MSFT": 272093}
PRICE = Decimal(100)
FIRST, LAST = date(2004, 1, 2), date(2012, 12, 31)
#: The submitter's seconds in one real second, and the longest real wait for anything.
FAST = 60.0
BOUND_S = 25.0
#: Executions are listed for seven days: a test that begins later sees nothing of the one before.
APART = timedelta(days=9)
_BROKER_HAS = frozenset({OrderState.ACKED, OrderState.WORKING, OrderState.FILLED, OrderState.CANCELLED})


@contextlib.contextmanager
def start_flat_gateway(directory: Path, **options: Any) -> Iterator[RunningGateway]:
    """A gateway whose prices never move, on the evening of its first day."""
    sessions = exchange_calendar("XNYS").sessions(FIRST, LAST)
    rows = "".join(f"{s.opens_at.isoformat()},100,100,100,100,1000000\n" for s in sessions)
    tape = directory / "tape"
    tape.mkdir(parents=True)
    for symbol in CONIDS:
        (tape / f"{symbol}.csv").write_text("opened_at,open,high,low,close,volume\n" + rows)
    start = sessions[0].closes_at + timedelta(hours=1)
    extra = ("--opening-cash", "10000000", *options.pop("extra", ()))
    with start_gateway(tape=tape, clock_start=start, extra=extra, **options) as running:
        yield running


@pytest.fixture(scope="module")
def flat_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """The one gateway of a module."""
    with start_flat_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


class Trading:
    """The platform's side of one test, and what the gateway says about it."""

    def __init__(self, gateway: RunningGateway, database_url: str, directory: Path) -> None:
        self.gateway = gateway
        self.directory = directory
        self.ref = account_ref(gateway.account)
        self.database = Database(database_url)
        self.book = PostgresIntents(self.database, "salt")
        self.ledger = PostgresLedger(self.database).of_account(self.ref)
        self.settle_s = 0.15
        self.order_timeout_s = 2.0
        self.read_timeout_s = 5.0
        self.first_penalty_s = 0.5
        self.ca: str | None = None
        self.options: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        self.begin_days_of_our_own()
        self._rows_before = len(gateway.ledger())

    def begin_days_of_our_own(self) -> None:
        now = self.gateway.now()
        later = (now + APART).date()
        sessions = exchange_calendar("XNYS").sessions(later, later + timedelta(days=10))
        self.evening = self.gateway.set_clock(sessions[0].closes_at + timedelta(hours=1))
        self.next_open = sessions[1].opens_at

    # ---- the platform

    def start(self) -> Trading:
        """Run a submitter, as a new process would."""
        self._stop, self.failure = threading.Event(), None
        self._thread = threading.Thread(target=self._run, args=(self._stop,), daemon=True)
        self._thread.start()
        self.wait("the submitter is ready", lambda: self.status() == "working")
        return self

    def stop(self) -> None:
        """End the submitter and wait for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(BOUND_S)
            assert not self._thread.is_alive()
            self._thread = None

    def _run(self, stop: threading.Event) -> None:
        database = Database(self.database.url)
        side = self.client()
        try:
            Submitter(
                account=self.gateway.account,
                mode=base_intent().mode,
                broker=side,
                ledger=PostgresLedger(database).of_account(self.ref),
                clock=MarketClock(self.gateway.clock_url),
                options=SubmitterOptions(
                    max_order_value_usd=Decimal(10_000),
                    price_collar_fraction=Decimal("0.03"),
                    kill_file=self.directory / "kill",
                    settle_s=self.settle_s,
                    poll_interval_s=0.02,
                    send_within_s=60.0,
                    snapshot_every_s=15.0,
                    **self.options,
                ),
                describe=describe,
                monotonic=lambda: time.monotonic() * FAST,
                say=lambda line: None,
            ).run(stop)
        except BaseException as error:  # noqa: BLE001 - handed to the test, which waits for it
            self.failure = error
        finally:
            side.close()
            database.close()

    def client(self) -> IbkrBroker:
        """The order side of the gateway; to be closed."""
        return broker(
            self.gateway.api_url, ca=self.ca, account=self.gateway.account, connect_timeout_s=2.0,
            read_timeout_s=self.read_timeout_s, order_timeout_s=self.order_timeout_s,
            first_penalty_s=self.first_penalty_s, pace=1000.0,
        )  # fmt: skip

    def status(self) -> str:
        """What the submitter's heartbeat says it is doing."""
        with self.database.connect() as connection:
            row = connection.execute("select status from oms.heartbeat").fetchone()
        return "" if row is None else str(row[0])

    def propose(self, symbol: str = "IBM", quantity: int = 10, **changes: Any) -> IntentRecord:
        """An approved order for the next open, at the market's own price."""
        values = {
            "account_ref": self.ref, "symbol": symbol, "conid": CONIDS[symbol], "quantity": Decimal(quantity),
            "reference_price": PRICE, "limit_price": PRICE, "session_date": self.evening.date(),
            "signal_bar_end": self.evening - timedelta(hours=1), "valid_until": self.next_open,
            "time_in_force": TimeInForce.OPENING, **changes,
        }  # fmt: skip
        return self.book.propose(
            base_intent(**values), approve, now=self.evening, dagster_run_id=None, created_by="test"
        )

    def open_market(self) -> None:
        """Let the next session open: what waits for it fills, at 100."""
        self.gateway.set_clock(self.next_open + timedelta(minutes=5))

    def record(self, record: IntentRecord) -> IntentRecord:
        return self.ledger.sends.find([record.client_order_id])[record.client_order_id]

    def wait(self, what: str, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + BOUND_S
        while not condition():
            if self.failure is not None:
                raise self.failure
            states = [(str(r.state), r.reason) for r in self.book.intents()]
            assert time.monotonic() < deadline, f"{what}; orders {states}, differences {self.breaks()}"
            time.sleep(0.02)

    def wait_for(self, record: IntentRecord, state: OrderState, *, filled: int | None = None) -> IntentRecord:
        """Wait until the order stands so, and give it."""
        self.wait(
            f"{record.intent.symbol} is {state} with {filled}",
            lambda: (now := self.record(record)).state is state and filled in (None, now.filled),
        )
        return self.record(record)

    # ---- what is stored

    def breaks(self) -> dict[str, str]:
        """Open differences: kind and what they block."""
        return {found.kind: str(found.blocks) for found in self.ledger.differences.open_breaks()}

    def kills(self) -> list[str]:
        """Reasons of the kills that are in force."""
        with self.database.connect() as connection:
            rows = connection.execute("select reason from oms.control where action = 'kill'").fetchall()
        return [str(reason) for (reason,) in rows]

    def reconciliations(self) -> int:
        """How often everything was looked up before an order could leave."""
        with self.database.connect() as connection:
            row = connection.execute("select count(*) from oms.recon_run where finished_at is not null").fetchone()
        assert row is not None
        return int(row[0])

    def path(self, record: IntentRecord) -> list[str]:
        """The states an order went through, in order."""
        with self.database.connect() as connection:
            rows = connection.execute(
                "select to_state from oms.order_event where intent_id = %s order by seq", (record.intent_id,)
            ).fetchall()
        return [str(state) for (state,) in rows]

    def calls(self, record: IntentRecord) -> list[tuple[str, str | None]]:
        """Kind and outcome of the order's wire calls."""
        with self.database.connect() as connection:
            rows = connection.execute(
                "select kind, outcome from oms.wire_call where intent_id = %s order by call_id", (record.intent_id,)
            ).fetchall()
        return [(str(kind), outcome) for kind, outcome in rows]

    # ---- the gateway's own books

    def struck(self, fault_id: str) -> int:
        """How often an armed fault has struck."""
        return next(int(f["struck"]) for f in self.gateway.admin("GET", "/admin/fault") if f["id"] == fault_id)

    def cancel_by_hand(self) -> None:
        """A person cancels everything that works at the broker."""
        with connect(self.gateway) as api:
            api.cancel(-1)

    def accepted(self) -> list[str | None]:
        """Client order ids of what the gateway took in this test, in order."""
        return [row["coid"] for row in self._rows() if row["event"] == "accept"]

    def wirelog(self) -> list[dict[str, Any]]:
        """The requests of this test and what they were answered."""
        return [row for row in self.gateway.wirelog() if row["t_virtual"] >= self.evening.isoformat()]

    def _rows(self) -> list[dict[str, Any]]:
        return self.gateway.ledger()[self._rows_before :]

    def agree(self, *, violated: frozenset[str] = frozenset()) -> None:
        """Both sides tell the same story; `violated` are invariants that the broker itself has broken."""
        self.wait("the positions agree", lambda: self._positions() == self._holdings())
        accepted = [coid for coid in self.accepted() if (coid or "").startswith("q1-")]
        assert len(accepted) == len(set(accepted)), "two orders for one decision"
        records = {record.client_order_id: record for record in self.book.intents()}
        assert set(accepted) <= set(records), "an order that nobody decided"
        believed = {coid for coid, record in records.items() if record.state in _BROKER_HAS}
        assert believed <= set(accepted), "the platform believes in an order that is not there"
        fills: dict[str, Decimal] = {}
        for row in self._rows():
            if row["event"] in ("fill", "bust") and row["coid"] in records:
                sign = 1 if row["event"] == "fill" else -1
                fills[row["coid"]] = fills.get(row["coid"], Decimal(0)) + sign * Decimal(str(row["qty"]))
        assert {coid: r.filled for coid, r in records.items() if r.filled} == {c: q for c, q in fills.items() if q}
        assert not [coid for coid in fills if fills[coid] and coid not in believed], "a fill was lost"
        found = {found["id"] for found in check_invariants(self.database) if found["violations"]}
        assert found == violated

    def _positions(self) -> dict[int, Decimal]:
        with connect(self.gateway) as api:
            rows = api.get(f"/portfolio2/{api.account}/positions").json()
        return {int(row["conid"]): Decimal(str(row["position"])) for row in rows if row["position"]}

    def _holdings(self) -> dict[int, Decimal]:
        return {conid: held.quantity for conid, held in self.ledger.account.books().holdings.items()}

    def close(self) -> None:
        self.stop()
        for fault in self.gateway.admin("GET", "/admin/fault"):
            self.gateway.disarm_fault(fault["id"])
        self.cancel_by_hand()
        self.database.close()


@pytest.fixture
def trading(flat_gateway: RunningGateway, database_url: str, tmp_path: Path) -> Iterator[Trading]:
    """Days of its own for each test; the submitter is not started yet."""
    made = Trading(flat_gateway, database_url, tmp_path)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def by_hand(gateway: RunningGateway) -> Iterator[Api]:
    """A person at the same gateway."""
    with connect(gateway) as api:
        yield api


def at(text: str) -> datetime:
    """A moment, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
