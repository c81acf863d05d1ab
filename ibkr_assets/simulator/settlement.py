"""What of the account's cash has settled: proceeds of sales arrive days after the trade, purchases count at once.

What goes here: the days of settlement and the sum, with code of its own, since the platform's figure is compared with
it. What does not: spelling it (`face.balances`). Source: SEC rule 15c6-1, a business day from 2024-05-28 on, two from
2017-09-05, three from 1995-06-07; IBKR says of settled cash that purchases, commissions and fees count from the trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.account import ZERO
from ibkr_assets.simulator.tape import Tape
from ibkr_assets.simulator.venue_order import Execution

NEW_YORK = ZoneInfo("America/New_York")
#: No sale takes longer to settle, holidays included.
_LONGEST = timedelta(days=21)
_OCTOBER, _NOVEMBER = 10, 11


def unsettled_proceeds(executions: Sequence[Execution], now: datetime, tape: Tape) -> Decimal:
    """USD from sales that have not settled at `now`, commissions left out. Executions are in order of time.

    A sale settles when the day in New York begins that is so many settlement days after it.
    """
    today = now.astimezone(NEW_YORK).date()
    days = [s.day for s in tape.sessions_between(today - _LONGEST, today) if not _banks_rest(s.day)]
    pending = ZERO
    for execution in reversed(executions):
        traded = execution.executed_at.astimezone(NEW_YORK).date()
        if traded < today - _LONGEST:
            break
        if execution.side == "SELL" and sum(day > traded for day in days) < _cycle(traded):
            pending += execution.quantity * execution.price
    return pending


def _cycle(traded: date) -> int:
    if traded < date(2017, 9, 5):
        return 3
    return 2 if traded < date(2024, 5, 28) else 1


def _banks_rest(day: date) -> bool:
    """Columbus Day and Veterans Day, on which the exchanges trade and nothing settles."""
    if day.month == _OCTOBER:
        return day.isoweekday() == 1 and (day.day + 6) // 7 == 2
    return day.month == _NOVEMBER and (day.day == 11 or (day.day == 12 and day.isoweekday() == 1))
