"""One kill drill: orders stream, permission is withdrawn, and the gateway's own log says when the last one came.

What goes here: the ways to kill, one drill, and what it measured. What does not: the peers (`stage`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.execution.kill import remove_kill_file, write_kill_file
from ibkr_assets_tests.drills.stage import Stage

#: After the kill, and again after the restart: what is not sent by then is not on its way.
LISTEN_S = 1.2
LIMIT_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """One drill. `last_send_s` is how long after the kill the gateway received the last order, 0 for before it.

    `waiting` orders were approved and unsent when the listening ended: without any, silence would prove nothing.
    """

    way: str
    streamed: int
    last_send_s: float
    after_restart: int
    waiting: int
    violations: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """The order's promise: nothing later than a second, nothing at all after the restart."""
        is_loaded = self.streamed > 0 and self.waiting > 0
        return is_loaded and self.last_send_s <= LIMIT_S and not self.after_restart and not self.violations


def _control(action: str, scope: str) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        where = scope.format(ref=stage.ref)
        stage.ledger.control(action, scope=where, actor="drill", session="drill", reason="drill")

    return act


def _file(level: str) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        write_kill_file(stage.directory, actor="drill", session="drill", reason="drill", level=level)

    return act


#: The ways to kill while everything runs. Time counts from before the act; of a command, from its end.
WAYS: dict[str, Callable[[Stage], None]] = {
    "row, global": _control("kill", "global"),
    "row, account": _control("kill", "account:{ref}"),
    "row, kill_cancel": _control("kill_cancel", "global"),
    "row, disarm": _control("disarm", "global"),
    "file, kill": _file("kill"),
    "file, kill_cancel": _file("kill_cancel"),
    "command": lambda stage: stage.command("kill", "--reason", "drill"),
    "command, --local": lambda stage: stage.command("kill", "--local", "--reason", "drill"),
}


def drill(stage: Stage, way: str) -> Outcome:
    """Kill under load, listen, kill the submitter too, start it again, and listen once more."""
    streamed = _await_load(stage)
    is_command = way.startswith("command")
    if not is_command:
        killed_at = time.monotonic()
    WAYS[way](stage)
    if is_command:
        killed_at = time.monotonic()
    time.sleep(LISTEN_S)
    return _finish(stage, way, streamed, killed_at)


def drill_without_postgres(stage: Stage) -> Outcome:
    """The same while Postgres is stopped: the kill is the file, and it holds when Postgres is back."""
    streamed = _await_load(stage)
    stage.server.stop()
    killed_at = time.monotonic()
    WAYS["command, --local"](stage)
    time.sleep(LISTEN_S)
    stage.server.start()
    stage.wait("orders wait again", lambda: stage.out() >= 0)
    time.sleep(LISTEN_S)
    return _finish(stage, "Postgres down, file", streamed, killed_at)


def _await_load(stage: Stage) -> int:
    """Stream until orders go out. Returns how many did."""
    before = len(stage.sends())
    stage.stream(is_on=True)
    stage.wait("orders stream", lambda: len(stage.sends()) >= before + 4)
    return len(stage.sends()) - before


def _finish(stage: Stage, way: str, streamed: int, killed_at: float) -> Outcome:
    after = [at - killed_at for at in stage.sends() if at > killed_at]
    stage.kill_submitter()
    restarted_at = time.monotonic()
    stage.start_submitter()
    time.sleep(LISTEN_S)
    again = [at for at in stage.sends() if at > restarted_at]
    waiting = stage.waiting()
    stage.stream(is_on=False)
    _clear(stage)
    return Outcome(way, streamed, max(after, default=0.0), len(again), waiting, tuple(_violations(stage)))


def _clear(stage: Stage) -> None:
    """Cancel what is out, and lift everything, so that the next drill begins as the first did."""
    _control("kill_cancel", "global")(stage)
    stage.wait("nothing is out", lambda: stage.out() == 0)
    remove_kill_file(stage.directory)
    for scope in ("global", "account:{ref}"):
        _control("resume", scope)(stage)


def _violations(stage: Stage) -> list[str]:
    found: list[dict[str, Any]] = check_invariants(stage.database)
    return [str(one["id"]) for one in found if one["violations"]]
