"""A session that lacks bars, as the register of gaps keeps it. Finding gaps is `market.validation`'s work."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """An instrument has fewer bars of a session than the exchange's calendar says; closed when they came.

    `first_seen` and `closed_at` are aware UTC.
    """

    symbol: str
    session: date
    cause: str
    first_seen: datetime
    closed_at: datetime | None
