"""Bars of a wanted range, paged backwards through IBKR's history.

What goes here: windows, pages, and which bars are over. Whether a bar is believable is `market.validation`'s
question. A page ends at `startTime`: that is IBKR's word for the end of the window, and its other direction does
not work.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

import httpx

from ibkr_assets.adapters.ibkr import payloads
from ibkr_assets.adapters.ibkr.answers import error_text, is_transient
from ibkr_assets.adapters.ibkr.forms import utc_text
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import BrokerRefusal, InputError, UnreadableAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    import pandas as pd

    from ibkr_assets.adapters.ibkr.session import Session
    from ibkr_assets.adapters.ibkr.transport import Answer
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession

PATH = "iserver/marketdata/history"

#: Periods that IBKR permits for a bar, with the days each surely reaches back, shortest first. The longest of each
#: stays below 1000 bars, IBKR's limit for one answer: three years are 756 sessions, a session is 390 minutes.
PERIODS: dict[BarSize, tuple[tuple[str, timedelta], ...]] = {
    BarSize.DAY: (
        ("1w", timedelta(days=7)),
        ("1m", timedelta(days=28)),
        ("3m", timedelta(days=89)),
        ("6m", timedelta(days=181)),
        ("1y", timedelta(days=365)),
        ("2y", timedelta(days=730)),
        ("3y", timedelta(days=1095)),
    ),
    BarSize.MINUTE: (("1h", timedelta(hours=1)), ("1d", timedelta(days=1))),
}
_LENGTH_S = {BarSize.DAY: 86_400, BarSize.MINUTE: 60}
_PRICES: dict[str, Literal["o", "h", "l", "c"]] = {"open": "o", "high": "h", "low": "l", "close": "c"}
#: The first history call for a contract may fail in these ways and be well the next time.
_COLD = frozenset({404})


class Calendar(Protocol):
    """What is needed of an exchange's days (`market.calendar`)."""

    def session(self, day: date) -> TradingSession:
        """The session of a day. Raises InputError where there is none."""

    def session_at(self, moment: datetime) -> TradingSession | None:
        """The session that is open at a moment."""


def fetch_page(session: Session, conid: int, *, period: str, bar: str, end: datetime | None = None) -> payloads.History:
    """One answer of IBKR: bars of the `period` before `end`, or the newest. No data is an empty page."""
    params: dict[str, str | int] = {"conid": conid, "period": period, "bar": bar, "outsideRth": "false"}
    if end is not None:
        params["startTime"] = utc_text(end)
    try:
        value = session.read(PATH, params, is_exact=False, is_again=_is_cold)
    except BrokerRefusal as refusal:
        if "no data" not in refusal.text.lower():
            raise
        return payloads.History(data=[], volumeFactor=1.0)
    return payloads.read(payloads.History, value, f"history of {conid}")


def fetch_bars(
    session: Session,
    calendar: Calendar,
    instrument: Instrument,
    size: BarSize,
    start: datetime,
    end: datetime,
    *,
    now: datetime,
) -> pd.DataFrame:
    """Bars opened in [start, end) and over at `now`, columns BAR_COLUMNS, ascending; see `ports.BarSource`."""
    for name, moment in (("start", start), ("end", end)):
        if moment.tzinfo is None:
            raise InputError(f"{name} {moment!r}: must carry a time zone")
    if not start < end:
        raise InputError(f"end {end.isoformat()}: must be after start {start.isoformat()}")
    rows: dict[int, tuple[payloads.HistoryBar, float]] = {}
    edge = min(end, now)
    while edge > start:
        period, reach = next(((p, r) for p, r in PERIODS[size] if edge - r <= start), PERIODS[size][-1])
        page = fetch_page(session, instrument.conid, period=period, bar=size.value, end=edge)
        if page.barLength not in (None, _LENGTH_S[size]):
            raise UnreadableAnswer(f"history of {instrument.symbol}: bars of {page.barLength} s, asked for {size}")
        new = _unique_rows(page, instrument.symbol, before=edge, latest=now + size.length)
        rows = {**{t: (bar, page.volumeFactor) for t, bar in new.items()}, **rows}
        # A page without anything new is a hole in the data (or its beginning): step over it, but never past `start`.
        edge = datetime.fromtimestamp(min(new) / 1000, UTC) if new else edge - reach
    return _frame(rows, calendar, instrument, size, start, end, now)


def _is_cold(answer: Answer) -> bool:
    if answer.status == httpx.codes.OK:
        return is_transient(answer)
    return "no data" not in error_text(answer).lower() and (answer.status in _COLD or is_transient(answer))


def _unique_rows(
    page: payloads.History, symbol: str, *, before: datetime, latest: datetime
) -> dict[int, payloads.HistoryBar]:
    """The page's bars by stamp. The same bar twice is one; two that differ, and one of the future, are refused."""
    limit, horizon = before.timestamp() * 1000, latest.timestamp() * 1000
    found: dict[int, payloads.HistoryBar] = {}
    for bar in page.data:
        if found.setdefault(bar["t"], bar) != bar:
            raise UnreadableAnswer(f"history of {symbol}: two different bars are stamped {bar['t']}")
        if bar["t"] > horizon:
            raise UnreadableAnswer(f"history of {symbol}: a bar of the future is stamped {bar['t']}")
    return {t: bar for t, bar in found.items() if t < limit}


def _frame(
    rows: dict[int, tuple[payloads.HistoryBar, float]],
    calendar: Calendar,
    instrument: Instrument,
    size: BarSize,
    start: datetime,
    end: datetime,
    now: datetime,
) -> pd.DataFrame:
    import pandas as pd

    stamped = _stamped(rows, calendar, size, now)
    kept = [(opened_at, bar, factor) for opened_at, (bar, factor) in stamped if start <= opened_at < end]
    if len({opened_at for opened_at, _, _ in kept}) != len(kept):
        raise UnreadableAnswer(f"history of {instrument.symbol}: two bars of one session")
    opened = pd.DatetimeIndex([opened_at for opened_at, _, _ in kept], tz="UTC").as_unit("ns")
    prices = {name: [bar[key] for _, bar, _ in kept] for name, key in _PRICES.items()}
    frame = pd.DataFrame(
        {
            "conid": instrument.conid,
            "symbol": instrument.symbol,
            "opened_at": opened,
            **prices,
            "volume": [bar["v"] * factor for _, bar, factor in kept],
        },
        columns=list(BAR_COLUMNS),
    )
    numbers = dict.fromkeys(BAR_COLUMNS[3:], "float64")
    return frame.astype({"conid": "int64", "symbol": "object", **numbers}).sort_values("opened_at", ignore_index=True)


def _stamped(
    rows: dict[int, tuple[payloads.HistoryBar, float]], calendar: Calendar, size: BarSize, now: datetime
) -> Iterable[tuple[datetime, tuple[payloads.HistoryBar, float]]]:
    """Each bar that is over, with its opening: a daily bar's is its session's, wherever in the day IBKR stamps it."""
    length = size.length
    for stamp, row in rows.items():
        opened_at = datetime.fromtimestamp(stamp / 1000, UTC)
        closed_at = opened_at + length
        if size is BarSize.DAY:
            trading = _session_of(calendar, opened_at)
            if trading is not None:
                opened_at, closed_at = trading.opens_at, trading.closes_at
        if closed_at <= now:
            yield opened_at, row


def _session_of(calendar: Calendar, moment: datetime) -> TradingSession | None:
    """The session a daily stamp belongs to; None for a day without one, whose bar keeps its stamp to be judged."""
    try:
        return calendar.session_at(moment) or calendar.session(moment.date())
    except InputError:
        return None
