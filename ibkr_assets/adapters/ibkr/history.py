"""Bars of a wanted range, paged backwards through IBKR's history.

What goes here: windows, pages, and which bars are over. What an answer says of itself is judged in
`adapters.ibkr.history_pages`; whether a bar is believable is `market.validation`'s question. A page
ends at `startTime`: that is IBKR's word for the end of the window, and its other direction does not work.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ibkr_assets.adapters.ibkr import payloads
from ibkr_assets.adapters.ibkr.history_pages import Page, ask, judge_page, parse_page
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import InputError, UnreadableAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    import pandas as pd

    from ibkr_assets.adapters.ibkr.session import Session
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession

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
#: What a frame has beside BAR_COLUMNS where an answer was not of now, or could not be used.
MARKS = ("availability", "delay_s", "reason", "raw")
_Row = tuple[payloads.HistoryBar, Page]


class Calendar(Protocol):
    """What is needed of an exchange's days (`market.calendar`)."""

    def session(self, day: date) -> TradingSession:
        """The session of a day. Raises InputError where there is none."""

    def session_at(self, moment: datetime) -> TradingSession | None:
        """The session that is open at a moment."""


def fetch_page(session: Session, conid: int, *, period: str, bar: str, end: datetime | None = None) -> payloads.History:
    """One answer of IBKR: bars of the `period` before `end`, or the newest. No data is an empty page."""
    return parse_page(ask(session, conid, period=period, bar=bar, end=end), str(conid))


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
    """Bars opened in [start, end) and over at `now`, columns BAR_COLUMNS, ascending; see `ports.BarSource`.

    Rows of an answer that cannot be used follow them, with a `reason`. Nothing is asked before an answer that is none.
    """
    for name, moment in (("start", start), ("end", end)):
        if moment.tzinfo is None:
            raise InputError(f"{name} {moment!r}: must carry a time zone")
    if not start < end:
        raise InputError(f"end {end.isoformat()}: must be after start {start.isoformat()}")
    rows: dict[int, _Row] = {}
    rejected: list[dict[str, Any]] = []
    edge = min(end, now)
    while edge > start:
        period, reach = next(((p, r) for p, r in PERIODS[size] if edge - r <= start), PERIODS[size][-1])
        answer = ask(session, instrument.conid, period=period, bar=size.value, end=edge)
        page = judge_page(answer, instrument, _LENGTH_S[size])
        rejected += [row for row in page.rejected if row not in rejected]  # pages may overlap
        new = _unique_rows(page.history, instrument.symbol, before=edge, latest=now + size.length)
        rows = {**{t: (bar, page) for t, bar in new.items()}, **rows}
        # A page without anything new is a hole in the data (or its beginning): step over it, but never past `start`.
        edge = datetime.fromtimestamp(min(new) / 1000, UTC) if new else edge - reach
    return _with_marks(_frame(rows, calendar, instrument, size, start, end, now), rejected)


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
    rows: dict[int, _Row],
    calendar: Calendar,
    instrument: Instrument,
    size: BarSize,
    start: datetime,
    end: datetime,
    now: datetime,
) -> pd.DataFrame:
    import pandas as pd

    stamped = _stamped(rows, calendar, size, now)
    kept = [(opened_at, bar, page) for opened_at, (bar, page) in stamped if start <= opened_at < end]
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
            "volume": [bar["v"] * page.history.volumeFactor for _, bar, page in kept],
        },
        columns=list(BAR_COLUMNS),
    )
    numbers = dict.fromkeys(BAR_COLUMNS[3:], "float64")
    frame = frame.astype({"conid": "int64", "symbol": "object", **numbers})
    if any(page.availability for _, _, page in kept):
        frame["availability"] = [page.availability for _, _, page in kept]
        frame["delay_s"] = pd.array([page.delay_s for _, _, page in kept], dtype="Float64").to_numpy(
            "float64", na_value=float("nan")
        )
    return frame.sort_values("opened_at", ignore_index=True)


def _with_marks(bars: pd.DataFrame, rejected: list[dict[str, Any]]) -> pd.DataFrame:
    """The bars, then the rows that are none."""
    import pandas as pd

    if not rejected:
        return bars
    rows = pd.DataFrame(rejected).reindex(columns=[*BAR_COLUMNS, "reason", "raw"])
    rows["opened_at"] = pd.to_datetime(rows["opened_at"], utc=True).astype("datetime64[ns, UTC]")
    rows = rows.astype(dict.fromkeys(BAR_COLUMNS[3:], "float64"))
    return pd.concat([bars.assign(reason="", raw=None), rows], ignore_index=True)


def _stamped(
    rows: dict[int, _Row], calendar: Calendar, size: BarSize, now: datetime
) -> Iterable[tuple[datetime, _Row]]:
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
