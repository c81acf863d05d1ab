"""Where the bars of a session must start, and how many a session has.

What goes here: arithmetic on instants against the sessions of an exchange. What does not: when an exchange is open
(`market.calendar`), and judging bars (`market.validation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import ExchangeCalendar

Flags = npt.NDArray[np.bool_]
Nanoseconds = npt.NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400_000_000_000


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970 UTC of an aware moment; exact to the second."""
    return int((moment - _EPOCH).total_seconds()) * 1_000_000_000


def moments(values: Iterable[datetime]) -> Nanoseconds:
    """The same of many."""
    seconds = np.fromiter((value.timestamp() for value in values), dtype=np.float64)
    return np.asarray(seconds.astype(np.int64) * 1_000_000_000, dtype=np.int64)


def is_ordered(conids: npt.NDArray[np.int64], opened_at: Nanoseconds) -> bool:
    """True when bars stand by instrument and time and none comes twice, as a store gives them."""
    step = np.diff(conids)
    return bool(((step > 0) | ((step == 0) & (np.diff(opened_at) > 0))).all())


def last_opened(opens: Nanoseconds, opened_at: Nanoseconds) -> npt.NDArray[np.int64]:
    """For each instant the place of the newest of these ascending openings that is not after it, or 0 before all.

    As a binary search finds it, and quicker by a table of days, where no day has two openings.
    """
    days = opens // _DAY_NS
    if opens.size == 0 or not (np.diff(days) > 0).all():
        return np.clip(np.searchsorted(opens, opened_at, side="right") - 1, 0, None)
    newest_of_day = np.searchsorted(days, np.arange(days[0], days[-1] + 1), side="right") - 1
    own: npt.NDArray[np.int64] = newest_of_day[np.clip(opened_at // _DAY_NS - days[0], 0, newest_of_day.size - 1)]
    own -= opened_at < opens[own]
    return np.maximum(own, 0, out=own)


def place(opened_at: Nanoseconds, calendar: ExchangeCalendar, size: BarSize) -> tuple[Flags, Flags, Nanoseconds]:
    """For each bar: whether a session has room for it, whether it starts on the session's grid, and when it is over.

    A daily bar starts with its session and is over with it. A shorter one starts a whole number of lengths after the
    opening, or after the end of a break, and before the close or the break. Where no session has room for a bar, it is
    over one length after it started.
    """
    length = int(size.length.total_seconds()) * 1_000_000_000
    sessions = _around(opened_at, calendar)
    if not sessions:
        nowhere = np.zeros(opened_at.size, dtype=bool)
        return nowhere, ~nowhere, opened_at + length
    opens = moments(s.opens_at for s in sessions)
    closes = moments(s.closes_at for s in sessions)
    own = last_opened(opens, opened_at)
    if size is BarSize.DAY:
        is_inside: Flags = opens[own] == opened_at
        over_at = closes[own] if is_inside.all() else np.where(is_inside, closes[own], opened_at + length)
        return is_inside, np.ones(is_inside.size, dtype=bool), over_at
    is_inside = (opens[own] <= opened_at) & (opened_at < closes[own])
    begins = opens[own]
    if any(s.breaks_at is not None for s in sessions):
        breaks, resumes = break_bounds(sessions)
        is_inside &= (opened_at < breaks[own]) | (resumes[own] <= opened_at)
        begins = np.where(opened_at < resumes[own], begins, resumes[own])
    return is_inside, ~is_inside | ((opened_at - begins) % length == 0), opened_at + length


def break_bounds(sessions: Sequence[TradingSession]) -> tuple[Nanoseconds, Nanoseconds]:
    """When the breaks of sessions begin and end; both are the close where there is none."""
    return moments(s.breaks_at or s.closes_at for s in sessions), moments(s.resumes_at or s.closes_at for s in sessions)


def bars_expected(session: TradingSession, size: BarSize) -> int:
    """How many bars a session has, early closes and breaks considered; one may be cut short by a close or a break."""
    if size is BarSize.DAY:
        return 1
    if session.breaks_at is None or session.resumes_at is None:
        return -int(-(session.closes_at - session.opens_at) // size.length)
    before, after = session.breaks_at - session.opens_at, session.closes_at - session.resumes_at
    return -int(-before // size.length) - int(-after // size.length)


def _around(opened_at: Nanoseconds, calendar: ExchangeCalendar) -> Sequence[TradingSession]:
    """Sessions in the range of these instants, as far as the calendar reaches."""
    if opened_at.size == 0:
        return []
    first, last = (date.fromordinal(719_163 + int(value) // _DAY_NS) for value in (opened_at.min(), opened_at.max()))
    if last < calendar.first_day or first > calendar.last_day:
        return []
    return calendar.sessions(max(first, calendar.first_day), min(last, calendar.last_day))
