"""What launches happen on: Postgres, a gateway, a submitter at work, stored signals, and Dagster's own processes.

What goes here: the peers and how they are started and ended. What does not: the ways of doing things twice (`ways`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.migrate import migrate
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.stack.instance import write_instance
from ibkr_assets.stack.postgres import EmbeddedPostgres
from ibkr_assets_tests.defs.chain import FIVE, STRATEGY, Chain
from ibkr_assets_tests.fakes.tape import CONIDS
from ibkr_assets_tests.gateway import RunningGateway, start_gateway
from ibkr_assets_tests.launches import definitions

DAY = date(2012, 10, 1)
MODULE = "ibkr_assets_tests.launches.definitions"
BOUND_S = 300.0


@dataclass
class Stage:
    """The peers of one evening. `environment` is what every process of the product is given."""

    database: Database
    gateway: RunningGateway
    instance: dg.DagsterInstance
    directory: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def create_run(self, strategy_id: str, *, job: str = "orders_once", **tags: str) -> str:
        """A run that nothing has launched yet; returns its id."""
        found = ReconstructableRepository.for_module(MODULE, "defs").get_reconstructable_job(job)
        run = self.instance.create_run_for_job(
            found.get_definition(),
            job_code_origin=found.get_python_origin(),
            run_config=definitions.config_of(strategy_id),
            tags={"dagster/partition": str(DAY), **tags},
        )
        return run.run_id

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """A process of the product or of Dagster, with a log of its name."""
        with (self.directory / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], env=self.environment, stdout=log, stderr=log, text=True
            )
        self.processes.append(process)
        return process

    def work(self, *run_ids: str) -> None:
        """Execute runs, each in a process of its own, all at once."""
        workers = [self.start("worker", "-m", "ibkr_assets_tests.launches.worker", run_id) for run_id in run_ids]
        for worker in workers:
            worker.wait(BOUND_S)

    def wait(self, what: str, condition: Callable[[], Any], *, bound_s: float = BOUND_S) -> Any:
        """Wait until `condition` gives something true, which is returned."""
        deadline = time.monotonic() + bound_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; see {self.directory}")
            time.sleep(0.05)
        return found

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the platform's database."""
        with self.database.connect() as connection:
            return connection.execute(query, values).fetchall()

    def workers_of(self, run_id: str) -> set[int]:
        """The processes that said they execute steps of a run."""
        said = (entry.dagster_event for entry in self.instance.all_logs(run_id))
        texts = (event.message or "" for event in said if event is not None)
        return {int(pid) for text in texts for pid in re.findall(r"Executing steps in process \(pid: (\d+)\)", text)}

    def close(self) -> None:
        """End whatever still runs, the newest first."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@contextlib.contextmanager
def open_stage(strategies: tuple[str, ...]) -> Iterator[Stage]:
    """Everything up to the signals of one session and a submitter that waits for orders; nothing is left afterwards."""
    data_dir = Path(tempfile.mkdtemp(prefix="ibkr-assets-launches-"))
    data_dir.chmod(0o755)
    server = EmbeddedPostgres(data_dir, settings={"fsync": "off"})
    is_good = False
    try:
        server.start()
        server.ensure_databases()
        url = server.url("platform", "ibkr_platform")
        migrate(url)
        directory = data_dir / "work"
        directory.mkdir()
        database = Database(url)
        closes_at = exchange_calendar("XNYS").session(DAY).closes_at
        with start_gateway(clock_start=closes_at, extra=("--opening-cash", "1000000")) as gateway:
            gateway.step_clock(20 * 60)
            _decide_signals(database, url, gateway, strategies)
            environment = _environment(server, gateway, directory)
            write_instance(Path(environment["DAGSTER_HOME"]), postgres_url=server.url("dagster"))
            with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
                stage = Stage(database, gateway, instance, directory, environment)
                try:
                    yield stage
                    is_good = True
                finally:
                    stage.close()
                    database.close()
    finally:
        server.stop()
        if is_good:
            shutil.rmtree(data_dir, ignore_errors=True)


def _decide_signals(database: Database, url: str, gateway: RunningGateway, strategies: tuple[str, ...]) -> None:
    """The chain up to its signals, of strategies that differ in size."""
    wanted = tuple(replace(STRATEGY, id=name, sizing=f"percent:0.{80 + n}") for n, name in enumerate(strategies))
    with dg.DagsterInstance.ephemeral() as instance:
        chain = Chain(database, url, instance, strategies=wanted, gateway=gateway, is_reconciled=False)
        chain.run(DAY, select=FIVE[:4])


def _environment(server: EmbeddedPostgres, gateway: RunningGateway, directory: Path) -> dict[str, str]:
    return {name: v for name, v in os.environ.items() if not name.startswith(("IBKR_ASSETS", "DAGSTER"))} | {
        "IBKR_ASSETS_MODE": "sim",
        "IBKR_ASSETS_DATABASE_URL": server.url("platform", "ibkr_platform"),
        "IBKR_ASSETS_GATEWAY_URL": gateway.api_url,
        "IBKR_ASSETS_CLOCK_URL": gateway.clock_url,
        "IBKR_ASSETS_ACCOUNT": gateway.account,
        "IBKR_ASSETS_DATA_DIR": str(directory),
        "IBKR_ASSETS__GATEWAY__PACE": "1000",
        "IBKR_ASSETS__MARKET__FIRST_SESSION": "2012-05-18",
        "IBKR_ASSETS__RISK__ALLOWED_SYMBOLS": json.dumps(sorted(CONIDS)),
        "DAGSTER_HOME": str(directory / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        definitions.DAY: str(DAY),
    }
