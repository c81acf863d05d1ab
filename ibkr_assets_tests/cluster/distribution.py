"""A backfill and a sweep over one worker, over two, and over two of which one is lost: rows, seconds, digests.

Every process is a container of docker-compose.yml with its own command (`ibkr_assets_tests.compose.engine`), and each
worker is on a machine of its own: it reaches the broker, Postgres and MLflow over a network, and nothing else. Bars are
those of the real tape, each symbol many times: copy k has prices of 1 + k/1000 times the real ones, in whole cents, and
k more shares a bar. To be run in namespaces of its own (`engine.run_isolated`).
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import yaml

from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi
from ibkr_assets_tests.compose.engine import Container, Engine
from ibkr_assets_tests.compose.session import write_secrets
from ibkr_assets_tests.fakes.tape import real_bars

#: FB is left out: it began to trade in the middle of the warm-up.
SOURCES = ("AAPL", "GOOG", "IBM", "MSFT")
FIRST, LAST = date(2012, 6, 1), date(2012, 11, 30)
SWEPT = 20
GRID = ["fast=5:29:1", "slow=30:69:1"]
_OWN = "/etc/ibkr_assets/own"
_BOUND_S = 900.0
_WEBSERVER = "http://webserver:3000"
#: Every value of a bar, a verdict and a feature row; not when or by whom it was stored.
_ROWS = (
    "select count(*), md5(string_agg(row, ' ' order by row)) from ("
    "select (conid, opened_at, version, open, high, low, close, volume)::text as row from md.bar union all "
    "select (conid, opened_at, verdict, reason)::text from md.bar_verdict union all "
    'select (conid, opened_at, "values")::text from research.feature) r'
)
_CHUNKS = "select rows from research.sweep_chunk order by chunk"
_FORGET = (
    "set session_replication_role = replica; truncate md.bar, md.bar_verdict, md.bar_epoch, md.gap, research.feature, "
    "research.feature_state, research.feature_input, research.sweep_chunk cascade"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One piece of work as it went: rows that are there afterwards and their digest, and how many runs it took."""

    work: str
    workers: str
    rows: int
    runs: int
    seconds: float
    digest: str


def main(work: Path, symbols: int, parts: int) -> None:
    """The whole table; it is written to `work/told.json`, and after each line."""
    known = write_secrets(work / "secrets")
    _write_own(work / "own", symbols)
    engine = Engine(work, {"OWN_DIRECTORY": str(work / "own"), "IBKR_ASSETS_DAGSTER": "cluster"})
    lines: list[Line] = []
    try:
        engine.start("code", "webserver", "daemon", "broker", "mlflow")
        engine.wait("the daemon", lambda: "Instance is configured" in engine.log("daemon"))
        bench = _Bench(engine, known, symbols, parts)
        for workers, is_lost in ((1, False), (2, False), (2, True)):
            machines = [bench.add_worker() for _ in range(workers)]
            for kind in ("backfill", "sweep"):
                lines.append(bench.measure(kind, machines, is_lost=is_lost))
                (work / "told.json").write_text(json.dumps([asdict(line) for line in lines], indent=2))
                sys.stdout.write(f"{lines[-1]}\n")
                sys.stdout.flush()
                if is_lost:
                    machines = [machines[0], bench.add_worker()]
            for machine in machines:
                machine.lose()
            bench.forget()
    finally:
        engine.stop()


