"""From a fill to the ledger, and from a gateway that goes away to the heartbeat: with the order stream, and without.

A submitter of the product in a process of its own, a gateway that keeps IBKR's own limits, and a real ledger. Both
ways run at the same time, each with its own gateway, ledger and submitter.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from benchmarks.broker import Figures
from benchmarks.server import new_database, start_server
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.domain.order import Mode, OrderState, TimeInForce, account_ref
from ibkr_assets_tests.execution.desk import approve
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.risk.orders import intent

FILLS = 6
_OPEN = datetime(2012, 10, 2, 14, 0, tzinfo=UTC)
_BOUND_S = 90.0
#: After this an order is an old one, whose status is asked for less often, and no limit is left to wait for.
_REST_S = 11.0


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds from each fill to the ledger, and from the gateway's death to the heartbeat that says so."""

    fills_s: list[float]
    dead_s: float


def run() -> Iterator[Figures]:
    """Both ways side by side."""
    with start_server() as server, ThreadPoolExecutor(2) as pool:
        ways = {"with the stream": True, "without": False}
        databases = [Database(new_database(server, f"settling_{number}")) for number in range(len(ways))]
        found = dict(zip(ways, pool.map(_measure, databases, ways.values()), strict=True))
    yield Figures(
        f"one submitter, {FILLS} fills of working orders at IBKR's own pace, then a gateway that goes away",
        tuple(
            f"{name:<16} fill to ledger: median {statistics.median(times.fills_s):.2f} s, "
            f"longest {max(times.fills_s):.2f} s; dead gateway noticed after {times.dead_s:.1f} s"
            for name, times in found.items()
        ),
    )


def _measure(database: Database, has_stream: bool) -> _Times:  # noqa: FBT001
    with (
        tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as folder,
        start_gateway(clock_start=_OPEN, pace=1.0) as gateway,
        _submitter(database, gateway, Path(folder), has_stream=has_stream),
    ):
        _wait(lambda: _heartbeat(database) == "working")
        book = PostgresIntents(database, "default")
        pause = random.Random(7)  # noqa: S311 - moments, no secret
        fills = [_fill(book, gateway, index, pause) for index in range(FILLS)]
        time.sleep(_REST_S)
        # Only the API's port: without the market clock the submitter would stop at once for another reason.
        gateway.admin("POST", "/admin/restart", {"down_s": _BOUND_S})
        killed_at = time.monotonic()
        _wait(lambda: _heartbeat(database) == "away")
        return _Times(fills, time.monotonic() - killed_at)


def _fill(book: PostgresIntents, gateway: RunningGateway, index: int, pause: random.Random) -> float:
    """One order that works, filled at a random moment; the seconds until the ledger says so."""
    record = book.propose(
        intent(
            strategy_id=f"s{index}", account_ref=account_ref(gateway.account), mode=Mode.SIM, quantity=Decimal(1),
            limit_price=Decimal("208.00"), reference_price=Decimal("210.00"), time_in_force=TimeInForce.DAY,
            valid_until=_OPEN.replace(hour=19),
        ),
        approve, now=_OPEN, dagster_run_id=None, created_by="bench",
    )  # fmt: skip

    def is_in(state: OrderState) -> bool:
        return any(r.intent_id == record.intent_id and r.state is state for r in book.intents())

    _wait(lambda: is_in(OrderState.WORKING))
    time.sleep(_REST_S + pause.uniform(0.0, 1.5))
    gateway.fill(coid=record.client_order_id, quantity=1, price=208)
    filled_at = time.monotonic()
    _wait(lambda: is_in(OrderState.FILLED))
    return time.monotonic() - filled_at


def _wait(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _BOUND_S
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"nothing within {_BOUND_S} s")
        time.sleep(0.01)


def _heartbeat(database: Database) -> str | None:
    with database.connect() as connection:
        row = connection.execute("select status from oms.heartbeat").fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _submitter(database: Database, gateway: RunningGateway, folder: Path, *, has_stream: bool) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_ASSETS_")} | {
        "IBKR_ASSETS_MODE": "sim",
        "IBKR_ASSETS_DATABASE_URL": database.url,
        "IBKR_ASSETS_GATEWAY_URL": gateway.api_url,
        "IBKR_ASSETS_CLOCK_URL": gateway.clock_url,
        "IBKR_ASSETS_ACCOUNT": gateway.account,
        "IBKR_ASSETS_DATA_DIR": str(folder),
        "IBKR_ASSETS__GATEWAY__HAS_STREAM": str(has_stream),
        "TMPDIR": str(folder),  # limits of a gateway of its own
    }
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "ibkr_assets.cli", "submitter", "run"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the submitter said: {(folder / 'log').read_text()[-2000:]}") from None
        finally:
            process.terminate()
            process.wait(20)
