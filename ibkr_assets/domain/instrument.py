"""What can be traded. How a symbol becomes an instrument is the client's work (`adapters.ibkr.contracts`)."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable contract, identified by IBKR's contract id.

    `tick` is the smallest price step and `lot` the smallest quantity step, both in the instrument's own units
    (USD and shares for a US stock).
    """

    conid: int
    symbol: str
    exchange: str
    currency: str = "USD"
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal(1)