class _Bench:
    """A platform whose runs go to workers."""

    def __init__(self, engine: Engine, known: dict[str, str], symbols: int, parts: int) -> None:
        self._engine, self._symbols, self._parts = engine, symbols, parts
        self._url = f"postgresql://postgres:{known['postgres_password']}@postgres:5432/platform"
        self._machines = 0

    def add_worker(self) -> Container:
        """A worker on a new machine, once it takes runs."""
        self._machines += 1
        name = f"m{self._machines}"
        machine = self._engine.start_elsewhere("worker", name)
        self._engine.wait(f"worker {name}", lambda: "ready." in self._engine.log(name), bound_s=_BOUND_S)
        return machine

    def measure(self, kind: str, machines: list[Container], *, is_lost: bool) -> Line:
        """Have the work done; with `is_lost` the last machine is lost as soon as it has begun a run."""
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self._backfill if kind == "backfill" else self._sweep)
            if is_lost:
                self._wait("a run that it has begun", lambda: self._is_at_work(machines[-1]))
                machines[-1].lose()
            runs = done.result(_BOUND_S)
        seconds = round(time.monotonic() - began, 1)
        rows, digest = self._stored() if kind == "backfill" else self._ranked()
        told = f"{len(machines)}, one lost" if is_lost else str(len(machines))
        return Line(kind, told, rows, runs, seconds, digest)

    def _stored(self) -> tuple[int, str]:
        with psycopg.connect(self._url) as connection:
            row = connection.execute(_ROWS).fetchone()
        assert row is not None
        return int(row[0]), str(row[1])

    def _ranked(self) -> tuple[int, str]:
        """How many sets were tried, and a digest of their figures in the order of the grid."""
        with psycopg.connect(self._url) as connection:
            chunks = [zlib.decompress(packed) for (packed,) in connection.execute(_CHUNKS).fetchall()]
        sets = sum(len(json.loads(chunk)[1]) for chunk in chunks)
        return sets, hashlib.md5(b" ".join(chunks), usedforsecurity=False).hexdigest()

    def forget(self) -> None:
        """Empty the tables that the work fills."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(_FORGET)

    def _backfill(self) -> int:
        done = self._engine.run(
            "cli", "backfill", "--from", str(FIRST), "--to", str(LAST), "--runs", str(self._parts), "--retries", "2",
            "--json", timeout_s=_BOUND_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["attempts"])

    def _sweep(self) -> int:
        names = copies(self._symbols)[:SWEPT]
        config = {"strategy": "sma_cross", "symbols": names, "grid": GRID, "chunks": self._parts}
        with DagsterApi(_WEBSERVER, LOCATION) as dagster:
            before = {run.run_id for run in dagster.runs("sweep", {})}
            dagster.launch("sweep", partition=None, config={"ops": {"sweeps": {"config": config}}}, tags={})
            while True:
                runs = [run for run in dagster.runs("sweep", {}) if run.run_id not in before]
                if sum(run.is_success for run in runs) == self._parts:
                    return len(runs)
                time.sleep(1.0)

    def _is_at_work(self, machine: Container) -> bool:
        told = self._engine.log(machine.name)
        return told.count(" RUN_START ") > told.count(" RUN_SUCCESS ")

    def _wait(self, what: str, condition: Callable[[], Any]) -> None:
        self._engine.wait(what, condition, bound_s=_BOUND_S)


def copies(count: int) -> list[str]:
    """Names of the symbols: so many of each real one."""
    return [f"{SOURCES[number % len(SOURCES)]}{number // len(SOURCES)}" for number in range(count)]


def _write_own(directory: Path, symbols: int) -> None:
    """Settings, instruments and a file of bars for each symbol, as a user's own directory holds them."""
    bars = directory / "bars"
    bars.mkdir(parents=True)
    tape = {symbol: real_bars(symbol, start=date(2011, 6, 1)) for symbol in SOURCES}
    rows = ["symbol,conid"]
    for number, name in enumerate(copies(symbols)):
        frame = tape[SOURCES[number % len(SOURCES)]][["opened_at", "open", "high", "low", "close", "volume"]].copy()
        k = number // len(SOURCES)
        prices = ["open", "high", "low", "close"]
        frame[prices] = (frame[prices] * (1 + k / 1000)).round(2)
        frame["volume"] += k
        frame.assign(symbol=name).to_parquet(bars / f"{name}.parquet", index=False)
        rows.append(f"{name},{10_000 + number}")
    (directory / "instruments.csv").write_text("\n".join(rows) + "\n")
    settings = {
        "market": {"symbols": copies(symbols)},
        "sources": {"bars": "directory", "directory": f"{_OWN}/bars", "instruments": f"{_OWN}/instruments.csv"},
    }
    (directory / "settings.yaml").write_text(yaml.safe_dump(settings))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
