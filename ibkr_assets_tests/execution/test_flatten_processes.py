"""`kill --flatten` as two people type it, with a submitter and a gateway in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import OrderState, Side, TimeInForce, account_ref
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.execution.furnished import furnish_bars
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent

NOON = datetime(2012, 10, 2, 16, tzinfo=UTC)
CLOSES_AT = datetime(2012, 10, 2, 20, tzinfo=UTC)
IBM, AAPL = Instrument(8314, "IBM", "NYSE"), Instrument(265598, "AAPL", "NASDAQ")
COLLAR = Decimal("0.03")
BOUND_S = 60.0


@dataclass
class Noon:
    """A session that is on: the peers, and what people type."""

    database: Database
    gateway: RunningGateway
    directory: Path

    def __post_init__(self) -> None:
        self.ref = account_ref(self.gateway.account)
        self.book = PostgresIntents(self.database, "default")
        self.ledger = PostgresLedger(self.database).of_account(self.ref)

    def environment(self, **more: str) -> dict[str, str]:
        return inherited_environment() | {
            "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_DATABASE_URL": self.database.url,
            "IBKR_ASSETS_GATEWAY_URL": self.gateway.api_url, "IBKR_ASSETS_CLOCK_URL": self.gateway.clock_url,
            "IBKR_ASSETS_ACCOUNT": self.gateway.account, "IBKR_ASSETS_DATA_DIR": str(self.directory),
            "IBKR_ASSETS__GATEWAY__PACE": "1000", "IBKR_ASSETS__RISK__ALLOWED_SYMBOLS": '["AAPL", "IBM"]', **more,
        }  # fmt: skip

    def submitter(self) -> subprocess.Popen[str]:
        with (self.directory / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"],
                env=self.environment(), stdout=log, stderr=log, text=True,
            )  # fmt: skip

    def types(self, person: str, *, may_flatten: bool = True) -> subprocess.CompletedProcess[str]:
        """What a person at a terminal of his own types, and what he reads."""
        return subprocess.run(
            [sys.executable, "-m", "ibkr_assets.cli", "kill", "--flatten", "--reason", "a drill"],
            env=self.environment(LOGNAME=person, IBKR_ASSETS__MAY_FLATTEN=str(may_flatten).lower()),
            start_new_session=True, capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip

    def buy(self, instrument: Instrument, number: int, quantity: int, reference: str, limit: str) -> str:
        """A decision for the day; returns its client order id."""
        record = self.book.propose(
            base_intent(
                strategy_id=f"s{number}", account_ref=self.ref, conid=instrument.conid, symbol=instrument.symbol,
                quantity=Decimal(quantity), reference_price=Decimal(reference), limit_price=Decimal(limit),
                side=Side.BUY, time_in_force=TimeInForce.DAY, session_date=date(2012, 10, 2), signal_bar_end=NOON,
                valid_until=CLOSES_AT,
            ),
            approve, now=NOON, dagster_run_id=None, created_by="test",
        )  # fmt: skip
        return record.client_order_id

    def trade(self, client_order_id: str, price: str) -> None:
        """The market takes the whole order, once it is there."""
        self.wait("it works", lambda: self.states()[client_order_id] is OrderState.WORKING)
        self.gateway.fill(coid=client_order_id, price=float(price))
        self.wait("it is filled", lambda: self.states()[client_order_id] is OrderState.FILLED)

    def wait(self, what: str, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + BOUND_S
        while not condition():
            states = [(r.intent.symbol, str(r.state), r.reason) for r in self.book.intents()]
            assert time.monotonic() < deadline, f"{what}: {states}; {(self.directory / 'log').read_text()[-3000:]}"
            time.sleep(0.05)

    def states(self) -> dict[str, OrderState]:
        return {record.client_order_id: record.state for record in self.book.intents()}

    def reason(self, client_order_id: str) -> str:
        return next(r.reason for r in self.book.intents() if r.client_order_id == client_order_id)

    def held(self) -> dict[int, Decimal]:
        return {conid: h.quantity for conid, h in self.ledger.account.books().holdings.items() if h.quantity}


@pytest.fixture
def noon(database: Database, tmp_path: Path) -> Iterator[Noon]:
    furnish_bars(database, last_day=date(2012, 10, 1))
    with start_gateway(clock_start=NOON) as gateway:
        made = Noon(database, gateway, tmp_path)
        process = made.submitter()
        try:
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                process.kill()


@pytest.mark.slow
def test_two_people_close_everything_with_one_command_each_and_what_works_is_cancelled_first(noon: Noon) -> None:
    for instrument, number, quantity, price in ((IBM, 1, 10, "210"), (AAPL, 2, 3, "660")):
        noon.trade(noon.buy(instrument, number, quantity, price, price), price)
    noon.wait("both positions", lambda: noon.held() == {8314: 10, 265598: 3})
    works = noon.buy(IBM, 3, 7, "210", "206")
    noon.wait("an order that works", lambda: noon.states()[works] is OrderState.WORKING)

    off = noon.types("one", may_flatten=False)
    assert (off.returncode, noon.states()[works]) == (78, OrderState.WORKING)
    assert "may_flatten: is off" in off.stderr
    first = noon.types("one")
    assert (first.returncode, noon.held()) == (0, {8314: 10, 265598: 3})
    assert "when a second person asks for the same" in first.stderr
    noon.wait("the cancel", lambda: noon.states()[works] is OrderState.CANCELLED)
    again = noon.types("one")
    assert (again.returncode, noon.held()) == (0, {8314: 10, 265598: 3}), "one person twice is one person"

    second = noon.types("two")
    assert second.returncode == 0, second.stderr
    for record in noon.book.intents():
        if record.intent.purpose == "reduce":
            noon.trade(record.client_order_id, str(record.intent.limit_price))
    noon.wait("nothing is held", lambda: noon.held() == {})
    closing = [record for record in noon.book.intents() if record.intent.purpose == "reduce"]
    assert sorted((r.intent.symbol, str(r.intent.side), int(r.filled), str(r.state)) for r in closing) == [
        ("AAPL", "SELL", 3, "FILLED"), ("IBM", "SELL", 10, "FILLED"),
    ]  # fmt: skip
    for record in closing:
        assert record.intent.limit_price is not None
        assert 0 < 1 - record.intent.limit_price / record.intent.reference_price <= COLLAR
    events = [(row["event"], row["coid"]) for row in noon.gateway.ledger() if row["event"] in ("accept", "cancel")]
    closing_ids = {record.client_order_id for record in closing}
    first_close = min(place for place, (_, coid) in enumerate(events) if coid in closing_ids)
    assert events.index(("cancel", works)) < first_close, "what works is cancelled before anything is closed"
    late = noon.buy(IBM, 4, 1, "210", "214")
    noon.wait(
        "a new order waits", lambda: "kill_flatten" in {r.client_order_id: r.reason for r in noon.book.intents()}[late]
    )
    assert [found for found in check_invariants(noon.database) if found["violations"]] == []
