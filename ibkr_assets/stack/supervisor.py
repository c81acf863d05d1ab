"""Starts the processes of a stack in order, watches them, and leaves none behind.

Knows nothing of what the processes are: that is `stack.services`. One thread starts all of them and lives as long as
they do, because the kernel's death signal to a child (`stack.leash`) follows the thread that started it. Each child
leads a session of its own, so that its children can be signalled with it; `stack.keeper` acts when this process is
killed outright.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from ibkr_assets.domain.errors import StackFailure
from ibkr_assets.stack import keeper, leash
from ibkr_assets.stack.child import Child, Service
from ibkr_assets.stack.logs import last_lines, rotate

_TICK_S = 0.05
_RESTART_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
#: Ready for this long, a service has proven itself and its restarts are forgotten.
_PROVEN_S = 60.0
#: A crash that was asked for (`execution.crashpoints`) happens once, not again after the restart.
_ONCE_ONLY = ("IBKR_ASSETS_CRASH",)


class Supervisor:
    """A running set of services. Use as a context manager: leaving it stops everything, in reverse order.

    `marker` names the stack in its processes' environment, so that strays can be told from other processes; `say`
    gets lines for a person; `on_change` gets the processes, on the supervisor's own thread, when one came or went.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        marker: str,
        say: Callable[[str], None],
        on_change: Callable[[list[dict[str, Any]]], None] = lambda _processes: None,
        grace_s: float = 10.0,
    ) -> None:
        self._children = {service.name: Child(service) for service in services}
        self._marker = marker
        self._say = say
        self._on_change = on_change
        self._grace_s = grace_s
        self._stopping = threading.Event()
        self._all_ready = threading.Event()
        self._failure: Exception | None = None
        self._keeper: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor")

    def __enter__(self) -> Self:
        """Start everything and wait until all of it is ready. Raises StackFailure, or what a `prepare` raised."""
        try:
            self._thread.start()
            while self._thread.is_alive() and not self._all_ready.wait(0.1):
                pass
            self.check()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise what ended the stack, if something did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop everything that runs, dependents first; returns when nothing is left."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def hurry(self) -> None:
        """Shorten the time that a stopping process gets to nothing."""
        self._grace_s = 0.0

    def processes(self) -> list[dict[str, Any]]:
        """What runs: name, pid, state, since (UTC), port, url, log, restarts; steps left out."""
        return [
            {
                "name": child.service.name,
                "pid": child.process.pid if child.process else None,
                "state": child.state,
                "since": child.since.isoformat(timespec="seconds") if child.since else None,
                "port": child.service.port,
                "url": child.service.url,
                "log": str(child.service.log_path),
                "restarts": child.restarts,
            }
            for child in self._children.values()
            if child.service.command
        ]

    def _run(self) -> None:
        try:
            self._start_keeper()
            while not self._stopping.wait(_TICK_S):
                for child in self._children.values():
                    self._advance(child)
                if not self._all_ready.is_set() and all(c.state == "ready" for c in self._children.values()):
                    self._all_ready.set()
        except Exception as error:  # noqa: BLE001 - handed to the thread that asked, by check()
            self._failure = error
        finally:
            self._stop_all()

    def _advance(self, child: Child) -> None:
        now = time.monotonic()
        service = child.service
        if child.state == "waiting":
            if all(self._children[name].state == "ready" for name in service.after):
                self._start(child)
        elif child.state == "pausing":
            if now >= child.resume_s:
                self._start(child)
        elif child.process is not None and child.process.poll() is not None:
            self._died(child, child.process.returncode)
        elif child.state == "starting":
            if service.probe():
                child.state = "ready"
                self._say(f"{service.name:<12} ready {time.monotonic() - child.started_s:6.1f} s")
                self._on_change(self.processes())
            elif now - child.started_s > service.ready_timeout_s:
                raise StackFailure(
                    f"{service.name}: not ready after {service.ready_timeout_s:.0f} s{self._log_of(service)}"
                )

    def _start(self, child: Child) -> None:
        service = child.service
        child.started_s = time.monotonic()
        child.since = datetime.now(UTC)
        rotate(service.log_path)
        if service.prepare is not None:
            service.prepare()
        if service.command:
            environment = {**service.environment, keeper.MARK_VARIABLE: self._marker}
            if child.restarts:
                environment = {key: value for key, value in environment.items() if key not in _ONCE_ONLY}
            with service.log_path.open("ab") as log:
                child.process = subprocess.Popen(
                    [
                        sys.executable, "-I", "-S", leash.__file__,
                        str(os.getpid()), str(int(service.stop_signal)), service.user or "", *service.command,
                    ],
                    env=environment, cwd=service.directory, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            self._tell_keeper(f"+{child.process.pid}")
        child.state = "starting"

    def _died(self, child: Child, code: int) -> None:
        service = child.service
        child.signal_group(signal.SIGKILL)  # what the leader left behind
        text = f"{service.name}: {_ending(code)}"
        if child.state == "starting" and child.restarts == 0:
            raise StackFailure(f"{text} before it was ready{self._log_of(service)}")
        if child.state == "ready" and time.monotonic() - child.started_s > _PROVEN_S:
            child.restarts = 0
        if not service.may_restart or child.restarts == len(_RESTART_PAUSES_S):
            raise StackFailure(f"{text}, which ends the stack{self._log_of(service)}")
        pause = _RESTART_PAUSES_S[child.restarts]
        child.restarts += 1
        child.state, child.resume_s = "pausing", time.monotonic() + pause
        self._say(f"{text}; restart {child.restarts} of {len(_RESTART_PAUSES_S)} in {pause:g} s ({service.log_path})")
        self._on_change(self.processes())

    def _log_of(self, service: Service) -> str:
        lines = last_lines(service.log_path, 8)
        return f"; see {service.log_path}" + "".join(f"\n    {line}" for line in lines)

    def _stop_all(self) -> None:
        live = {name: child for name, child in self._children.items() if child.is_group_alive()}
        while live:
            needed = {needed for name in live for needed in self._needs(name)}
            for name, child in list(live.items()):
                if name not in needed and self._stop_step(child):
                    del live[name]
            time.sleep(_TICK_S / 2)
        keeper.end_all(set(), self._marker, min(2.0, self._grace_s))
        self._tell_keeper("done")
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            self._keeper.wait()

    def _needs(self, name: str) -> set[str]:
        """All services that this one needs, also by way of others: a step in between is no process to wait for."""
        after = self._children[name].service.after
        return set(after).union(*(self._needs(other) for other in after))

    def _stop_step(self, child: Child) -> bool:
        """Move one child towards its end. Returns whether nothing of it is left."""
        now = time.monotonic()
        process = child.process
        if process is None or not child.is_group_alive():
            child.state = "stopped"
            return True
        if child.state != "stopping":
            child.state, child.stopping_s = "stopping", now
            process.send_signal(child.service.stop_signal)
        elif now - child.stopping_s > self._grace_s:
            child.signal_group(signal.SIGKILL)
            process.wait()
            child.state = "stopped"
            return True
        elif process.returncode is not None and not child.is_group_asked:
            child.is_group_asked = True
            child.signal_group(signal.SIGTERM)  # the leader is gone; its children are asked as well
        return False

    def _start_keeper(self) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, self._marker, str(self._grace_s)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip

    def _tell_keeper(self, line: str) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.write(line + "\n")
                self._keeper.stdin.flush()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
