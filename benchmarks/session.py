"""One session of the whole chain on the running stack: bars fetched, five assets, orders sent and filled.

The figure to compare with is the predecessor's: 30 to 40 s for two symbols. The stack starts in a directory of its
own, replays, and stops.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SESSIONS = 20


@dataclass(frozen=True, slots=True)
class Replay:
    """The summary of one replay, as `up --once --json` prints it."""

    summary: dict[str, Any]

    def lines(self) -> list[str]:
        """The median seconds a session, and what was done in them."""
        seconds = dict(self.summary["seconds"])
        figures = {**seconds.pop("median_by_phase"), **seconds}
        done = (
            f"replay: {self.summary['sessions']} sessions of {len(self.summary['symbols'])} symbols, "
            f"{self.summary['fills']} fills, {self.summary['dagster_runs']['success']} Dagster runs"
        )
        return [done, "    " + ", ".join(f"{name} {value:.2f} s" for name, value in figures.items())]


def run() -> list[Replay]:
    """Replay and read the summary."""
    with tempfile.TemporaryDirectory(prefix="ibkr-assets-bench-") as data_dir:
        Path(data_dir).chmod(0o755)
        command = [sys.executable, "-m", "ibkr_assets.cli", "up", "--once", "--sessions", str(SESSIONS), "--json"]
        done = subprocess.run([*command, "--data-dir", data_dir], stdout=subprocess.PIPE, text=True, check=True)
        return [Replay(json.loads(done.stdout))]
