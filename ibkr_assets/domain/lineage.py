"""What a decision rests on, as it is kept beside the decision: values only.

What goes here: what a signal was decided from, and which code and settings decided. What does not: how it is stored
(`adapters.postgres`), and computing a decision again (`execution.replay`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Basis:
    """What one signal was decided from.

    `bars` are opening (aware UTC) and version of every bar that was shown, oldest first. `words` is the rule, `numbers`
    what it compared at the newest bar. `features` are all stored features there; `shown` those that the strategy
    reads, one value for each bar. None stands for a value that is missing or not finite.
    """

    words: str
    numbers: dict[str, float | None]
    bars: tuple[tuple[datetime, int], ...]
    shown: dict[str, list[float | None]]
    features: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Version:
    """What runs: SHA-256 (hex) of the code and of the settings that decide, and both for people."""

    code_sha256: str
    package_version: str
    git_commit: str | None
    config_sha256: str
    config: dict[str, Any]
