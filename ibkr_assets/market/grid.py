"""Where the bars of a session must start, and how many a session has.

What goes here: arithmetic on instants against the sessions of an exchange. What does not: when an exchange is open
(`market.calendar`), and judging bars (`market.validation`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.features.frame import frozen
from ibkr_assets.market.calendar import ExchangeCalendar

Flags = npt.NDArray[np.bool_]
Nanoseconds = npt.NDArray[np.int64]

#: What numpy has for an instant that is missing; before all sessions.
NOWHEN = np.iinfo(np.int64).min

_NEVER: Nanoseconds = frozen(np.array([np.iinfo(np.int64).max - 1]))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400_000_000_000


class Instants(NamedTuple):
    """Sessions as nanoseconds, in their order; a break begins and ends with the close where there is none."""

    sessions: tuple[TradingSession, ...]
    opens: Nanoseconds
    closes: Nanoseconds
    breaks: Nanoseconds
    resumes: Nanoseconds


class Hours(NamedTuple):
    """Sessions as nanoseconds, ascending, and the length of the bars that are looked for in them."""

    opens: Nanoseconds
    closes: Nanoseconds
    breaks: Nanoseconds
    resumes: Nanoseconds
    length: int
    is_daily: bool


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
    is_later = opened_at[1:] > opened_at[:-1]
    is_later &= conids[1:] == conids[:-1]
    is_later |= conids[1:] > conids[:-1]
    return bool(is_later.all())


def hours_of(instants: Instants, size: BarSize) -> Hours:
    """Sessions as `market.scan` takes them. Where there is none, one that nobody lives to see."""
    _, opens, closes, breaks, resumes = instants if instants.sessions else (None, *(_NEVER,) * 4)
    is_daily = size is BarSize.DAY
    if is_daily:  # its bar starts with a session; no other one starts in the rest
        breaks, resumes = frozen(opens + 1), closes
    return Hours(opens, closes, breaks, resumes, _length_ns(size), is_daily)


def hours_around(opened_at: Nanoseconds, calendar: ExchangeCalendar, size: BarSize) -> Hours:
    """The sessions that these instants can be of, as far as the calendar reaches."""
    return hours_of(instants_of(_around(opened_at, calendar)), size)


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
    # A session may have opened on the evening before its day, by UTC.
    first, last = (date.fromordinal(719_163 + int(value) // _DAY_NS) for value in (earliest, opened_at.max()))
    first, last = max(first, calendar.first_day), min(last + timedelta(days=1), calendar.last_day)
    return calendar.sessions(first, last) if first <= last else []
