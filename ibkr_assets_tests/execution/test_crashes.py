"""A submitter that dies anywhere: after its next start the broker has each order once, and the ledger agrees.

Real processes on both sides: the submitter of the product, and the simulated gateway. Each case has a gateway, a
database and a submitter of its own; they mostly wait for IBKR's pacing, so several run at a time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.order import Mode, OrderState, Side, account_ref
from ibkr_assets.execution.crashpoints import CRASH_POINTS
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent

pytestmark = pytest.mark.slow

EVENING = datetime(2012, 10, 1, 21, tzinfo=UTC)
OPENED = datetime(2012, 10, 2, 13, 35, tzinfo=UTC)
AT_ONCE = 6
BOUND_S = 90.0

#: symbol, conid, reference, limit: two that fill at the open, one that asks a question and is cancelled at the open.
ORDERS = (("AAPL", 265598, "659", "675"), ("IBM", 8314, "210", "214"), ("MSFT", 272093, "29.5", "20"))
#: Points that no ordinary day passes, each with what makes it pass.
FAULTS = {
    "doubt.observed": "F2", "doubt.ended": "F2", "doubt.adopting": "F1", "doubt.adopted": "F1",
    "send.not_sent": "rehearse", "expire.done": "expire", "cancel.begun": "kill_cancel",
    "cancel.answered": "kill_cancel",
}  # fmt: skip


@dataclass
class Case:
    """One crash: its point, and the peers it happens between."""

    point: str
    database: Database
    gateway: RunningGateway
    directory: Path

    def __post_init__(self) -> None:
        self.book = PostgresIntents(self.database, "default")
        self.ref = account_ref(self.gateway.account)
        self.trouble = FAULTS.get(self.point, "")

    def submitter(self, crash: str | None) -> subprocess.Popen[str]:
        environment = {name: v for name, v in os.environ.items() if not name.startswith("IBKR_ASSETS_")} | {
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
                    valid_until=EVENING if self.trouble == "expire" and symbol == "IBM" else datetime(
                        2012, 10, 2, 13, 30, tzinfo=UTC),
                ),
                approve, now=EVENING.replace(hour=20), dagster_run_id=None, created_by="test",
            )  # fmt: skip

    def states(self) -> list[OrderState]:
        return [record.state for record in self.book.intents()]

    def wait(self, what: str, condition) -> None:
        deadline = time.monotonic() + BOUND_S
        while not condition():
            log = (self.directory / "log").read_text()
            assert time.monotonic() < deadline, f"{self.point}: {what}; {self.states()}; {log[-3000:]}"
            time.sleep(0.1)

    def has_snapshot(self) -> bool:
        nav = self.book.net_asset_value(self.ref)
        return nav is not None and nav[1] >= OPENED

    def run(self) -> None:
        """Crash once, start again, let the market open, and compare both ledgers."""
        self.directory.mkdir()
        self.propose()
        if self.trouble in ("F1", "F2"):
            self.gateway.arm_fault(self.trouble, nth=1)
        first = self.submitter(f"{self.point}:1")
        second = None
        try:
            second = self.live_on(first)
            self.wait("a clean end", lambda: self.has_snapshot() and all(s.is_terminal for s in self.states()))
        finally:
            for process in (first, second):
                if process is not None and process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(20)
        self.compare()

    def live_on(self, first: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """Go through the evening and the open; whenever the first process has died, a second one takes over."""
        second: list[subprocess.Popen[str]] = []

        def carry_on() -> None:
            if first.poll() is not None and not second:
                assert first.returncode == -signal.SIGKILL, (self.directory / "log").read_text()[-3000:]
                second.append(self.submitter(None))

        unsent = {OrderState.PROPOSED, OrderState.APPROVED, OrderState.SUBMITTING, OrderState.QUESTION,
                  OrderState.CONFIRMING, OrderState.UNKNOWN}  # fmt: skip

        def is_quiet() -> bool:
            carry_on()
            return not unsent & set(self.states())

        self.wait("all sent", is_quiet)
        if self.trouble == "kill_cancel":
            PostgresLedger(self.database).control("kill_cancel", scope="global", actor="test", reason="drill")
            self.wait("all cancelled", lambda: (carry_on(), all(s.is_terminal for s in self.states()))[1])
        self.gateway.set_clock(OPENED)
        self.wait("the crash", lambda: (carry_on(), bool(second) or self.is_over())[1])
        carry_on()
        assert second, f"{self.point} was never passed: {(self.directory / 'log').read_text()[-2000:]}"
        return second[0]

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


def chosen_points() -> list[str]:
    """All of them, or those that the environment names, for looking at one closely."""
    named = os.environ.get("CRASH_POINTS", "").split()
    return named or list(CRASH_POINTS)


@pytest.fixture
def template(_template) -> str:
    """The name of a database at the newest schema."""
    return str(_template)


@pytest.mark.timeout(1200)
def test_whatever_point_the_submitter_dies_at_each_order_is_placed_once(postgres_server, template, tmp_path):
    """Every named point."""

    def run(point: str) -> None:
        name = f"crash_{point.replace('.', '_')}"
        with postgres_server.connect() as connection:
            connection.execute(f"create database {name} template {template} owner ibkr_platform")
        database = Database(postgres_server.url(name, "ibkr_platform"))
        try:
            with start_gateway(clock_start=EVENING) as gateway:
                Case(point, database, gateway, tmp_path / point).run()
        finally:
            database.close()
            with postgres_server.connect() as connection:
                connection.execute(f"drop database {name} with (force)")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        cases = {point: pool.submit(run, point) for point in chosen_points()}
    failures = {point: error for point, case in cases.items() if (error := case.exception()) is not None}
    assert failures == {}
