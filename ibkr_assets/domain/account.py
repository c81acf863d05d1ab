"""One execution, what it does to cash, and how its corrections are told from it.

What goes here: the value as the broker gave it, exact. What does not: how executions make positions and results
(`portfolio.positions`).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ibkr_assets.domain.order import Side

#: IBKR's execution id: a correction keeps the head and raises the last part.
_EXECUTION_ID = re.compile(r"^(?P<root>[0-9a-f]+\.[0-9a-f]+\.\d{2})\.(?P<revision>\d{2})$")


def split_execution_id(execution_id: str) -> tuple[str, int]:
    """The part of an execution id that stays through corrections, and the number of the correction."""
    match = _EXECUTION_ID.match(execution_id)
    return (match["root"], int(match["revision"])) if match else (execution_id, 1)


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `execution_id` is the broker's and counts once; `commission` is a positive cost.

    `client_order_id` is None for an execution of an order that was not placed by us. `executed_at` is aware UTC.
    """

    execution_id: str
    client_order_id: str | None
    broker_order_id: str
    conid: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    executed_at: datetime

    @property
    def cash_change(self) -> Decimal:
        """What the fill does to cash: negative for a buy, commission included."""
        return -self.side.sign * self.quantity * self.price - self.commission
