"""Reasons against a bar that its values do not show: altered, too old, too early, or from a delayed feed.

What goes here: what follows from what the store knows of a bar. What does not: knowing it (`adapters.postgres.marks`),
and the faults of values (`market.validation`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ibkr_assets.market.grid import place
from ibkr_assets.market.reasons import Reason

if TYPE_CHECKING:
    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.market.validation import Reasons
    from ibkr_assets.ports import BarStore


def find_evidence(store: BarStore, bars: pd.DataFrame, size: BarSize, calendar: ExchangeCalendar) -> Reasons:
    """For each of these stored bars a reason that its values do not show, or "".

    A bar of a delayed feed is settled once the feed can have had all of it: when it was fetched later than its end by
    more than the delay. One of which nobody knows the delay never is, until a feed without delay gives the same.
    """
    reasons = np.full(len(bars), "", dtype=object)
    marks = store.load_marks(bars, size)
    if marks.empty:
        return reasons
    rows = marks["row"].to_numpy(dtype=np.int64)
    moments = bars["opened_at"].iloc[rows].to_numpy(dtype="datetime64[ns]").astype(np.int64)
    ends = pd.to_datetime(place(moments, calendar, size).over_at(), utc=True)
    for mark, end in zip(marks.itertuples(), ends, strict=True):
        if mark.is_altered:
            reasons[mark.row] = Reason.CHECKSUM.value
        elif mark.is_unlisted:
            reasons[mark.row] = Reason.BEFORE_LISTING.value
        elif mark.is_delayed and not _is_settled(mark.fetched_at, mark.delay_s, end):
            reasons[mark.row] = Reason.DELAYED_FEED.value
        elif not pd.isna(mark.known_from) and mark.known_from < end:
            has_begun = mark.known_from > bars["opened_at"].iloc[mark.row]
            reasons[mark.row] = (Reason.PARTIAL_BAR if has_begun else Reason.FUTURE).value
    return reasons


def _is_settled(fetched_at: pd.Timestamp, delay_s: float | None, end: pd.Timestamp) -> bool:
    return not pd.isna(delay_s) and bool(fetched_at >= end + timedelta(seconds=float(delay_s or 0)))
