"""What a soak runs on: a gateway on the tape of minutes, and the embedded stack as `ibkr-assets up` starts it.

What goes here: starting, finding and ending it, and what its processes weigh. What does not: the days (`run`).
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.order import account_ref
from ibkr_assets.domain.session import TradingSession
from ibkr_assets_tests.children import inherited_environment
from ibkr_assets_tests.gateway import TOKEN, RunningGateway, start_gateway
from ibkr_assets_tests.security import canaries
from ibkr_assets_tests.simulator.clients import connect
from ibkr_assets_tests.soak.tape import write_tape

_START_BOUND_S = 300.0
_OPENING_CASH = 10_000_000
#: More messages than this are not sent in a day of IBKR; here an evening is as long as it takes.
_ROOM = {
    "MAX_ORDERS_PER_DAY_AND_INSTRUMENT": "1000",
    "MAX_DAILY_NOTIONAL_NAV_FRACTION": "3",
}


@dataclass
class Stage:
    """The peers of a soak."""

    gateway: RunningGateway
    process: subprocess.Popen[bytes]
    data_dir: Path
    dagster: DagsterApi
    database: Database
    symbols: tuple[str, ...]

    @property
    def ref(self) -> str:
        """The account's own word for itself."""
        return account_ref(self.gateway.account)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """What the platform's database answers."""
        with self.database.connect() as connection:
            return connection.execute(query, arguments).fetchall()

    def state(self) -> dict[str, Any]:
        """What the stack says of itself."""
        found: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text())
        return found

    def gateway_session(self) -> str:
        """The id of the gateway's own session, which the cookie `api` carries."""
        with connect(self.gateway) as api:
            return str(api.post("/tickle").json()["session"])

    def link(self) -> str:
        """An address of the dashboard that lets a viewer in once."""
        done = subprocess.run(
            [sys.executable, "-m", "ibkr_assets.cli", "dashboard", "link", "--role", "viewer"],
            env=inherited_environment() | {"IBKR_ASSETS_DATA_DIR": str(self.data_dir)},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def weights(self) -> dict[str, int]:
        """Bytes that each process holds, with the processes that belong to it: RSS, and of Postgres what is its own.

        Postgres's shared memory has one size from the start, and is counted in whichever of its processes touched it.
        """
        found = {"gateway": psutil.Process(self.gateway.process.pid).memory_info().rss}
        found["up"] = psutil.Process(self.process.pid).memory_info().rss
        for row in self.state()["processes"]:
            with contextlib.suppress(psutil.NoSuchProcess, KeyError, TypeError):
                own = psutil.Process(row["pid"])
                everyone = [own, *own.children(recursive=True)]
                if row["name"] == "postgres":
                    found["postgres"] = sum(_own_bytes(one) for one in everyone)
                    continue
                found[str(row["name"])] = own.memory_info().rss
                for child in everyone[1:]:
                    kind = "run server" if "forkserver" in " ".join(child.cmdline()) else "child"
                    name = f"{row['name']} {kind}"
                    found[name] = max(found.get(name, 0), child.memory_info().rss)
        return found

    def wait(self, what: str, is_so: Any, bound_s: float = 240.0) -> None:
        """Wait until something holds; the stack must live meanwhile."""
        deadline = time.monotonic() + bound_s
        while not is_so():
            if self.process.poll() is not None:
                raise RuntimeError(f"the stack ended with {self.process.returncode} while waiting for {what}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {bound_s:.0f} s for {what}")
            time.sleep(0.1)

    def wait_for_submitter(self) -> None:
        """Until it says that it works."""
        query = "select status from oms.heartbeat where account_ref = %s and at > clock_timestamp() - interval '5 s'"
        self.wait("a submitter that works", lambda: self.rows(query, self.ref) == [("working",)])


@contextlib.contextmanager
def open_stage(
    directory: Path, names: tuple[str, ...], sessions: Sequence[TradingSession], *, seed: int, every_min: int
) -> Iterator[Stage]:
    """Everything of one soak; ended, and nothing left running, afterwards. `sessions` are those of the minutes."""
    write_tape(directory / "tape", names, sessions, seed=seed)
    data_dir = directory / "data"
    extra = ("--nightly-reset", "brokerage", "--maintenance", "--opening-cash", str(_OPENING_CASH))
    errors = contextlib.closing((directory / "gateway.log").open("w"))
    with (
        errors as said,
        start_gateway(
            errors=said,
            tape=directory / "tape",
            seed=seed,
            clock_start=sessions[0].opens_at - timedelta(minutes=30),
            extra=extra,
            account=canaries.ACCOUNT,
        ) as gateway,
    ):
        environment = inherited_environment() | _environment(gateway, names, sessions, every_min)
        environment |= canaries.environment(directory)
        out = (directory / "up.log").open("w")
        strategies = _strategies(directory, names)
        process = subprocess.Popen(
            [sys.executable, "-m", "ibkr_assets.cli", "up", "--data-dir", str(data_dir),
             "--from", sessions[0].day.isoformat(), "--sessions", "0", "--strategies", str(strategies)],
            env=environment, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            log = directory / "up.log"
            deadline = time.monotonic() + _START_BOUND_S
            while "running until Ctrl-C" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the stack did not start: {log.read_text()[-3000:]}")
                time.sleep(0.2)
            state = json.loads((data_dir / "stack.json").read_text())
            database = Database(state["environment"]["IBKR_ASSETS_DATABASE_URL"])
            with DagsterApi(state["urls"]["dagster"], LOCATION) as dagster, contextlib.closing(database):
                yield Stage(gateway, process, data_dir, dagster, database, names)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
            if process.poll() is None:
                process.kill()
            process.wait()
            out.close()


def _own_bytes(process: psutil.Process) -> int:
    """What this process has asked for itself; nothing where it has just ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return 1024 * int(line.split()[1])
    return 0


def _environment(
    gateway: RunningGateway, names: tuple[str, ...], sessions: Sequence[TradingSession], every_min: int
) -> dict[str, str]:
    return {
        "IBKR_ASSETS_MODE": "sim",
        "IBKR_ASSETS_GATEWAY_URL": gateway.api_url,
        "IBKR_ASSETS_CLOCK_URL": gateway.clock_url,
        "IBKR_ASSETS_ACCOUNT": gateway.account,
        "IBKR_ASSETS_ADMIN_TOKEN": TOKEN,
        "IBKR_ASSETS__MARKET__SYMBOLS": json.dumps(names),
        "IBKR_ASSETS__MARKET__LAST_SESSION": sessions[-1].day.isoformat(),
        "IBKR_ASSETS__MARKET__WARM_UP_SESSIONS": "60",
        "IBKR_ASSETS__MARKET__MINUTES_EVERY": str(min(every_min, 60)),
        "IBKR_ASSETS__GATEWAY__PACE": "1000",
        "IBKR_ASSETS__GATEWAY__READ_TIMEOUT_S": "5",
        "IBKR_ASSETS__GATEWAY__ORDER_TIMEOUT_S": "5",
        "IBKR_ASSETS__SUBMITTER__SETTLE_S": "0.5",
        "IBKR_ASSETS__RISK__SECTORS": json.dumps({name: f"sector {number % 10}" for number, name in enumerate(names)}),
        **{f"IBKR_ASSETS__RISK__{name}": value for name, value in _ROOM.items()},
    }


def _strategies(directory: Path, names: tuple[str, ...]) -> Path:
    """Two that trade often, in shares, so that no order depends on the value of the account to the cent.

    The last symbol is left alone: it is the one whose collections are spoilt.
    """
    traded = list(names[: min(20, len(names) - 1)])
    rows = [
        {"id": "soak_reversion", "kind": "rsi_reversion", "params": {"period": 2, "low": 25, "high": 75},
         "symbols": traded, "bar_size": "1d", "schedule": "after_close", "sizing": "fixed:20", "enabled": True},
        {"id": "soak_cross", "kind": "sma_cross", "params": {"fast": 3, "slow": 8, "short": False},
         "symbols": traded[:10], "bar_size": "1d", "schedule": "after_close", "sizing": "fixed:10", "enabled": True},
    ]  # fmt: skip
    path = directory / "strategies.yaml"
    path.write_text(json.dumps(rows))
    return path
