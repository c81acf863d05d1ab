"""The log files of a stack: one a process, appended to, put aside at a start when they have grown.

What a process writes into its log is its own business.
"""

from __future__ import annotations

from pathlib import Path

_ROTATE_BYTES = 10_000_000
_TAIL_BYTES = 16_384


def rotate(path: Path) -> None:
    """Put the log aside as `NAME.log.1`, over an older one, when it is larger than 10 MB."""
    if path.exists() and path.stat().st_size > _ROTATE_BYTES:
        path.replace(path.with_name(path.name + ".1"))


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines that say something, without trailing blanks; none when there is no log."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in lines if line.strip()][-count:]
