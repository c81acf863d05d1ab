"""What was sent to a gateway lately, shared by every process of this user on this machine.

IBKR counts requests by address, not by process: a limit that each process keeps for itself is no limit. What the
limits are goes to `pacing`. Stamps are monotonic seconds, which all processes of one machine share.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from ibkr_assets.domain.errors import ConfigurationError, Unavailable

_STILL_LOGGING_IN = "another process is still opening the brokerage session of this login"
_LOOK_S = 0.1


@dataclass(slots=True)
class Sent:
    """What was sent, by the name of the rule it counts for, and who waits; everything by the token of a request.

    `stamps` are the latest times at which the gateway can have seen a request; `queues` hold who waits, in order of
    arrival, with the time each was last seen waiting; `slots` the times until which a concurrent slot is held. The
    last four are the login's (`logins`) and its keep-alive's.
    """

    stamps: dict[str, dict[str, float]] = field(default_factory=dict)
    queues: dict[str, dict[str, float]] = field(default_factory=dict)
    slots: dict[str, float] = field(default_factory=dict)
    shut_until: float = 0.0
    strikes: int = 0
    login_failures: int = 0
    login_at: float = 0.0
    competed_at: float | None = None
    alive_at: float | None = None


class State(Protocol):
    """Exclusive access to what was sent; changes are kept when the block ends."""

    def locked(self) -> AbstractContextManager[Sent]:
        """What was sent, held until the block ends."""

    def login_turn(self, bound_s: float) -> AbstractContextManager[bool]:
        """One login at a time; yields True when another one was at it. Raises Unavailable after `bound_s`."""


class MemoryState:
    """For one process alone."""

    def __init__(self) -> None:
        self._sent = Sent()
        self._lock = threading.Lock()
        self._login_lock = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[Sent]:
        """Hold the lock of this object."""
        with self._lock:
            yield self._sent

    @contextmanager
    def login_turn(self, bound_s: float) -> Iterator[bool]:
        """Hold the login's lock of this object."""
        was_free = self._login_lock.acquire(blocking=False)
        if not was_free and not self._login_lock.acquire(timeout=bound_s):
            raise Unavailable(_STILL_LOGGING_IN)
        try:
            yield not was_free
        finally:
            self._login_lock.release()


class FileState:
    """For all processes of one user: a small file that is locked while it is read and written.

    Raises ConfigurationError when the folder is not private to this user.
    """

    def __init__(self, base_url: str, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"ibkr-assets-{os.getuid()}"
        self._path = self._folder / f"pacing-{hashlib.sha256(base_url.encode()).hexdigest()[:16]}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            stat = self._folder.lstat()
        except OSError as error:
            raise ConfigurationError(f"pacing folder {self._folder}: {error.strerror}") from None
        if stat.st_uid != os.getuid() or not self._folder.is_dir() or self._folder.is_symlink() or stat.st_mode & 0o022:
            raise ConfigurationError(f"pacing folder {self._folder}: belongs to, or can be written by, another user")

    @contextmanager
    def locked(self) -> Iterator[Sent]:
        """Hold the file's lock, over threads and processes alike."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            sent = _read(os.read(handle, 1 << 20))
            yield sent
            text = json.dumps(asdict(sent)).encode()
            os.pwrite(handle, text, 0)
            os.ftruncate(handle, len(text))
        finally:
            os.close(handle)

    @contextmanager
    def login_turn(self, bound_s: float) -> Iterator[bool]:
        """Hold a lock beside the file, over threads and processes alike; it ends with its holder."""
        give_up = time.monotonic() + bound_s
        had_to_wait = False
        handle = os.open(self._path.with_suffix(".login"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            while not _try_lock(handle):
                had_to_wait = True
                if time.monotonic() > give_up:
                    raise Unavailable(_STILL_LOGGING_IN)
                time.sleep(_LOOK_S)
            yield had_to_wait
        finally:
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(text: bytes) -> Sent:
    """A file cut short by a kill tells nothing that matters for longer than one window: start afresh."""
    try:
        values = json.loads(text)
        return Sent(
            {rule: _times(times) for rule, times in values["stamps"].items()},
            {rule: _times(times) for rule, times in values["queues"].items()},
            _times(values["slots"]),
            float(values["shut_until"]),
            int(values["strikes"]),
            int(values["login_failures"]),
            float(values["login_at"]),
            _time(values["competed_at"]),
            _time(values["alive_at"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Sent()


def _times(values: dict[str, float]) -> dict[str, float]:
    return {str(token): float(at) for token, at in values.items()}


def _time(value: float | None) -> float | None:
    return None if value is None else float(value)
