"""Run as a script beside a stack: when the stack's parent is killed outright, what is left of it is stopped here.

The parent holds the other end of standard input and never writes more than process groups. End of input without the
word `done` means that the parent is gone; its direct children got their death signal from the kernel
(`stack.leash`), and this process sees to the rest. Standard library only: it starts with `-I -S`.

    python -I -S keeper.py MARKER GRACE_SECONDS < groups       one line each: `+PGID`, `-PGID`, `done`
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK_VARIABLE = "STACK_OF_IBKR_ASSETS"


def marked(marker: str) -> list[int]:
    """Processes, this one excepted, whose environment carries the marker. Empty where there is no /proc."""
    wanted = f"{MARK_VARIABLE}={marker}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def signal_all(groups: set[int], marker: str, number: int) -> bool:
    """Signal the groups and whatever carries the marker. Returns whether anything was there."""
    is_any = False
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            is_any = True
    for pid in marked(marker):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            is_any = True
    return is_any


def end_all(groups: set[int], marker: str, grace_s: float) -> None:
    """Wait until all is gone; SIGTERM after a quarter of the time, SIGKILL at its end."""
    start = time.monotonic()
    is_asked = False
    while signal_all(groups, marker, 0) and (waited := time.monotonic() - start) < grace_s:
        if not is_asked and waited > grace_s / 4:
            signal_all(groups, marker, signal.SIGTERM)
            is_asked = True
        time.sleep(0.05)
    signal_all(groups, marker, signal.SIGKILL)


def main(marker: str, grace_s: float) -> None:
    """Read groups until the input ends, then act on how it ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        word = line.strip()
        if word == "done":
            return
        (groups.add if word.startswith("+") else groups.discard)(int(word[1:]))
    end_all(groups, marker, grace_s)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
