"""One exchange day. Which days exist, and when they open and close, is `market.calendar`'s work."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class TradingSession:
    """One session of an exchange. All instants are aware UTC; `exchange` is a MIC such as `XNYS`.

    Between `breaks_at` and `resumes_at` nothing trades, as at noon in Tokyo; None where the session has no break.
    """

    exchange: str
    day: date
    opens_at: datetime
    closes_at: datetime
    is_early_close: bool = False
    breaks_at: datetime | None = None
    resumes_at: datetime | None = None

    def is_open_at(self, moment: datetime) -> bool:
        """True from the opening (inclusive) to the close (exclusive)."""
        return self.opens_at <= moment < self.closes_at
