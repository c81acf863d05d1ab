"""The recovery drill: a backup from before the newest orders comes back on an empty server, at a broker that has them.

Real processes throughout: the simulated gateway, the product's own submitter and commands, and two Postgres servers.
What is held against each other at the end is the gateway's own list of what it accepted and the restored ledger.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.migrate import migrate
from ibkr_assets.domain.order import OrderIntent, OrderState, Side, account_ref
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent as base_intent

EVENING = datetime(2012, 10, 1, 21, tzinfo=UTC)
OPENED = datetime(2012, 10, 2, 13, 35, tzinfo=UTC)
EARLIER = datetime(2012, 9, 28, 20, tzinfo=UTC)
BOUND_S = 120.0
PACE = 1000.0

#: Symbol, conid, reference and a limit that fills at the open; a tenth of it does not.
SHARES = (
    ("AAPL", 265598, "659", "675"), ("IBM", 8314, "210", "214"), ("MSFT", 272093, "29.5", "30.2"),
    ("FB", 107113386, "22", "22.5"), ("GOOG", 208813720, "760", "780"),
)  # fmt: skip
_SENT = frozenset({OrderState.ACKED, OrderState.WORKING, OrderState.FILLED, OrderState.CANCELLED})


@dataclass(frozen=True)
class Outcome:
    """What a drill came to. Times are seconds, counts are orders."""

    orders_lost: int
    adopted: int
    attributed: int
    accepted_before: int
    accepted_after: int
    violations: int
    differences: list[str]
    restore_s: float
    reconcile_s: float
    killed_at_start: bool

    @property
    def is_good(self) -> bool:
        """Everything that the backup did not know was taken over, and nothing was sent."""
        return (
            self.adopted == self.attributed == self.orders_lost
            and self.accepted_after == self.accepted_before
            and not self.violations
            and not self.differences
            and self.killed_at_start
        )


@contextmanager
def server(**settings: str) -> Iterator[EmbeddedPostgres]:
    """A Postgres server of its own with the platform's roles and empty databases."""
    with tempfile.TemporaryDirectory(prefix="ibkr-assets-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        running = EmbeddedPostgres(directory, settings={"fsync": "off", "synchronous_commit": "off", **settings})
        try:
            running.start()
            running.ensure_databases()
            yield running
        finally:
            running.stop()


def drill(directory: Path, *, orders: int = 50, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Send some orders, back up, send `orders` more, lose the server, and come back on an empty one."""
    with start_gateway(clock_start=EVENING, pace=PACE) as gateway:
        strategies = [f"s{number}" for number in range(-(-orders // len(SHARES)))]
        with server() as first:
            migrate(first.url("platform"))
            stage = _Stage(gateway, first.url("platform", "ibkr_submitter"), directory / "first")
            book = _Book(first.url("platform"), stage.account_ref)
            with stage.submitter():
                _propose(book, [_order(stage, strategy, SHARES[1], EARLIER) for strategy in strategies])
                book.wait("the orders of before the backup", lambda: set(book.states()) <= _SENT)
                backup = _command(
                    first.url("platform"), "db", "backup", "--out", str(directory / "kept"), "--json"
                )["path"]  # fmt: skip
                tell(f"backed up with {len(strategies)} orders")
                decisions = [(strategy, share) for strategy in strategies for share in SHARES][:orders]
                lost = [_order(stage, strategy, share, EVENING - timedelta(hours=1)) for strategy, share in decisions]
                _propose(book, lost)
                book.wait("the orders after it", lambda: set(book.states()) <= _SENT)
                gateway.set_clock(OPENED)
                book.wait("fills", lambda: book.states().count(OrderState.FILLED) >= len(lost) // 2)
            book.close()
        tell(f"lost the server after {len(lost)} more orders")
        accepted = len(gateway.ledger("accept"))
        with server() as second:
            return _come_back(gateway, second, Path(backup), directory / "second", lost, accepted, tell)


def _come_back(
    gateway: RunningGateway,
    second: EmbeddedPostgres,
    backup: Path,
    directory: Path,
    lost: list[OrderIntent],
    accepted: int,
    tell: Callable[[str], None],
) -> Outcome:
    owner = second.url("platform")
    began = time.monotonic()
    _command(owner, "db", "restore", str(backup), "--json")
    restored = time.monotonic()
    stage = _Stage(gateway, second.url("platform", "ibkr_submitter"), directory)
    book = _Book(owner, stage.account_ref)
    killed = book.book.killed_by(stage.account_ref, "any") is not None
    with stage.submitter():
        book.wait("a clean start", book.has_clean_start)
        reconciled = time.monotonic()
        tell(f"restored in {restored - began:.1f} s, reconciled in {reconciled - restored:.1f} s more")
        book.wait("executions", lambda: OrderState.UNKNOWN not in book.states())
        _command(owner, "resume", "--reason", "compared", account=gateway.account, directory=directory)
        _propose(book, lost)  # the same decisions, made again
        time.sleep(3.0)  # long enough for a submitter that would send to have sent
    report = _command(owner, "db", "recovery", "--json", account=gateway.account)
    checked = _command(owner, "invariants", "--json")
    book.close()
    return Outcome(
        orders_lost=len(lost),
        adopted=len(report["adopted"]),
        attributed=sum(row["is_attributed"] for row in report["adopted"]),
        accepted_before=accepted,
        accepted_after=len(gateway.ledger("accept")),
        violations=sum(row["violations"] for row in checked),
        differences=[f"{row['kind']} {row['subject']}" for row in report["open_differences"]],
        restore_s=restored - began,
        reconcile_s=reconciled - restored,
        killed_at_start=killed,
    )


@dataclass
class _Stage:
    """A submitter's surroundings."""

    gateway: RunningGateway
    database_url: str
    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.account_ref = account_ref(self.gateway.account)

    @contextmanager
    def submitter(self) -> Iterator[None]:
        environment = _environment(self.database_url) | {
            "IBKR_ASSETS_MODE": "sim",
            "IBKR_ASSETS_GATEWAY_URL": self.gateway.api_url,
            "IBKR_ASSETS_CLOCK_URL": self.gateway.clock_url,
            "IBKR_ASSETS_ACCOUNT": self.gateway.account,
            "IBKR_ASSETS_DATA_DIR": str(self.directory),
            "IBKR_ASSETS__GATEWAY__PACE": str(PACE),
            "IBKR_ASSETS__SUBMITTER__SETTLE_S": "0.5",
        }
        with (self.directory / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"], env=environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(BOUND_S)


class _Book:
    """The ledger as the drill looks at it."""

    def __init__(self, url: str, ref: str) -> None:
        self.database = Database(url)
        self.book = PostgresIntents(self.database, "default")
        self.ref = ref

    def states(self) -> list[OrderState]:
        return [record.state for record in self.book.intents()]

    def has_clean_start(self) -> bool:
        with self.database.connect() as connection:
            row = connection.execute(
                "select exists (select from oms.recon_run n join oms.restoration r on n.started_at > r.restored_at "
                "where n.kind = 'start' and n.is_clean)"
            ).fetchone()
        return bool(row and row[0])

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOUND_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {BOUND_S:g} s; {self.states()}"
            time.sleep(0.1)

    def close(self) -> None:
        self.database.close()


def _order(stage: _Stage, strategy: str, share: tuple[str, int, str, str], bar_end: datetime) -> OrderIntent:
    symbol, conid, reference, limit = share
    number = int(strategy[1:])
    return base_intent(
        strategy_id=strategy, account_ref=stage.account_ref, symbol=symbol, conid=conid, side=Side.BUY,
        quantity=Decimal(1), reference_price=Decimal(reference), signal_bar_end=bar_end,
        session_date=bar_end.date(),
        limit_price=Decimal(limit) if number % 4 else (Decimal(reference) / 2).quantize(Decimal("0.01")),
        valid_until=OPENED - timedelta(minutes=5),
    )  # fmt: skip


def _propose(book: _Book, intents: list[OrderIntent]) -> None:
    for intent in intents:
        book.book.propose(
            intent, approve, now=EVENING - timedelta(minutes=30), dagster_run_id=None, created_by="test"
        )  # fmt: skip


def _environment(url: str) -> dict[str, str]:
    inherited = inherited_environment()
    return inherited | {"IBKR_ASSETS_DATABASE_URL": url}


def _command(url: str, *words: str, account: str | None = None, directory: Path | None = None) -> Any:
    """Run one of the product's commands as a person does, and read its JSON where it writes some."""
    environment = _environment(url) | ({"IBKR_ASSETS_ACCOUNT": account} if account else {})
    environment |= {"IBKR_ASSETS_DATA_DIR": str(directory)} if directory else {}
    done = subprocess.run(
        [sys.executable, "-m", "ibkr_assets.cli", *words], env=environment, capture_output=True, text=True, check=False,
        timeout=BOUND_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in words else None
