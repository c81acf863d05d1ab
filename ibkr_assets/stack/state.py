"""The data directory of a stack: one stack at a time on it, and a file that tells others where the stack is.

`stack.json` is what `settings.load` reads to find a running stack. What the stack's parts keep in the directory is
their own business; leftovers of an earlier stack that was killed are ended here, before a new one starts.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Self, TextIO

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.settings import STACK_FILE, STACK_LOCK, is_stack_running
from ibkr_assets.stack import keeper

_FIRST_SESSION_FILE = "first-session"
_LEFTOVERS_GRACE_S = 8.0
_LOCK_WAIT_S = 0.5


class DataDirectory:
    """A data directory that this process holds alone. Use as a context manager; entering takes the lock.

    Raises ConfigurationError naming the directory when it cannot be written, and the process that holds it when one
    does. On entering, processes of an earlier stack on this directory are gone.
    """

    def __init__(self, path: Path, *, say: Callable[[str], None] = lambda _line: None) -> None:
        self.path = path.absolute()
        self._say = say
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        """Make the directory, lock it, and end what an earlier stack left running on it."""
        try:
            is_new = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            if is_new:
                # Passable for the account that Postgres runs as when we are root; what is secret has modes of its own.
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock = (self.path / STACK_LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"data_dir: cannot write to {self.path}: {error.strerror}") from None
        self._take_lock(self._lock)
        if left := keeper.marked(self.marker):
            self._say(f"ending {len(left)} processes that an earlier stack left on {self.path}")
            keeper.end_all(set(), self.marker, _LEFTOVERS_GRACE_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove `stack.json` and give the lock back."""
        (self.path / STACK_FILE).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    @property
    def logs(self) -> Path:
        """Where each process has its log."""
        return self.path / "logs"

    @property
    def marker(self) -> str:
        """What the stack's processes carry in their environment to be told from others."""
        return str(self.path.resolve())

    def keep_first_session(self, asked: date | None, default: date) -> date:
        """The session where this directory's replay begins: as asked, as before, or the default; kept for later.

        An earlier one than before takes its place, so that what was replayed stays within Dagster's partitions.
        """
        path = self.path / _FIRST_SESSION_FILE
        before = date.fromisoformat(path.read_text(encoding="utf-8").strip()) if path.exists() else None
        start = asked or before or default
        if before is None or start < before:
            path.write_text(f"{start.isoformat()}\n", encoding="utf-8")
        return start

    def _take_lock(self, lock: TextIO) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)  # somebody may only be looking whether it is held
                    continue
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                lock.close()
                raise ConfigurationError(
                    f"data_dir: {self.path} is in use by the stack of process {holder}; "
                    "stop that one, or choose another --data-dir"
                ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()


@dataclass(slots=True)
class StackState:
    """What others are told of a running stack. `environment` has the variables that lead to it, secrets included."""

    mode: str
    started_at: str
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    urls: Mapping[str, str]
    processes: list[dict[str, Any]] = field(default_factory=list)

    def write(self, data_dir: Path) -> None:
        """Put `stack.json` in place, whole or not at all, readable by its owner only."""
        content = {
            "pid": os.getpid(),
            "started_at": self.started_at,
            "mode": self.mode,
            "environment": dict(self.environment),
            "ports": dict(self.ports),
            "urls": dict(self.urls),
            "processes": self.processes,
        }
        handle, name = tempfile.mkstemp(dir=data_dir, prefix=STACK_FILE)  # mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        Path(name).replace(data_dir / STACK_FILE)


def read_state(data_dir: Path) -> dict[str, Any] | None:
    """What the running stack of this directory says of itself; None when none runs."""
    if not is_stack_running(data_dir):
        return None
    try:
        state: dict[str, Any] = json.loads((data_dir / STACK_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None  # it has only just begun
    except PermissionError:
        raise ConfigurationError(f"data_dir: {data_dir / STACK_FILE} belongs to another user") from None
    return state
