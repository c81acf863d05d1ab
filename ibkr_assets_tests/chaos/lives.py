"""The processes of a chaos run, each of which may be killed, stopped and started again.

A server forks them, with everything imported: a start costs milliseconds, not the second of a new interpreter. What
runs in one is the product's own command.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ibkr_assets.adapters.ibkr.client
import ibkr_assets.adapters.ibkr.parse
import ibkr_assets.adapters.postgres.ledger
import ibkr_assets.bootstrap
import ibkr_assets.cli.main
import ibkr_assets.execution.submitter
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets_tests.execution.desk import approve

SALT = "default"


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@dataclass
class Life:
    """A process of ours and what it was born with. `crash` is the point at which it was told to kill itself."""

    process: Any
    crash: str | None = None
    is_stopped: bool = False
    was_killed: bool = False

    @property
    def is_alive(self) -> bool:
        return bool(self.process.is_alive())

    def kill(self) -> None:
        self.was_killed = True
        self.process.kill()
        self.process.join(10)

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)
        self.is_stopped = True

    def go_on(self) -> None:
        self.is_stopped = False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """As a supervisor does."""
        if self.is_stopped:
            self.go_on()
        self.process.terminate()
        self.process.join(10)
        if self.is_alive:
            self.kill()


def start_submitter(environment: Mapping[str, str], log: Path, crash: str | None) -> Life:
    """`ibkr-assets submitter run` with this environment."""
    variables = dict(environment) | ({"IBKR_ASSETS_CRASH": crash} if crash else {})
    process = _context().Process(target=_submit, args=(variables, str(log)), daemon=True)
    process.start()
    return Life(process, crash)


def _submit(variables: dict[str, str], log: str) -> None:
    for name in [name for name in os.environ if name.startswith("IBKR_ASSETS_")]:
        del os.environ[name]
    os.environ.update(variables)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.argv = ["ibkr-assets", "submitter", "run"]
    ibkr_assets.cli.main.main()


class Proposer:
    """A process that stores decisions, one after the other, through the same door as the assets."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._start()

    def _start(self) -> None:
        context = _context()
        self._pipe, far = context.Pipe()
        self.life = Life(context.Process(target=_propose, args=(self._url, far), daemon=True))
        self.life.process.start()
        far.close()
        self._sent: set[str] = set()

    def hand_in(self, intent: OrderIntent, now: datetime) -> None:
        self._pipe.send((intent, now))
        self._sent.add(intent.decision_key)

    def answered(self) -> list[tuple[str, bool]]:
        """Decision keys that are stored, each with whether this call stored it."""
        done = []
        try:
            while self._pipe.poll():
                done.append(self._pipe.recv())
        except (EOFError, ConnectionResetError):
            pass
        self._sent.difference_update(key for key, _ in done)
        return done

    def revive(self) -> set[str]:
        """After a death: a new process. Returns the keys that were never answered."""
        lost = set(self._sent)
        self._pipe.close()
        self._start()
        return lost

    def end(self) -> None:
        self.life.kill()
        self._pipe.close()


def _propose(url: str, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    database = Database(url)
    book = PostgresIntents(database, SALT)
    while True:
        try:
            intent, now = pipe.recv()
        except EOFError:
            return
        while True:
            try:
                record = book.propose(intent, approve, now=now, dagster_run_id=None, created_by="chaos")
                break
            except Unavailable:
                continue
        pipe.send((intent.decision_key, record.is_new))
