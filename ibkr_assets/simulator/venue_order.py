"""An accepted order and an execution, as the venue remembers them.

What changes them is `book`; what an order trades at is `matching`; how a trailing stop follows is `trailing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from ibkr_assets.simulator.account import ZERO

#: Orders that wait for a price before they trade; the last two move that price with the market.
STOP_TYPES = ("STP", "STOP_LIMIT", "TRAIL", "TRAILLMT")
TRAILING_TYPES = ("TRAIL", "TRAILLMT")
#: Orders for the closing auction.
CLOSE_TYPES = ("MOC", "LOC")


class Status(StrEnum):
    """Order states as IBKR spells them."""

    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    PENDING_CANCEL = "PendingCancel"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"


_LIVE = (Status.PRE_SUBMITTED, Status.SUBMITTED, Status.PENDING_CANCEL)


@dataclass(slots=True)
class VenueOrder:
    """An accepted order. `price` is the limit, the cap of a midprice order, or the stop of a plain or trailing stop.

    `aux_price` is the stop of a stop-limit and the first stop of a trailing one, `trail` its distance in USD or
    percent (`trail_unit` is `amt` or `%`) and `trail_stop` where its stop is now. `worked_since` is when the order
    was entered, last changed, or released by its parent. `released` is how many shares a child may trade; None: all.
    `cancel_due` is when an asked-for cancel happens. Prices in USD, quantities in shares.
    """

    order_id: int
    coid: str | None
    conid: int
    side: str
    order_type: str
    quantity: Decimal
    price: Decimal | None
    aux_price: Decimal | None
    time_in_force: str
    accepted_at: datetime
    worked_since: datetime
    updated_at: datetime
    status: Status = Status.PRE_SUBMITTED
    is_outside_rth: bool = False
    is_triggered: bool = False
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    commission: Decimal = ZERO
    cancel_reason: str = ""
    trail: Decimal | None = None
    trail_unit: str | None = None
    trail_stop: Decimal | None = None
    parent_id: int | None = None
    group: str | None = None
    released: Decimal | None = None
    cancel_due: datetime | None = None

    @property
    def is_buy(self) -> bool:
        """True for a buy."""
        return self.side == "BUY"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self.is_buy else -1

    @property
    def remaining(self) -> Decimal:
        """Shares not executed yet."""
        return self.quantity - self.filled

    @property
    def tradable(self) -> Decimal:
        """Shares that may execute now: what is left, of a child no more than its parent's fills released."""
        return self.remaining if self.released is None else min(self.remaining, self.released - self.filled)

    @property
    def is_held(self) -> bool:
        """True for a child whose parent did not fill yet."""
        return self.released == 0

    @property
    def is_live(self) -> bool:
        """True while it may still trade."""
        return self.status in _LIVE

    @property
    def is_stop(self) -> bool:
        """True for an order that waits for a price before it works."""
        return self.order_type in STOP_TYPES

    @property
    def is_trailing(self) -> bool:
        """True for an order whose stop follows the market."""
        return self.order_type in TRAILING_TYPES

    @property
    def is_for_close(self) -> bool:
        """True for an order that trades in the closing auction alone."""
        return self.order_type in CLOSE_TYPES

    @property
    def limit(self) -> Decimal | None:
        """The limit price, or None where any price will do."""
        if self.order_type == "TRAILLMT":
            assert self.price is not None
            assert self.aux_price is not None
            return None if self.trail_stop is None else self.trail_stop + self.price - self.aux_price
        return self.price if self.order_type in ("LMT", "STOP_LIMIT", "LOC", "MIDPRICE") else None

    @property
    def stop(self) -> Decimal | None:
        """The stop price, or None."""
        if self.is_trailing:
            return self.trail_stop
        return {"STP": self.price, "STOP_LIMIT": self.aux_price}.get(self.order_type)

    @property
    def average_price(self) -> Decimal | None:
        """Average execution price, or None before the first execution."""
        return self.filled_value / self.filled if self.filled else None


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. `order_id` and `coid` are None where a person traded elsewhere."""

    execution_id: str
    order_id: int | None
    coid: str | None
    conid: int
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal
    executed_at: datetime

    @property
    def signed_quantity(self) -> Decimal:
        """Positive for a buy."""
        return self.quantity if self.side == "BUY" else -self.quantity
