"""Start-up: the truth is looked up before anything leaves.

What goes here: the one way to start, after a clean stop as after a crash. What does not: the single looks (`looks`),
and what repeats while the submitter runs (`watch`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.evidence import conclude, decline_open_questions
from ibkr_assets.execution.follow import reopen_cancel
from ibkr_assets.execution.looks import CANCELLING, Looks
from ibkr_assets.execution.reads import BrokerReads
from ibkr_assets.execution.rounds import close_run
from ibkr_assets.execution.seat import log

if TYPE_CHECKING:
    from ibkr_assets.execution.seat import Seat

#: Reads of the order list until it calls itself whole; each waits for IBKR's pacing.
MOST_ORDER_READS = 12
MOST_ACCOUNT_READS = 6


def reconcile(seat: Seat, pause: Callable[[float], None]) -> Looks:
    """Bring the ledger in line with the broker; the seat's session is open already.

    Orders left in flight go into doubt and stay there until evidence ends it; they hold their instrument back, not
    the others. Raises Unavailable when the broker cannot be read.
    """
    for record in seat.ledger.doubts.doubt_in_flight(epoch=seat.epoch):
        log.warning("%s is in doubt: %s", record.client_order_id, record.reason)
    reach("start.doubted")
    run_id = seat.ledger.differences.open_run("start", epoch=seat.epoch, gateway_session=seat.gateway_session)
    looks = Looks(seat, BrokerReads(seat.broker, seat.monotonic, every_s=seat.options.list_every_s))
    reads = looks.reads
    reads.read_trades()  # the first read of a session may be empty, and is not used
    reads.read_orders()
    reach("start.read")
    _await_orders(looks, pause)
    _await_trades(looks, pause)
    reach("start.booked")
    for record in seat.ledger.sends.records(CANCELLING):
        reopen_cancel(seat, record, reads.row_of(record.client_order_id))
    decline_open_questions(seat)
    conclude(seat)
    reach("start.followed")
    for _ in range(MOST_ACCOUNT_READS):
        if looks.look_at_account():
            break
        _await_trades(looks, pause)
    else:
        raise Unavailable("the account does not hold still long enough to be compared")
    reach("start.account")
    close_run(seat, looks, run_id)
    reach("start.ready")
    return looks


def _await_orders(looks: Looks, pause: Callable[[float], None]) -> None:
    for _ in range(MOST_ORDER_READS):
        while not looks.reads.may_read_orders():
            pause(0.05)
        looks.look_at_orders()
        if looks.reads.is_snapshot:
            return
    raise Unavailable(f"the order list is not whole after {MOST_ORDER_READS} reads")


def _await_trades(looks: Looks, pause: Callable[[float], None]) -> None:
    while not looks.reads.may_read_trades():
        pause(0.05)
    looks.look_at_trades()
