"""Market data out of a bar frame: what a broker would answer, without a broker."""

import threading
from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.broker import Quote, SessionStatus
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument


class TapeSource:
    """Answers from `bars` (BAR_COLUMNS); `requests` keeps what was asked: (symbol, start, end)."""

    def __init__(self, bars: pd.DataFrame) -> None:
        self.bars = bars
        self.requests: list[tuple[str, datetime, datetime]] = []
        self._lock = threading.Lock()

    def resolve(self, symbol: str) -> Instrument:
        """The instrument of the symbol, conid as on the tape."""
        rows = self.bars.loc[self.bars["symbol"] == symbol, "conid"]
        if rows.empty:
            raise InputError(f"symbol {symbol!r}: no US stock of this name")
        return Instrument(int(rows.iloc[0]), symbol, "NASDAQ")

    def describe(self, instruments: Sequence[Instrument]) -> dict[int, tuple[str, str]]:
        """As they are known."""
        return {i.conid: (i.symbol, i.currency) for i in instruments}

    def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """Bars opened in [start, end), in the order of the tape."""
        with self._lock:
            self.requests.append((instrument.symbol, start, end))
        bars = self.bars
        wanted = (bars["conid"] == instrument.conid) & (bars["opened_at"] >= start) & (bars["opened_at"] < end)
        return bars.loc[wanted, list(BAR_COLUMNS)].reset_index(drop=True)

    def fetch_quotes(self, instruments: Sequence[Instrument]) -> dict[int, Quote]:
        """No quotes on a tape of daily bars."""
        return {}

    def session(self) -> SessionStatus:
        """Always ready."""
        return SessionStatus(
            is_logged_in=True, is_connected=True, is_authenticated=True, is_established=True, is_competing=False
        )
