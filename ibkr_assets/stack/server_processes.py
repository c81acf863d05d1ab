"""What an earlier life of the embedded Postgres left behind: a server nobody holds, its children, a stale pid file.

What goes here: finding the processes that really belong to one cluster directory, and ending those. What does not:
deciding when (`stack.postgres`). A process is only ever signalled by its id, after its working directory was seen to
be the cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PID_FILE = "postmaster.pid"

#: Linux tells the working directory of a process; elsewhere its command line has to do.
_HAS_PROC = Path("/proc/self/cwd").exists()


def clear_leftovers(cluster: Path, *, grace_s: float = 10.0) -> list[int]:
    """End every server process of this cluster and remove a pid file without a server. Returns the ids ended.

    The caller holds the data directory: nothing else may be running on it on purpose.
    """
    postmaster = recorded_pid(cluster)
    if postmaster is not None and is_ours(postmaster, cluster):
        _signal(postmaster, signal.SIGINT)
        if not _wait_gone([postmaster], cluster, grace_s):
            _signal(postmaster, signal.SIGKILL)
    left = processes_of(cluster)
    # Children of a killed server end by themselves as soon as they look at it.
    if not _wait_gone(left, cluster, grace_s / 5):
        for pid in processes_of(cluster):
            _signal(pid, signal.SIGKILL)
        _wait_gone(left, cluster, grace_s)
    (cluster / PID_FILE).unlink(missing_ok=True)
    return left if postmaster is None or postmaster in left else [postmaster, *left]


def recorded_pid(cluster: Path) -> int | None:
    """The server's id as its pid file says; None without a file, or with one that was cut short."""
    with suppress(FileNotFoundError, ValueError, IndexError):
        return int((cluster / PID_FILE).read_text(encoding="utf-8").splitlines()[0])
    return None


def is_ours(pid: int, cluster: Path) -> bool:
    """True when the process is alive and works on this cluster; ids are reused, so the file alone proves nothing."""
    if _HAS_PROC:
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == cluster.resolve()
        except OSError:
            return False
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "postgres" in shown.stdout and str(cluster) in shown.stdout


def processes_of(cluster: Path) -> list[int]:
    """All live processes of the cluster, as far as the system lets us see."""
    if not _HAS_PROC:
        pid = recorded_pid(cluster)
        return [pid] if pid is not None and is_ours(pid, cluster) else []
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if pid != os.getpid() and is_ours(pid, cluster) and _is_server(pid)]


def _is_server(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name.startswith("postgres")
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_gone(pids: list[int], cluster: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(is_ours(pid, cluster) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
