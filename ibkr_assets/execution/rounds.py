"""Reconciliations that repeat while the submitter runs, and those that a person asked for.

What goes here: one round is an order list, executions and the account, all read after it began. What does not: the
start, which waits for its reads (`reconcile`). A round never waits: it goes on when the next read is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibkr_assets.domain.ledger import Blocks

if TYPE_CHECKING:
    from ibkr_assets.execution.looks import Looks
    from ibkr_assets.execution.seat import Seat

#: Seconds between the beginnings of two rounds.
ROUND_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class _Round:
    run_id: int
    begun_at: float
    answers: tuple[int, ...]


class Rounds:
    """The rounds of one seat; its start was one."""

    def __init__(self, seat: Seat, looks: Looks) -> None:
        self._seat = seat
        self._looks = looks
        self._due = seat.monotonic() + ROUND_EVERY_S
        self._round: _Round | None = None

    def turn(self, compared_at: float) -> bool:
        """Go on with the round. `compared_at` (monotonic) is of the account's newest comparison.

        Returns True while only that comparison is missing.
        """
        if self._round is None and not self._begin():
            return False
        assert self._round is not None
        read_at = self._read_lists(self._round.begun_at)
        if read_at is None:
            return False
        if compared_at < read_at:
            return True
        close_run(self._seat, self._looks, self._round.run_id, answers=self._round.answers)
        self._round = None
        return False

    def _begin(self) -> bool:
        now = self._seat.monotonic()
        asked = self._seat.ledger.differences.open_requests()
        if not asked and now < self._due:
            return False
        self._due = now + ROUND_EVERY_S
        run_id = self._seat.ledger.differences.open_run(
            "watch", epoch=self._seat.epoch, gateway_session=self._seat.gateway_session
        )
        self._round = _Round(run_id, now, tuple(asked))
        return True

    def _read_lists(self, since: float) -> float | None:
        """When the later of both lists was read in this round, or None while one is missing."""
        reads = self._looks.reads
        if ((reads.orders_begun_at or 0.0) < since or not reads.is_snapshot) and reads.may_read_orders():
            self._looks.look_at_orders()
        if (reads.trades_begun_at or 0.0) < since and reads.may_read_trades():
            self._looks.look_at_trades()
        orders_at, trades_at = reads.orders_begun_at or 0.0, reads.trades_begun_at or 0.0
        if min(orders_at, trades_at) < since or not reads.is_snapshot:
            return None
        return max(orders_at, trades_at)


def close_run(seat: Seat, looks: Looks, run_id: int, *, answers: tuple[int, ...] = ()) -> None:
    """End a reconciliation: clean where nothing that was found stops the whole account."""
    reads = looks.reads
    seat.ledger.differences.close_run(
        run_id,
        is_clean=not any(found.blocks is Blocks.ACCOUNT for found in seat.ledger.differences.open_breaks()),
        market_at=seat.clock.now(),
        orders_seen=0 if reads.orders is None else len(reads.orders.orders),
        trades_seen=len(reads.fills),
        report=looks.compared,
        answers=answers,
    )
