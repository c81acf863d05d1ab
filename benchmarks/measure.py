"""Run two ways of doing one thing in turn, and say how they compare.

What goes here: timing and the table. What does not: what is measured (a module each beside this one). Nothing here
asserts a speed: machines are noisy, ratios of one run are what can be compared.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, the first of them words and the others numbers as they are to be read."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self) -> list[str]:
        """The title, the columns, and a line a row."""
        widths = [max(len(row[place]) for row in (self.columns, *self.rows)) for place in range(len(self.columns))]
        text = [self.title]
        for row in (self.columns, *self.rows):
            cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            text.append("    " + "  ".join([row[0].ljust(widths[0]), *cells]))
        return text


def peak_mib(way: Callable[[], object]) -> float:
    """What the process held at most while it ran, beyond what it held before; libraries are loaded by then."""
    status = Path("/proc/self/status")
    gc.collect()
    before = _kib(status.read_text(), "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
    way()
    return (_kib(status.read_text(), "VmHWM") - before) / 1024


def _kib(status: str, name: str) -> int:
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


class Took(float):
    """Seconds that a way took by its own clock, because it runs in a process of its own: it returns them."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Median seconds of ours and of each other way, with the rows that were handled, and what else is to be said."""

    name: str
    rows: int
    ours_s: float
    others_s: dict[str, float]
    note: str = ""

    def lines(self) -> list[str]:
        """One line for ours, one for each other way with the ratio."""
        text = [f"{self.name}: {self.rows:,} rows, ours {self.ours_s:.3f} s ({self.rows / self.ours_s:,.0f} rows/s)"]
        for other, seconds in self.others_s.items():
            text.append(f"    {other:<44} {seconds:8.3f} s   ours is {seconds / self.ours_s:5.2f} x its speed")
        return [*text, f"    {self.note}"] if self.note else text


def compare(
    name: str,
    rows: int,
    ours: Callable[[], object],
    others: dict[str, Callable[[], object]],
    *,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time all ways alternately, `rounds` times each, and take the medians. `clock` may count CPU seconds instead.

    A way that returns `Took` has timed itself.
    """
    seconds: dict[str, list[float]] = {"": [], **{other: [] for other in others}}
    for _ in range(rounds):
        for way, run in (("", ours), *others.items()):
            began = clock()
            result = run()
            seconds[way].append(float(result) if isinstance(result, Took) else clock() - began)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    return Comparison(name, rows, medians.pop(""), medians)
