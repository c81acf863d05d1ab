"""An order as it is asked for, before the venue took it, and the two ways it is refused.

Reading a ticket out of a request body is the work of `face.tickets`; whether it can be taken is `venue`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

#: For how long of market time a cOID cannot be used again.
COID_LIFE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client asks for. Prices in USD, quantity in shares; `coid` is the client's own order id."""

    coid: str | None
    conid: int
    side: str
    order_type: str
    quantity: Decimal
    price: Decimal | None
    aux_price: Decimal | None
    time_in_force: str
    is_outside_rth: bool = False


class Refused(Exception):
    """The venue does not take the order; the text is for the client."""


class DuplicateCoid(Refused):
    """The cOID was used by an order accepted less than 24 hours of market time ago."""
