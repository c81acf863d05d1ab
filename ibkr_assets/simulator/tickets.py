"""An order as it is asked for, before the venue took it, and the two ways it is refused.

Reading a ticket out of a request body is the work of `face.tickets`; whether it can be taken is `admission`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

#: For how long of market time a cOID cannot be used again.
COID_LIFE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client asks for. Prices in USD, quantity in shares; `coid` is the client's own order id.

    `trail` is a trailing stop's distance in USD or percent, `trail_unit` one of `amt` and `%`. `parent_coid` is the
    parent as the client names it, `parent_id` as the venue does, once it is known. `cash` is the money that an order
    was sized with.
    """

    coid: str | None
    conid: int
    side: str
    order_type: str
    quantity: Decimal
    price: Decimal | None
    aux_price: Decimal | None
    time_in_force: str
    is_outside_rth: bool = False
    trail: Decimal | None = None
    trail_unit: str | None = None
    parent_coid: str | None = None
    parent_id: int | None = None
    group: str | None = None
    cash: Decimal | None = None


class Refused(Exception):
    """The venue does not take the order; the text is for the client."""


class DuplicateCoid(Refused):
    """The cOID was used by an order accepted less than 24 hours of market time ago."""
