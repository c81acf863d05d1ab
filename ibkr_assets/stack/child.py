"""One process of a stack: what it is to be, and what is known of it while it runs.

Starting it, watching it and stopping it is `stack.supervisor`; which ones there are is `stack.services`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ibkr_assets.stack.probes import Probe, is_always_ready


@dataclass(frozen=True, slots=True)
class Service:
    """One process, or with an empty `command` one step that is over when `prepare` returns.

    `prepare` runs in this process right before each start, `environment` is the whole environment, `directory` the
    working directory (None: ours), `after` names services that must be ready first. With `may_restart` a death is
    answered by a new start after a pause, otherwise it ends the stack. `user` is the account to run as, None for
    ours; `port` and `url` are for people.
    """

    name: str
    command: tuple[str, ...]
    log_path: Path
    probe: Probe = is_always_ready
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    prepare: Callable[[], None] | None = None
    after: tuple[str, ...] = ()
    may_restart: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    user: str | None = None
    ready_timeout_s: float = 120.0
    port: int | None = None
    url: str | None = None


class Child:
    """A service with what is known of its process.

    `state` is one of waiting, starting, ready, pausing, stopping and stopped.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.state = "waiting"
        self.since: datetime | None = None
        self.started_s = 0.0
        self.restarts = 0
        self.resume_s = 0.0
        self.stopping_s = 0.0
        self.is_group_asked = False

    def is_group_alive(self) -> bool:
        """Whether anything is left of it: the process, or children in its process group."""
        if self.process is None:
            return False
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def signal_group(self, number: int) -> None:
        """Signal the process and its children; nothing when there are none."""
        with contextlib.suppress(ProcessLookupError):
            if self.process is not None:
                os.killpg(self.process.pid, number)
