"""The length of a bar and the columns of a bar frame.

Bars travel as columnar frames, because there are many of them; this module only names what is in one.
"""

from datetime import timedelta
from enum import StrEnum

#: Columns of a bar frame, in order. `opened_at` is aware UTC, stamped at the opening of the interval; prices are
#: in the instrument's currency, unadjusted; `volume` is in shares.
BAR_COLUMNS = ("conid", "symbol", "opened_at", "open", "high", "low", "close", "volume")


class BarSize(StrEnum):
    """The length of a bar's interval. A daily bar spans one exchange session, open to close."""

    DAY = "1d"
    MINUTE = "1min"

    @property
    def length(self) -> timedelta:
        """The nominal length; for daily bars the session's own open and close are what counts."""
        return {BarSize.DAY: timedelta(days=1), BarSize.MINUTE: timedelta(minutes=1)}[self]
