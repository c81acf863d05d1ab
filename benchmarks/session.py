"""One session of the whole chain on the running stack: bars fetched, five assets, orders sent and filled.

The figure to compare with is the predecessor's: 30 to 40 s for two symbols. The stack starts in a directory of its
own, replays, and stops. At the scale `full` also with 500 symbols: there most of a session is IBKR's ten requests a
second, so what the bars wait for it is told apart. The first session fetches what indicators need and buys the most.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.many_symbols import strategies_file, symbols_of, write_tape
from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi
from ibkr_assets.risk.simulated import SIMULATED

SESSIONS = {5: 20, 500: 5}
SCALES = {"small": (5,), "full": (5, 500)}
CLOCK_START = "2012-10-01T13:00:00+00:00"
LAST_SESSION = "2013-03-01"
_TOKEN = "benchmark"  # noqa: S105 - of a gateway that lives as long as this
_STEPS = (
    "query($f: RunsFilter) { runsOrError(filter: $f) { ... on Runs { results {"
    " tags { key value } stepStats { stepKey startTime endTime } } } } }"
)


@dataclass(frozen=True, slots=True)
class Replay:
    """The summary of one replay, as `up --json` prints it, and the median seconds of each asset after the first."""

    summary: dict[str, Any]
    steps: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The median seconds a session, and what was done in them."""
        seconds = dict(self.summary["seconds"])
        figures = {**seconds.pop("median_by_phase"), **seconds}
        done = (
            f"B8 replay: {self.summary['sessions']} sessions of {len(self.summary['symbols'])} symbols, "
            f"{self.summary['fills']} fills, {self.summary['dagster_runs']['success']} Dagster runs"
        )
        text = [done, "    " + ", ".join(f"{name} {value:.2f} s" for name, value in figures.items())]
        if self.steps:
            text.append("    of the run: " + ", ".join(f"{name} {value:.2f} s" for name, value in self.steps.items()))
            rest = figures["per_session_median"] - self.steps["raw_bars"]
            text.append(f"    beside raw_bars, which waits for the broker's pacing: {rest:.2f} s")
        return text


def run(scale: str = "small") -> Iterator[Replay]:
    """Replay and read the summary, at each number of symbols of the scale."""
    for symbols in SCALES[scale]:
        with tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as data_dir:
            Path(data_dir).chmod(0o755)
            yield _replay(Path(data_dir), []) if symbols == 5 else _replay_many(Path(data_dir), symbols)


def _replay_many(directory: Path, count: int) -> Replay:
    """On a gateway of our own, whose tape has so many symbols."""
    symbols = symbols_of(count)
    write_tape(directory / "tape", symbols)
    strategies = directory / "strategies.yaml"
    strategies.write_text(strategies_file(symbols), encoding="utf-8")
    with _gateway(directory / "tape") as (url, admin):
        limits = {**SIMULATED, "sectors": dict.fromkeys(symbols, "technology"), "allowed_symbols": symbols}
        environment = {
            "IBKR_ASSETS_MODE": "sim", "IBKR_ASSETS_ACCOUNT": "DU1000001",
            "IBKR_ASSETS_GATEWAY_URL": url, "IBKR_ASSETS_CLOCK_URL": f"{admin}/clock",
            "IBKR_ASSETS_ADMIN_TOKEN": _TOKEN, "IBKR_ASSETS__MARKET__SYMBOLS": json.dumps(symbols),
            "IBKR_ASSETS__MARKET__LAST_SESSION": LAST_SESSION,
            **{
                f"IBKR_ASSETS__RISK__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
                for name, value in limits.items()
            },
        }  # fmt: skip
        return _replay(directory, ["--strategies", str(strategies)], environment, SESSIONS[count])


def _replay(
    directory: Path, more: Sequence[str], environment: Mapping[str, str] | None = None, sessions: int = SESSIONS[5]
) -> Replay:
    """Without `--once` the stack stays when it has replayed, so that Dagster can still be asked."""
    command = [sys.executable, "-m", "ibkr_assets.cli", "up", "--sessions", str(sessions), "--json", *more]
    with subprocess.Popen(
        [*command, "--data-dir", str(directory / "stack")], stdout=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {})},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            text = ""
            for line in process.stdout:
                text += line
                if line == "}\n":
                    break
            if not text:
                raise RuntimeError(f"the stack ended with {process.wait()} and no summary; what it said is above")
            summary = json.loads(text)
            return Replay(summary, _steps(summary["urls"]["dagster"]))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)


def _steps(url: str) -> dict[str, float]:
    """Median seconds of each asset of the sessions' runs, the first left out: it fetches what indicators need."""
    with DagsterApi(url, LOCATION) as dagster:
        runs = dagster.ask(_STEPS, f={"pipelineName": "trading_strategy"})["runsOrError"]["results"]
    runs.sort(key=lambda run: next(tag["value"] for tag in run["tags"] if tag["key"] == "dagster/partition"))
    seconds: dict[str, list[float]] = {}
    for one in runs[1:]:
        for step in one["stepStats"]:
            seconds.setdefault(step["stepKey"], []).append(step["endTime"] - step["startTime"])
    return {name: statistics.median(values) for name, values in seconds.items()}


@contextmanager
def _gateway(tape: Path) -> Iterator[tuple[str, str]]:
    """A simulated gateway with IBKR's own pacing; its API's address and that of its clock."""
    command = [
        sys.executable, "-m", "ibkr_assets.simulator", "--port", "0", "--admin-port", "0", "--admin-token", _TOKEN,
        "--tape", str(tape), "--account", "DU1000001", "--clock-start", CLOCK_START,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found: dict[str, str] = {}
            for line in process.stdout:
                if match := re.match(r"(ready|admin) (http\S+)", line):
                    found[match[1]] = match[2]
                if len(found) == 2:
                    break
            yield found["ready"], found["admin"]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
