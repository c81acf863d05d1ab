"""The submitter's heartbeat: that its process lives, and how long its present step has taken.

What goes here: writing the row often enough, also while a step waits for the broker. What does not: judging it; that
is the watchdog's. A thread of its own, so that a slow answer is not taken for a death; a step that never ends shows
as time, and a process that is gone or stopped as silence.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import LedgerConflict, Unavailable
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from ibkr_assets.execution.ledger import Lease

#: How often the row is written, and after which pause the thread does it in place of the work.
EVERY_S = 1.0
_STOP_BOUND_S = 2.0


@dataclass(frozen=True, slots=True)
class _Beat:
    status: str
    detail: str
    epoch: int | None
    market_at: datetime | None
    said_at: float


class Heartbeat:
    """Beats of one submitter. `say` is for the work, between its steps; the rest happens by itself."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._newest: _Beat | None = None
        self._written_at = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat; nothing is written before the first `say`."""
        self._thread.start()

    def say(self, status: str, *, detail: str = "", epoch: int | None, market_at: datetime | None = None) -> None:
        """A step is done. The row is written at once when the status is another, otherwise once a second.

        Raises Unavailable and LedgerConflict.
        """
        before, now = self._newest, time.monotonic()
        self._newest = _Beat(status, detail, epoch, market_at, now)
        if before is None or before.status != status or now - self._written_at >= EVERY_S:
            self._write()

    def stop(self) -> None:
        """No more beats."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_BOUND_S)

    def _write(self) -> None:
        beat = self._newest
        assert beat is not None
        self._written_at = time.monotonic()
        self._lease.beat(
            beat.status,
            detail=beat.detail,
            epoch=beat.epoch,
            market_at=beat.market_at,
            busy_s=self._written_at - beat.said_at,
        )

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S / 2):
            if self._newest is None or time.monotonic() - self._written_at < EVERY_S * 1.5:
                continue
            try:
                self._write()
            except (Unavailable, LedgerConflict) as error:
                log.debug("no heartbeat: %s", error)
