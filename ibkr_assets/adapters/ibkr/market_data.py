"""`ports.BarSource` over the gateway. No order can be reached from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.adapters.ibkr import contracts, history, schedules
from ibkr_assets.adapters.ibkr.quotes import Quotes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import pandas as pd

    from ibkr_assets.adapters.ibkr.session import Session
    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.domain.broker import Quote, SessionStatus
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.market.hours import Hours
    from ibkr_assets.ports import Clock


class IbkrMarketData:
    """Contracts, bars and quotes. Safe for threads: several symbols may be fetched at once, paced together."""

    def __init__(self, session: Session, clock: Clock, calendar: history.Calendar) -> None:
        self.sessions = session
        self._clock = clock
        self._calendar = calendar
        self._quotes = Quotes(session)

    def resolve(self, symbol: str) -> Instrument:
        """See `ports.BarSource.resolve`."""
        return contracts.resolve(self.sessions, symbol)

    def describe(self, instruments: Sequence[Instrument]) -> dict[int, tuple[str, str]]:
        """See `ports.BarSource.describe`."""
        return contracts.describe(self.sessions, [i.conid for i in instruments])

    def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """See `ports.BarSource.fetch_bars`. Raises InputError for a range that is empty or without zones."""
        return history.fetch_bars(
            self.sessions, self._calendar, instrument, size, start, end, now=self._clock.now()
        )  # fmt: skip

    def trading_hours(self, instrument: Instrument) -> dict[date, Hours]:
        """Regular hours of the next days by day of the exchange; see `adapters.ibkr.schedules`."""
        return schedules.fetch_hours(self.sessions, instrument.conid)

    def fetch_quotes(self, instruments: Sequence[Instrument]) -> dict[int, Quote]:
        """See `ports.BarSource.fetch_quotes`."""
        return self._quotes.fetch([i.conid for i in instruments])

    def session(self) -> SessionStatus:
        """See `ports.BarSource.session`."""
        return self.sessions.status()

    def close(self) -> None:
        """Close every connection."""
        self.sessions.transport.close()
