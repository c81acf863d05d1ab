"""The peers of a chaos run: the embedded Postgres and a simulated gateway that survive their own deaths."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from ibkr_assets.adapters.postgres.migrate import migrate
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets_tests.gateway import start_gateway

#: Migrations keep their state in a module.
_MIGRATING = threading.Lock()


class Server:
    """Postgres in a directory of its own. The disk is not waited for: processes die here, the machine does not."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ibkr-assets-chaos-"))
        self.directory.chmod(0o755)
        self.server = EmbeddedPostgres(self.directory, settings={"fsync": "off"})
        self.server.start()
        self.server.ensure_databases()
        with _MIGRATING:
            migrate(self.url("ibkr_platform"))

    def url(self, role: str) -> str:
        return self.server.url("platform", role)

    def kill(self) -> None:
        """As power would: the server's first process, and with it all others."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)

    def start(self) -> None:
        self.server.stop()
        self.server.start()

    def cut(self) -> int:
        """Drop every connection but the one that does it."""
        with contextlib.suppress(psycopg.Error), self.server.connect() as connection:
            row = connection.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                "where datname = 'platform' and pid <> pg_backend_pid()"
            ).fetchone()
            return 0 if row is None else int(str(row[0]))
        return 0

    def close(self) -> None:
        self.server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Venue:
    """A gateway that keeps its ports, its ledger and its market clock over every death of its process."""

    def __init__(self, directory: Path, tape: Path, clock_start: datetime, *, pace: float, seed: int) -> None:
        self._directory = directory
        self._options: dict[str, Any] = {
            "tape": tape, "clock_start": clock_start, "pace": pace, "seed": seed, "state_dir": directory / "venue",
            "extra": ("--opening-cash", "100000000"),
        }  # fmt: skip
        self._life = contextlib.ExitStack()
        self._speed = 0.0
        self.struck: Counter[str] = Counter()
        self._armed: dict[str, int] = {}
        self.is_up = True
        self.is_stopped = False
        self.gateway = self._life.enter_context(start_gateway(**self._options))
        self._options["port"] = int(self.gateway.api_url.rsplit(":", 1)[1].split("/")[0])
        self._options["admin_port"] = int(self.gateway.admin_url.rsplit(":", 1)[1])
        self._at = clock_start

    @property
    def account(self) -> str:
        return self.gateway.account

    def kill(self) -> None:
        self.read_strikes()
        self._at = self.gateway.now()
        self.gateway.kill()
        self._life.close()
        self.is_up = False
        self._armed = {}

    def start(self) -> None:
        self._life = contextlib.ExitStack()
        self.gateway = self._life.enter_context(start_gateway(**self._options))
        self.is_up = True
        self.set_clock(self._at)
        self.gateway.run_clock(self._speed)

    def stop(self) -> None:
        self.gateway.process.send_signal(signal.SIGSTOP)
        self.is_stopped = True

    def go_on(self) -> None:
        self.is_stopped = False
        self.gateway.process.send_signal(signal.SIGCONT)

    def set_clock(self, moment: datetime) -> None:
        with contextlib.suppress(httpx.HTTPStatusError):  # it stands later already
            self.gateway.set_clock(moment)

    def run_clock(self, speed: float) -> None:
        self._speed = speed
        self.gateway.run_clock(speed)

    def arm(self, fault: dict[str, Any]) -> None:
        self.read_strikes()
        self._armed.pop(fault["id"], None)
        self.gateway.arm_fault(fault["id"], **{name: value for name, value in fault.items() if name != "id"})

    def disarm_all(self) -> None:
        self.read_strikes()
        for fault_id in [fault["id"] for fault in self.gateway.admin("GET", "/admin/fault")]:
            self.gateway.disarm_fault(fault_id)
        self._armed = {}

    def read_strikes(self) -> None:
        """Count what has struck since the last look."""
        for fault in self.gateway.admin("GET", "/admin/fault"):
            self.struck[fault["id"]] += fault["struck"] - self._armed.get(fault["id"], 0)
            self._armed[fault["id"]] = fault["struck"]

    def close(self) -> None:
        if self.is_stopped:
            self.go_on()
        self._life.close()
