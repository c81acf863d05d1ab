"""Whether sessions have room for bars, and when each bar is over.

What goes here: the question, put to the loops of `market.scan`. What does not: sessions as numbers (`market.grid`), and
what is wrong with a bar (`market.validation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.features.frame import frozen
from ibkr_assets.market.grid import hours_around

if TYPE_CHECKING:
    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.market.grid import Flags, Nanoseconds


def find_places(opened_at: Nanoseconds, calendar: ExchangeCalendar, size: BarSize) -> tuple[Flags, Nanoseconds]:
    """For each bar whether a session has room for it, and when it is over.

    A daily bar starts with its session, a shorter one while the session is open and does not rest.
    """
    from ibkr_assets.market.scan import fill_places  # brings the compiler

    is_inside, ends = np.empty(opened_at.size, dtype=np.bool_), np.empty(opened_at.size, dtype=np.int64)
    fill_places(frozen(opened_at), hours_around(opened_at, calendar, size), is_inside, ends)
    return is_inside, ends
