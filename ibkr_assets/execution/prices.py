"""Quotes for orders that are about to leave: asked for when they are wanted, waited for, never older than they may be.

What goes here: when a quote is read again and how long a good one is waited for. What does not: what a good quote is
(`risk.departure`), and whether the limit is near it (`collar`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.risk.departure import check_quote

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import Quote
    from ibkr_assets.execution.seat import Seat
    from ibkr_assets.ports import IntentRecord

#: Real seconds: how old a quote may be, how long a good one is waited for, and how soon a bad one is asked for again.
QUOTE_AGE_S = 20.0
QUOTE_WAIT_S = 10.0
ASK_AGAIN_S = 1.0
#: Contracts asked for in one round: an account has a hundred market data lines, and an order leaves with its line open.
ASKED_AT_ONCE = 100
#: A market clock that moved by more since a quote was read has left it behind.
QUOTE_CLOCK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest quote of an instrument (None where there is none), and the market time when it was read."""

    quote: Quote | None
    market_at: datetime


class Prices:
    """The quotes of one seat."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._quotes: dict[int, tuple[Quote, float, datetime]] = {}
        self._asked: dict[int, float] = {}
        self._wanted_since: dict[str, float] = {}
        self._has_asked = False

    def begin_round(self) -> None:
        """A new round over all orders that wait: in each, the broker is asked once at most."""
        self._has_asked = False

    def sight(self, record: IntentRecord, now: datetime, approved: Sequence[IntentRecord]) -> Sighting | None:
        """What the order may be held against, or None while a good quote is still waited for.

        The quotes of `approved` are asked for together, a hundred at a time. After the wait the newest is given,
        however bad.
        """
        conid = record.intent.conid
        if self._is_good(record, now):
            self._wanted_since.pop(record.intent_id, None)
            return self._sighting(conid, now)
        if self._seat.monotonic() - self._asked.get(conid, -ASK_AGAIN_S) >= ASK_AGAIN_S:
            if self._has_asked:  # not among those asked for, or old since others left: the next round asks again
                return None
            self._ask(record, approved, now)
        since = self._wanted_since.setdefault(record.intent_id, self._asked[conid])
        if self._is_good(record, now) or self._seat.monotonic() - since > QUOTE_WAIT_S:
            return self._sighting(conid, now)
        return None

    def _ask(self, first: IntentRecord, approved: Sequence[IntentRecord], now: datetime) -> None:
        self._has_asked = True
        others = [r for r in approved if r.intent.conid != first.intent.conid and not self._is_good(r, now)]
        wanted = {
            r.intent.conid: Instrument(r.intent.conid, r.intent.symbol, exchange="SMART")
            for r in [first, *others][:ASKED_AT_ONCE]
        }
        found = self._seat.broker.quotes(list(wanted.values()))
        at = self._seat.monotonic()
        for conid in wanted:
            self._asked[conid] = at
        for conid, quote in found.items():
            self._quotes[conid] = (quote, at, now)

    def _is_good(self, record: IntentRecord, now: datetime) -> bool:
        entry = self._quotes.get(record.intent.conid)
        return self._is_fresh(entry, now) and entry is not None and check_quote(record.intent, entry[0], now).is_passed

    def _is_fresh(self, entry: tuple[Quote, float, datetime] | None, now: datetime) -> bool:
        if entry is None:
            return False
        _, read_at, market_at = entry
        return self._seat.monotonic() - read_at < QUOTE_AGE_S and abs(now - market_at) < QUOTE_CLOCK

    def _sighting(self, conid: int, now: datetime) -> Sighting:
        entry = self._quotes.get(conid)
        return Sighting(entry[0], entry[2]) if entry is not None and self._is_fresh(entry, now) else Sighting(None, now)
