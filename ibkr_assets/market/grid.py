"""Where the bars of a session must start, and how many a session has.

What goes here: arithmetic on instants against the sessions of an exchange. What does not: when an exchange is open
(`market.calendar`), and judging bars (`market.validation`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import ExchangeCalendar

Flags = npt.NDArray[np.bool_]
Nanoseconds = npt.NDArray[np.int64]

#: What numpy has for an instant that is missing; before all sessions.
NOWHEN = np.iinfo(np.int64).min

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400_000_000_000


class Instants(NamedTuple):
    """Sessions as nanoseconds, in their order; a break begins and ends with the close where there is none."""

    sessions: tuple[TradingSession, ...]
    opens: Nanoseconds
    closes: Nanoseconds
    breaks: Nanoseconds
    resumes: Nanoseconds


#: The newest of them: ten years of sessions take longer to turn into numbers than a small batch takes to be judged.
_known: deque[Instants] = deque(maxlen=16)


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970 UTC of an aware moment; exact to the second."""
    return int((moment - _EPOCH).total_seconds()) * 1_000_000_000


def moments(values: Iterable[datetime]) -> Nanoseconds:
    """The same of many."""
    seconds = np.fromiter((value.timestamp() for value in values), dtype=np.float64)
    return np.asarray(seconds.astype(np.int64) * 1_000_000_000, dtype=np.int64)


def instants_of(sessions: Sequence[TradingSession]) -> Instants:
    """The same of sessions, looked up where these have been asked for lately."""
    whole = tuple(sessions)
    for known in tuple(_known):
        if known.sessions == whole:  # objects that are the same are not compared further
            return known
    columns = (
        moments(s.opens_at for s in whole), moments(s.closes_at for s in whole),
        moments(s.breaks_at or s.closes_at for s in whole), moments(s.resumes_at or s.closes_at for s in whole),
    )  # fmt: skip
    for column in columns:
        column.flags.writeable = False
    found = Instants(whole, *columns)
    _known.append(found)
    return found


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


@dataclass(frozen=True, slots=True)
class Places:
    """Where bars lie among the sessions of a calendar.

    `own` is for each bar the place of its session in `opens` and `closes`, which says nothing where no session has room
    for the bar (`is_inside`). `is_on_grid` is true of these too.
    """

    opens: Nanoseconds
    closes: Nanoseconds
    own: npt.NDArray[np.int64]
    is_inside: Flags
    is_on_grid: Flags
    opened_at: Nanoseconds
    size: BarSize

    def over_at(self) -> Nanoseconds:
        """When each bar is over: a daily one with its session, any other and one of no session after its length."""
        ends = self.opened_at + _length_ns(self.size)
        is_by_session = self.size is BarSize.DAY and self.closes.size > 0
        return np.where(self.is_inside, self.closes[self.own], ends) if is_by_session else ends


def place(opened_at: Nanoseconds, calendar: ExchangeCalendar, size: BarSize) -> Places:
    """Find for each bar whether a session has room for it, and whether it starts on the session's grid.

    A daily bar starts with its session. A shorter one starts a whole number of lengths after the opening, or after the
    end of a break, and before the close or the break.
    """
    sessions, opens, closes, breaks, resumes = instants_of(_around(opened_at, calendar))
    everywhere = np.ones(opened_at.size, dtype=bool)
    if not sessions:
        own = np.zeros(opened_at.size, dtype=np.int64)
        return Places(opens, closes, own, ~everywhere, everywhere, opened_at, size)
    own = last_opened(opens, opened_at)
    if size is BarSize.DAY:
        return Places(opens, closes, own, opens[own] == opened_at, everywhere, opened_at, size)
    begins = opens[own]
    is_inside: Flags = (begins <= opened_at) & (opened_at < closes[own])
    if (breaks < closes).any():
        is_inside &= (opened_at < breaks[own]) | (resumes[own] <= opened_at)
        begins = np.where(opened_at < resumes[own], begins, resumes[own])
    is_on_grid: Flags = ~is_inside | ((opened_at - begins) % _length_ns(size) == 0)
    return Places(opens, closes, own, is_inside, is_on_grid, opened_at, size)


def bars_expected(session: TradingSession, size: BarSize) -> int:
    """How many bars a session has, early closes and breaks considered; one may be cut short by a close or a break."""
    if size is BarSize.DAY:
        return 1
    if session.breaks_at is None or session.resumes_at is None:
        return -int(-(session.closes_at - session.opens_at) // size.length)
    before, after = session.breaks_at - session.opens_at, session.closes_at - session.resumes_at
    return -int(-before // size.length) - int(-after // size.length)


def _length_ns(size: BarSize) -> int:
    return int(size.length.total_seconds()) * 1_000_000_000


def _around(opened_at: Nanoseconds, calendar: ExchangeCalendar) -> Sequence[TradingSession]:
    """Sessions in the range of these instants, as far as the calendar reaches."""
    if opened_at.size == 0 or opened_at.max() == NOWHEN:
        return []
    earliest = opened_at.min()
    if earliest == NOWHEN:
        earliest = opened_at[opened_at != NOWHEN].min()
    first, last = (date.fromordinal(719_163 + int(value) // _DAY_NS) for value in (earliest, opened_at.max()))
    if last < calendar.first_day or first > calendar.last_day:
        return []
    return calendar.sessions(max(first, calendar.first_day), min(last, calendar.last_day))
