"""The end of each session: which valuation is the day's.

What goes here: picking it. What does not: the valuation (`valuation`), and results by day (`portfolio.performance`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.execution.seat import log
from ibkr_assets.market.calendar import exchange_calendar

if TYPE_CHECKING:
    from ibkr_assets.execution.seat import Seat


def close_day(seat: Seat) -> bool:
    """Store the newest snapshot as its session's last, if it is of between that close and the next opening.

    The first one of that time stands. A session after whose close the account was never valued has no row: its net
    asset value is not known. Returns True when a row was written.
    """
    snapshot = seat.ledger.account.last_snapshot()
    if snapshot is None:
        return False
    calendar = exchange_calendar(seat.options.calendar)
    session = calendar.last_closed(snapshot.market_at)
    if snapshot.market_at >= calendar.next_session(session.day).opens_at:
        return False
    is_new = seat.ledger.account.save_day(session.day, snapshot.snapshot_id)
    if is_new:
        log.info("session %s ended with snapshot %d", session.day, snapshot.snapshot_id)
    return is_new
