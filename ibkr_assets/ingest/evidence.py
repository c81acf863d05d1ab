"""Reasons against a bar that its values do not show: altered, too old, too early, or from a delayed feed.

What goes here: what follows from what the store knows of a bar. What does not: knowing it (`adapters.postgres.marks`),
and the faults of values (`market.validation`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ibkr_assets.market.places import find_places
from ibkr_assets.market.reasons import CODES, Reason

if TYPE_CHECKING:
    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.market.reasons import Codes
    from ibkr_assets.ports import BarStore


def find_evidence(store: BarStore, bars: pd.DataFrame, size: BarSize, calendar: ExchangeCalendar) -> Codes:
    """For each of these stored bars the code of a reason that its values do not show, or 0.

    A bar of a delayed feed is settled once the feed can have had all of it: when it was fetched later than its end by
    more than the delay. One of which nobody knows the delay never is, until a feed without delay gives the same.
    """
    codes = np.zeros(len(bars), dtype=np.int8)
    marks = store.load_marks(bars, size)
    if marks.empty:
        return codes
    rows = marks["row"].to_numpy(dtype=np.int64)
    moments = bars["opened_at"].iloc[rows].to_numpy(dtype="datetime64[ns]").astype(np.int64)
    ends = pd.to_datetime(find_places(moments, calendar, size)[1], utc=True)
    for mark, end in zip(marks.itertuples(), ends, strict=True):
        if mark.is_altered:
            codes[mark.row] = CODES[Reason.CHECKSUM]
        elif mark.is_unlisted:
            codes[mark.row] = CODES[Reason.BEFORE_LISTING]
        elif mark.is_delayed and not _is_settled(mark.fetched_at, mark.delay_s, end):
            codes[mark.row] = CODES[Reason.DELAYED_FEED]
        elif not pd.isna(mark.known_from) and mark.known_from < end:
            has_begun = mark.known_from > bars["opened_at"].iloc[mark.row]
            codes[mark.row] = CODES[Reason.PARTIAL_BAR if has_begun else Reason.FUTURE]
    return codes


def _is_settled(fetched_at: pd.Timestamp, delay_s: float | None, end: pd.Timestamp) -> bool:
    return not pd.isna(delay_s) and bool(fetched_at >= end + timedelta(seconds=float(delay_s or 0)))
