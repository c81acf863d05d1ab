"""A real simulated gateway in a process of its own, for tests that speak to it over the wire.

Use the fixture by importing it (`from ibkr_assets_tests.gateway import gateway_process`), or `start_gateway` for one
with other options. Limits are those of IBKR at a thousand times its pace unless a test asks for another.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from ibkr_assets_tests.children import started

TOKEN = "token-of-the-tests"
ACCOUNT = "DU1000001"


@dataclass
class RunningGateway:
    """A gateway process. `api_url` ends with /v1/api; `clock_url` is what IBKR_ASSETS_CLOCK_URL wants."""

    api_url: str
    admin_url: str
    token: str
    account: str
    process: subprocess.Popen[str]
    _admin: httpx.Client = field(repr=False)
    said: list[str] = field(default_factory=list)

    @property
    def clock_url(self) -> str:
        return f"{self.admin_url}/clock"

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the admin port; an error status raises."""
        answer = self._admin.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def now(self) -> datetime:
        return datetime.fromisoformat(self.admin("GET", "/admin/clock")["now"])

    def set_clock(self, moment: datetime | str) -> datetime:
        """Move the market clock forward; everything in between happens."""
        text = moment if isinstance(moment, str) else moment.isoformat()
        return datetime.fromisoformat(self.admin("POST", "/admin/clock", {"set": text})["now"])

    def step_clock(self, seconds: float) -> datetime:
        return datetime.fromisoformat(self.admin("POST", "/admin/clock", {"step_s": seconds})["now"])

    def run_clock(self, speed: float) -> None:
        self.admin("POST", "/admin/clock", {"speed": speed})

    def ledger(self, event: str | None = None) -> list[dict[str, Any]]:
        """The public ledger, or its rows of one event."""
        rows: list[dict[str, Any]] = self.admin("GET", "/admin/ledger")
        return [row for row in rows if event is None or row["event"] == event]

    def wirelog(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.admin("GET", "/admin/wirelog")
        return rows

    def restart_session(self) -> str:
        """A gateway restart as the client sees it; returns the new session id."""
        return str(self.admin("POST", "/admin/restart", {})["session"])

    def set_session(self, state: str) -> None:
        """`lost`, `competing`, `logged_out` or `ok`."""
        self.admin("POST", "/admin/session", {"state": state})

    def arm_fault(self, fault_id: str, **spec: Any) -> None:
        self.admin("POST", "/admin/fault", {"id": fault_id, **spec})

    def disarm_fault(self, fault_id: str) -> None:
        self.admin("DELETE", f"/admin/fault/{fault_id}")

    def fill(self, **spec: Any) -> str:
        """An execution by hand: `order_id` or `coid`, or `conid` and `side`; `quantity`, `price`. Returns its id."""
        return str(self.admin("POST", "/admin/fill", spec)["execution_id"])

    def bust(self, execution_id: str, **spec: Any) -> None:
        self.admin("POST", "/admin/bust", {"execution_id": execution_id, **spec})

    def move_position(self, conid: int, quantity: float, **spec: Any) -> None:
        self.admin("POST", "/admin/position", {"conid": conid, "quantity": quantity, **spec})

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """End the process as a supervisor does; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(10)


@contextlib.contextmanager
def start_gateway(
    *,
    tape: str | Path = "real",
    seed: int = 0,
    clock_start: datetime | str | None = None,
    state_dir: Path | None = None,
    pace: float = 1000.0,
    port: int = 0,
    admin_port: int = 0,
    account: str = ACCOUNT,
    extra: tuple[str, ...] = (),
    module: str = "ibkr_assets.simulator",
    errors: IO[str] | None = None,
) -> Iterator[RunningGateway]:
    """Start a gateway, wait until it listens, and end it afterwards.

    `extra` are more arguments of its command, `errors` is where its standard error goes.
    """
    command = [
        sys.executable, "-m", module, "--admin-token", TOKEN, "--port", str(port),
        "--admin-port", str(admin_port), "--tape", str(tape), "--seed", str(seed), "--pace", str(pace),
        "--account", account, "--fast-penalty", *extra,
    ]  # fmt: skip
    if clock_start is not None:
        command += ["--clock-start", clock_start if isinstance(clock_start, str) else clock_start.isoformat()]
    if state_dir is not None:
        command += ["--state-dir", str(state_dir)]
    with started(command, ready_lines=2, errors=errors) as (process, said):
        api_url, admin_url = (line.partition(" ")[2] for line in said[:2])
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=admin_url, headers=headers, timeout=30, trust_env=False) as admin:
            yield RunningGateway(api_url, admin_url, TOKEN, account, process, admin, said)


@pytest.fixture(scope="module")
def gateway_process() -> Iterator[RunningGateway]:
    """One gateway on the real tape for all tests of a module, at 2012-10-01 13:00 UTC, before the open."""
    with start_gateway(clock_start="2012-10-01T13:00:00+00:00") as running:
        yield running
