"""Whether bars still come: which instruments lack the newest bar that must be there by now.

What goes here: that comparison, by the market's time and the exchange's sessions. What does not: asking for bars
(`ingest.bars`), holes further back (`ingest.sweep`), and what an order asks of its own bar (`risk`, R19 and R22).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ibkr_assets.domain.bar import BarSize

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore

#: How long after its end a daily bar may take. A feed that stopped is noticed an hour after the close, long before the
#: next bar is due. A minute's may take as long as it lasts, and as long as the next collection of minutes is away.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest session whose bars must be there at `now`, and per instrument without one its newest bar.

    Minutes that stopped are named by symbol and size, as in `IBM 1min`.
    """

    now: datetime
    due: TradingSession
    stale: dict[str, datetime | None]

    @property
    def is_fresh(self) -> bool:
        """True when no instrument lacks the bar."""
        return not self.stale


def look_for_newest(
    store: BarStore,
    calendar: ExchangeCalendar,
    instruments: Sequence[Instrument],
    *,
    now: datetime,
    minutes_every: timedelta = timedelta(0),
) -> Freshness:
    """Which of the instruments lack the daily bar of the session that closed at least an hour before `now` (aware).

    And which have minute bars of this or the session before and lack the one that ended a minute ago, or a minute and
    `minutes_every` where they are collected so often. Looks back thirty sessions for the newest daily bar that there
    is. Raises InputError for a moment beyond the calendar.
    """
    due = calendar.last_closed(now - PATIENCE)
    reach = calendar.sessions_before(due.day, 30)[0].opens_at
    bars = store.load_bars([i.conid for i in instruments], BarSize.DAY, reach, now, has_versions=False)
    newest = bars.groupby("conid")["opened_at"].max().to_dict()
    stale = {
        instrument.symbol: None if (last := newest.get(instrument.conid)) is None else last.to_pydatetime()
        for instrument in instruments
        if (last := newest.get(instrument.conid)) is None or last < due.opens_at
    }
    return Freshness(now, due, stale | _stopped_minutes(store, calendar, instruments, now - minutes_every))


def _stopped_minutes(
    store: BarStore, calendar: ExchangeCalendar, instruments: Sequence[Instrument], now: datetime
) -> dict[str, datetime | None]:
    """Feeds of minutes that stopped while their session is open, with the newest bar."""
    length = BarSize.MINUTE.length
    session = calendar.session_at(now - 2 * length)  # a bar ends a minute after its opening and may take one more
    if session is None:
        return {}
    due = session.opens_at + (now - 2 * length - session.opens_at) // length * length
    if (
        session.breaks_at is not None
        and session.resumes_at is not None
        and session.breaks_at <= due < session.resumes_at
    ):
        due = session.breaks_at - length
    before = calendar.sessions_before(session.day, 1)[0]
    conids = [instrument.conid for instrument in instruments]
    bars = store.load_bars(conids, BarSize.MINUTE, before.opens_at, now, has_versions=False)
    newest = bars.groupby("conid")["opened_at"].max().to_dict()
    return {
        f"{instrument.symbol} {BarSize.MINUTE.value}": last.to_pydatetime()
        for instrument in instruments
        if (last := newest.get(instrument.conid)) is not None and last < due
    }
