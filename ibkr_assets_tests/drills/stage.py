"""What a kill drill happens on: Postgres, a gateway, a submitter in a process of its own, and orders that stream.

What goes here: the peers and what can be done to them. What does not: the drills (`drill`).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.domain.errors import LedgerConflict, Unavailable
from ibkr_assets.domain.order import Mode, OrderState, Side, account_ref
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent

EVENING = datetime(2012, 10, 1, 21, tzinfo=UTC)
VALID_UNTIL = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)
PACE = 1000.0
BOUND_S = 90.0
#: Proposed every so often, and no more while so many are out: IBKR takes 20 per contract, side and account.
EVERY_S = 0.05
MOST_OUT = 24
INSTRUMENTS = (("AAPL", 265598, "659", "675"), ("IBM", 8314, "210", "214"))
_OUT = [OrderState.SUBMITTING, OrderState.UNKNOWN, OrderState.ACKED, OrderState.WORKING, OrderState.CANCEL_PENDING]
_SENDS = frozenset({"submit", "reply"})


@dataclass
class Stage:
    """The peers of one run. `sent_at` are the gateway's own times, in seconds of the machine's monotonic clock."""

    server: EmbeddedPostgres
    database: Database
    gateway: RunningGateway
    directory: Path
    process: subprocess.Popen[str] | None = None
    _number: int = 0
    _streaming: threading.Event = field(default_factory=threading.Event)
    _end: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.ref = account_ref(self.gateway.account)
        self.ledger = PostgresLedger(self.database)
        self._book = PostgresIntents(self.database, "drill")
        self._feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._feeder.start()

    def environment(self) -> dict[str, str]:
        return inherited_environment() | {
            "IBKR_ASSETS_MODE": "sim",
            "IBKR_ASSETS_DATABASE_URL": self.database.url,
            "IBKR_ASSETS_GATEWAY_URL": self.gateway.api_url,
            "IBKR_ASSETS_CLOCK_URL": self.gateway.clock_url,
            "IBKR_ASSETS_ACCOUNT": self.gateway.account,
            "IBKR_ASSETS_DATA_DIR": str(self.directory),
            "IBKR_ASSETS__GATEWAY__PACE": str(PACE),
            "IBKR_ASSETS__SUBMITTER__SETTLE_S": "0.2",
            "IBKR_ASSETS__SUBMITTER__POLL_INTERVAL_S": "0.02",
            "IBKR_ASSETS__RISK__MAX_MESSAGES_PER_SECOND": "1000",
            "IBKR_ASSETS__RISK__MAX_MESSAGES_PER_MINUTE": "60000",
        }

    # ---- the submitter

    def start_submitter(self) -> None:
        """Start it and wait until it says that it is ready."""
        log = self.directory / "submitter.log"
        with log.open("a") as file:
            begins_at = file.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"],
                env=self.environment(), stdout=file, stderr=file, text=True,
            )  # fmt: skip
        self.wait("the submitter is ready", lambda: "ready submitter" in log.read_text()[begins_at:])

    def kill_submitter(self) -> None:
        """End it as `kill -9` does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(20)

    def command(self, *arguments: str) -> None:
        """A command of the product, as a person types it."""
        done = subprocess.run(
            [sys.executable, "-m", "ibkr_assets.cli", *arguments],
            env=self.environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    # ---- orders

    def stream(self, *, is_on: bool) -> None:
        """Propose orders all the time, or stop that."""
        (self._streaming.set if is_on else self._streaming.clear)()

    def sends(self) -> list[float]:
        """When the gateway received each request that may place an order."""
        return [float(row["t_mono"]) for row in self.gateway.wirelog() if row["route"] in _SENDS]

    def out(self) -> int:
        """Orders that are at the broker or may be."""
        return len(self.ledger.of_account(self.ref).sends.records(_OUT))

    def waiting(self) -> int:
        """Orders that are approved and were not sent."""
        return len(self.ledger.of_account(self.ref).sends.records([OrderState.APPROVED]))

    def _feed(self) -> None:
        while not self._end.wait(EVERY_S):
            if not self._streaming.is_set():
                continue
            with contextlib.suppress(Unavailable, LedgerConflict):
                if self.out() < MOST_OUT and self.waiting() < MOST_OUT:
                    self._propose()

    def _propose(self) -> None:
        self._number += 1
        symbol, conid, reference, limit = INSTRUMENTS[self._number % len(INSTRUMENTS)]
        self._book.propose(
            base_intent(
                strategy_id=f"drill{self._number}", account_ref=self.ref, mode=Mode.SIM, symbol=symbol, conid=conid,
                reference_price=Decimal(reference), limit_price=Decimal(limit), quantity=Decimal(1), side=Side.BUY,
                valid_until=VALID_UNTIL,
            ),
            approve, now=EVENING, dagster_run_id=None, created_by="drill",
        )  # fmt: skip

    def wait(self, what: str, condition, *, bound_s: float = BOUND_S) -> None:
        """Wait until `condition` holds; a database that is away does not hold."""
        deadline = time.monotonic() + bound_s
        while True:
            with contextlib.suppress(Unavailable):
                if condition():
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; {(self.directory / 'submitter.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def close(self) -> None:
        self._end.set()
        self._feeder.join(10)
        self.kill_submitter()


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """Everything of one run, and nothing of it left afterwards."""
    from ibkr_assets.adapters.postgres.migrate import migrate

    data_dir = Path(tempfile.mkdtemp(prefix="ibkr-assets-drill-"))
    data_dir.chmod(0o755)
    server = EmbeddedPostgres(data_dir)
    try:
        server.start()
        server.ensure_databases()
        migrate(server.url("platform"))
        directory = data_dir / "work"
        directory.mkdir()
        database = Database(server.url("platform"))
        with start_gateway(clock_start=EVENING, pace=PACE) as gateway:
            stage = Stage(server, database, gateway, directory)
            try:
                yield stage
            finally:
                stage.close()
                database.close()
    finally:
        server.stop()
        shutil.rmtree(data_dir, ignore_errors=True)
