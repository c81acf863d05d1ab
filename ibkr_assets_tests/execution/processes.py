"""A submitter of the product in a process of its own, between a real ledger and the simulated gateway."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.order import Mode, OrderState, Side, account_ref
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent

EVENING = datetime(2012, 10, 1, 21, tzinfo=UTC)
VALID_UNTIL = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)
OPENED = datetime(2012, 10, 2, 13, 35, tzinfo=UTC)
BOUND_S = 120.0

#: symbol, conid, reference, limit: two that fill at the open, one that asks a question and is cancelled at the open.
ORDERS = (("AAPL", 265598, "659", "675"), ("IBM", 8314, "210", "214"), ("MSFT", 272093, "29.5", "20"))
UNSENT = frozenset({
    OrderState.PROPOSED, OrderState.APPROVED, OrderState.SUBMITTING, OrderState.QUESTION, OrderState.CONFIRMING,
    OrderState.UNKNOWN,
})  # fmt: skip


@dataclass
class Case:
    """One evening and the opening after it: where the submitter dies, what else goes wrong, and the peers."""

    point: str | None
    trouble: str
    faults: tuple[dict[str, Any], ...]
    database: Database
    gateway: RunningGateway
    directory: Path

    def __post_init__(self) -> None:
        self.during: Callable[[Case], None] | None = None
        self.book = PostgresIntents(self.database, "default")
        self.ref = account_ref(self.gateway.account)

    def submitter(self, crash: str | None) -> subprocess.Popen[str]:
        environment = inherited_environment() | {
            "IBKR_ASSETS_MODE": "sim",
            "IBKR_ASSETS_DATABASE_URL": self.database.url,
            "IBKR_ASSETS_GATEWAY_URL": self.gateway.api_url,
            "IBKR_ASSETS_CLOCK_URL": self.gateway.clock_url,
            "IBKR_ASSETS_ACCOUNT": self.gateway.account,
            "IBKR_ASSETS_DATA_DIR": str(self.directory),
            "IBKR_ASSETS__SUBMITTER__SETTLE_S": "0.5",
        }
        if crash is not None:
            environment["IBKR_ASSETS_CRASH"] = crash
        log = (self.directory / "log").open("a")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"],
                env=environment, stdout=log, stderr=log, text=True,
            )  # fmt: skip

    def propose(self) -> None:
        for symbol, conid, reference, limit in ORDERS:
            self.book.propose(
                base_intent(
                    account_ref=self.ref, symbol=symbol, conid=conid, reference_price=Decimal(reference),
                    limit_price=Decimal(limit), quantity=Decimal(10), side=Side.BUY,
                    mode=Mode.DRY_RUN if self.trouble == "rehearse" and symbol == "IBM" else Mode.SIM,
                    valid_until=EVENING if self.trouble == "expire" and symbol == "IBM" else VALID_UNTIL,
                ),
                approve, now=EVENING.replace(hour=20), dagster_run_id=None, created_by="test",
            )  # fmt: skip

    def states(self) -> list[OrderState]:
        return [record.state for record in self.book.intents()]

    def wait(self, what: str, condition) -> None:
        deadline = time.monotonic() + BOUND_S
        while not condition():
            assert time.monotonic() < deadline, f"{self.point}: {what}; {self.states()}; {self.log()}"
            time.sleep(0.1)

    def has_snapshot(self) -> bool:
        nav = self.book.net_asset_value(self.ref)
        return nav is not None and nav[1] >= OPENED

    def run(self) -> None:
        """Let the evening go wrong as it is told, let the market open, and compare both ledgers."""
        self.directory.mkdir()
        self.propose()
        for fault in self.faults:
            self.gateway.arm_fault(fault["id"], **{key: value for key, value in fault.items() if key != "id"})
        self.processes = [self.submitter(None if self.point is None else f"{self.point}:1")]
        try:
            self.live_on()
            self.wait("a clean end", self.is_over)
        finally:
            for process in self.processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(BOUND_S)
        self.compare()

    def live_on(self) -> None:
        """Go through the evening and the open; whenever the first process has died, a second one takes over."""
        if self.during is not None:
            self.wait("the first order", lambda: self.carry_on() and not set(self.states()) <= UNSENT)
            self.during(self)
        self.wait("all sent", lambda: self.carry_on() and not UNSENT & set(self.states()))
        if self.trouble == "kill_cancel":
            PostgresLedger(self.database).control("kill_cancel", scope="global", actor="test", reason="drill")
            self.wait("all cancelled", lambda: self.carry_on() and all(s.is_terminal for s in self.states()))
        self.gateway.set_clock(OPENED)
        self.wait("the crash", lambda: self.carry_on() and (len(self.processes) > 1 or self.is_over()))
        self.carry_on()
        assert self.point is None or len(self.processes) > 1, f"{self.point} was never passed: {self.log()}"

    def carry_on(self) -> bool:
        """Start the second process when the first one has died of its crash point. True, for use in conditions."""
        first = self.processes[0]
        if len(self.processes) == 1 and first.poll() is not None:
            assert first.returncode == -signal.SIGKILL, self.log()
            self.processes.append(self.submitter(None))
        return True

    def log(self) -> str:
        return (self.directory / "log").read_text()[-3000:]

    def is_over(self) -> bool:
        return self.has_snapshot() and all(s.is_terminal for s in self.states())

    def compare(self) -> None:
        """The gateway took each order once at most, and both sides tell the same story."""
        accepted = [row["coid"] for row in self.gateway.ledger("accept")]
        assert len(accepted) == len(set(accepted)), f"{self.point}: accepted twice: {accepted}"
        ended = {record.client_order_id: record for record in self.book.intents()}
        was_placed = {OrderState.FILLED, OrderState.CANCELLED}
        placed = {coid for coid, record in ended.items() if record.state in was_placed}
        assert placed == set(accepted), f"{self.point}: {[(r.intent.symbol, r.state) for r in ended.values()]}"
        fills: dict[str, Decimal] = {}
        for row in self.gateway.ledger("fill"):
            fills[row["coid"]] = fills.get(row["coid"], Decimal(0)) + Decimal(str(row["qty"]))
        assert {coid: r.filled for coid, r in ended.items() if r.filled} == fills
        violations = [found for found in check_invariants(self.database) if found["violations"]]
        assert violations == [], f"{self.point}: {violations}"
        with self.database.connect() as connection:
            row = connection.execute(
                "select nav_platform_usd, nav_broker_usd from oms.account_snapshot order by snapshot_id desc limit 1"
            ).fetchone()
            breaks = connection.execute("select kind, detail from oms.recon_break where resolved_at is null").fetchall()
        assert row is not None
        assert row[0] == row[1], self.point
        assert breaks == [], self.point


def run_case(
    postgres_server: Any,
    template: str,
    directory: Path,
    name: str,
    *,
    point: str | None = None,
    trouble: str = "",
    faults: tuple[dict[str, Any], ...] = (),
    during: Callable[[Case], None] | None = None,
) -> None:
    """Run one case with a gateway and a database of its own. `during` happens once the first order is out."""
    with fresh_database(postgres_server, template) as own:
        database = Database(postgres_server.url(own, "ibkr_platform"))
        try:
            with start_gateway(clock_start=EVENING) as gateway:
                case = Case(point, trouble, faults, database, gateway, directory / name)
                case.during = during
                case.run()
        finally:
            database.close()
