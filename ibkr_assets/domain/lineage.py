"""What a decision rests on, as it is kept beside the decision: values only.

What goes here: what a signal was decided from, which code and settings decided, and the first thing in which two such
records differ. What does not: how it is stored (`adapters.postgres`), and computing a decision again
(`execution.replay`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a strategy that compares its whole universe was shown of it: the same for all signals of a session.

    `sha256` (hex) names it by its content: versions and hashes of bars, and actions. `columns` are what was found by
    comparing. By conid, `bars` are opening (aware UTC) and version of every bar, oldest first, and `actions` as those
    of `Basis`.
    """

    sha256: str
    columns: tuple[str, ...]
    bars: Mapping[int, tuple[tuple[datetime, int], ...]]
    actions: Mapping[int, tuple[tuple[str, str, str], ...]]


@dataclass(frozen=True, slots=True)
class Basis:
    """What one signal was decided from.

    `bars` are opening (aware UTC) and version of every bar that was shown, oldest first. `words` is the rule, `numbers`
    what it compared at the newest bar. `features` are all stored features there; `shown` those that the strategy
    reads, one value for each bar. None stands for a value that is missing or not finite. `actions` are the splits and
    special dividends with effect till then (day, kind, value as text): prices were shown in the shares of that day.
    `comparison` is what a strategy that ranks its symbols read of all of them.
    """

    words: str
    numbers: dict[str, float | None]
    bars: tuple[tuple[datetime, int], ...]
    shown: dict[str, list[float | None]]
    features: dict[str, float | None]
    actions: tuple[tuple[str, str, str], ...] = ()
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """What runs: SHA-256 (hex) of the code and of the settings that decide, and both for people."""

    code_sha256: str
    package_version: str
    git_commit: str | None
    config_sha256: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that a stage of a decision has stored otherwise than it comes to now, both as plain values."""

    stage: str
    field: str
    stored: Any
    computed: Any


def first_difference(stage: str, stored: Mapping[str, Any], computed: Mapping[str, Any]) -> Difference | None:
    """The first field that is not the same, in the order of what is stored; None where all are."""
    for name in [*stored, *(name for name in computed if name not in stored)]:
        if stored.get(name) != computed.get(name):
            return Difference(stage, name, stored.get(name), computed.get(name))
    return None
