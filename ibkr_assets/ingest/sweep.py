"""The daily sweep: sessions of the last thirty days that lack bars, asked for again within a budget.

What goes here: which gaps are tried when, and what becomes of one that nobody can fill. What does not: fetching
(`ingest.bars`), judging (`ingest.validation`) and the register itself (`adapters.postgres.gaps`). A gap is closed by a
bar, good or bad; a bad one is in quarantine and no gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ibkr_assets.domain.alert import Alert, AlertCode
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import BrokerRefusal, InputError, UnreadableAnswer
from ibkr_assets.ingest.bars import SOURCE, ingest_sessions
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.validation import find_missing

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.ingest.sources import HistorySource
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.market.gap import Gap
    from ibkr_assets.ports import BarStore, Clock

DAYS = 30
#: Requests for history of one sweep. IBKR answers ten a second at most; a minute of them is enough for a day's holes.
BUDGET = 600
#: How long a gap rests after each try that did not fill it. After the last one the vendor has no such bar.
DELAYS = (timedelta(hours=1), timedelta(hours=4), timedelta(days=1), timedelta(days=3))
TRIES = len(DELAYS) + 1
NOT_DELIVERED, VENDOR_NONE = "not_delivered", "vendor_none"


class GapRegister(Protocol):
    """The register as a sweep uses it: see `adapters.postgres.gaps`."""

    def load_gaps(self, size: BarSize, conids: Sequence[int], *, is_closed: bool = False) -> list[Gap]:
        """Open gaps by symbol and session."""

    def note_tries(
        self, size: BarSize, tried: Iterable[tuple[str, date, str, datetime | None]], *, since: datetime
    ) -> None:
        """One try more of these gaps (symbol, session, cause from now on, when next), as far as they are open."""


@dataclass(slots=True)
class SweepReport:
    """Counts of gaps: open ones found, tried, filled, and given up now (`vendor_none`), which somebody should see.

    `left` were not tried because the budget was spent or their time has not come; `failed` names instruments whose
    request was refused, with the broker's words.
    """

    instruments: int = 0
    sessions: int = 0
    open: int = 0
    tried: int = 0
    filled: int = 0
    left: int = 0
    given_up: list[tuple[str, date]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def sweep_gaps(
    source: HistorySource,
    store: BarStore,
    register: GapRegister,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    clock: Clock,
    progress: Callable[[str], None],
    days: int = DAYS,
    budget: int = BUDGET,
    provenance: str = SOURCE,
    raise_alert: Callable[[Alert], bool] = lambda _: True,
) -> SweepReport:
    """Register what the sessions of the last `days` lack, and ask for it: one request an instrument, at most `budget`.

    The first session of an instrument that has a bar is where it begins; before it nothing is missing. Each gap that
    is given up raises an alert, before that is noted: one told twice is counted, one not told at all is lost. Raises
    InputError for a budget or days below one, and Unavailable when the gateway is away: no try is counted then.
    """
    if days < 1 or budget < 1:
        raise InputError(f"{'days' if days < 1 else 'budget'}: must be at least 1")
    now = clock.now()
    sessions = [s for s in calendar.sessions_between(now - timedelta(days=days), now) if s.closes_at <= now]
    report = SweepReport(instruments=len(instruments), sessions=len(sessions))
    if not sessions or not instruments:
        return report
    _register(store, calendar, instruments, sessions)
    due = _due(register.load_gaps(BarSize.DAY, [i.conid for i in instruments]), sessions, now, report)
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    progress(f"{report.open} gaps of {report.instruments} instruments in {len(sessions)} sessions, {len(due)} to ask")
    for number, (symbol, gaps) in enumerate(sorted(due.items()), start=1):
        if number > budget:
            report.left += len(gaps)
            continue
        wanted = [calendar.session(gap.session) for gap in gaps]
        try:
            ingest_sessions(
                source, store, calendar, symbols=[symbol], sessions=wanted, warm_up_sessions=0, clock=clock,
                progress=lambda _: None, provenance=provenance,
            )  # fmt: skip
            validate_sessions(store, calendar, instruments=[by_symbol[symbol]], sessions=wanted)
        except (BrokerRefusal, UnreadableAnswer) as error:
            report.failed[symbol] = str(error)
        _note(register, by_symbol[symbol], gaps, now, report, raise_alert)
        progress(f"{number} of {len(due)}: {symbol}, {len(gaps)} asked for; {report.filled} of {report.tried} filled")
    return report


def _register(
    store: BarStore, calendar: ExchangeCalendar, instruments: Sequence[Instrument], sessions: list[TradingSession]
) -> None:
    """Every session without a bar, of instruments that had one before it."""
    conids = [instrument.conid for instrument in instruments]
    reach = calendar.sessions_before(sessions[0].day, 1)[0].opens_at
    bars = store.load_bars(conids, BarSize.DAY, reach, sessions[-1].closes_at, has_versions=False)
    moments = bars["opened_at"].to_numpy(dtype="datetime64[ns]").astype(np.int64)
    missing = find_missing(bars["conid"], moments, sessions, instruments, BarSize.DAY)
    first = {symbol: moment.date() for symbol, moment in bars.groupby("symbol")["opened_at"].min().items()}
    wanted = [(symbol, day) for symbol, day in missing if symbol in first and day > first[symbol]]
    store.save_gaps(BarSize.DAY, wanted, conids=conids, sessions=[session.day for session in sessions])


def _due(
    gaps: Sequence[Gap], sessions: Sequence[TradingSession], now: datetime, report: SweepReport
) -> dict[str, list[Gap]]:
    """Gaps to be asked for now, by symbol, of the sessions that are swept."""
    days = {session.day for session in sessions}
    due: defaultdict[str, list[Gap]] = defaultdict(list)
    for gap in gaps:
        if gap.session not in days:
            continue
        report.open += 1
        if gap.cause == VENDOR_NONE or (gap.next_try_at is not None and gap.next_try_at > now):
            report.left += 1
        else:
            due[gap.symbol].append(gap)
    return dict(due)


def _note(
    register: GapRegister,
    instrument: Instrument,
    gaps: Sequence[Gap],
    now: datetime,
    report: SweepReport,
    raise_alert: Callable[[Alert], bool],
) -> None:
    """Count the try for what is still open."""
    left = {gap.session for gap in register.load_gaps(BarSize.DAY, [instrument.conid])}
    tried = []
    for gap in gaps:
        report.tried += 1
        if gap.session not in left:
            report.filled += 1
            continue
        is_last = gap.tries + 1 >= TRIES
        if is_last:
            report.given_up.append((gap.symbol, gap.session))
            raise_alert(_given_up(gap))
        next_at = None if is_last else now + DELAYS[gap.tries]
        tried.append((gap.symbol, gap.session, VENDOR_NONE if is_last else NOT_DELIVERED, next_at))
    register.note_tries(BarSize.DAY, tried, since=now)


def _given_up(gap: Gap) -> Alert:
    return Alert(
        AlertCode.GAP_GIVEN_UP,
        f"{gap.symbol} {gap.session.isoformat()} {BarSize.DAY.value}",
        f"{gap.symbol} has no {BarSize.DAY.value} bar of {gap.session.isoformat()}: asked for {TRIES} times in vain",
        {"symbol": gap.symbol, "session": gap.session.isoformat(), "cause": VENDOR_NONE, "tries": TRIES},
    )
