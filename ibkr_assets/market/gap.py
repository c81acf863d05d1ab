"""A session that lacks bars, as the register of gaps keeps it. Finding gaps is `market.validation`'s work."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """An instrument has fewer bars of a session than the exchange's calendar says; closed when they came.

    `first_seen` and `closed_at` are aware UTC. `tries` says how often it was asked for in vain, `next_try_at` from
    which market time on it may be asked for again; with the cause `vendor_none` it is not.
    """

    symbol: str
    session: date
    cause: str
    first_seen: datetime
    closed_at: datetime | None
    tries: int = 0
    next_try_at: datetime | None = None
