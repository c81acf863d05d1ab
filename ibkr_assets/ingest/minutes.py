"""Minute bars of a session while it is open: those that are over for good, fetched, stored and judged.

What goes here: how far a session is final, which minutes an instrument lacks, and the order of effects over the ports.
What does not: when to ask (`defs.minutes`), daily bars (`ingest.bars`) and what is wrong with a bar
(`market.validation`). Once the session is over it is fetched whole, so that a correction of the day is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.ingest.acceptance import fetches_to_hold_for, split_fetch
from ibkr_assets.ingest.bars import FETCHES_AT_ONCE, SOURCE, save_delays
from ibkr_assets.ingest.decisions import as_decided, bars_to_hold_for
from ibkr_assets.ingest.evidence import find_evidence
from ibkr_assets.market.jumps import STUCK_BARS, USUAL_BARS
from ibkr_assets.market.validation import judge
from ibkr_assets.ports import BarsSaved

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.ingest.sources import HistorySource
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, Clock

MINUTE = BarSize.MINUTE.length
#: Stored minutes that are fetched again with the new ones: a vendor mends the last few, and the request costs the same.
AGAIN = 10 * MINUTE
#: Read before the first new bar: what says what is usual, and room for some that have no verdict.
CONTEXT = (USUAL_BARS + STUCK_BARS + 10) * MINUTE


@dataclass(frozen=True, slots=True)
class MinuteReport:
    """What one collection did. Bars that opened before `until` (aware UTC) are final.

    `fetched` counts rows that came; `late` has each instrument without the last final bar, with its newest one of the
    session, or None.
    """

    until: datetime
    instruments: list[Instrument]
    fetched: int
    saved: BarsSaved
    accepted: int
    quarantined: pd.DataFrame
    rejected: pd.DataFrame
    late: dict[str, datetime | None]


def final_until(session: TradingSession, now: datetime) -> datetime:
    """Minutes of the session that opened before this are final at `now` (aware): one bar length after their end.

    The opening itself where none is yet; never past the close, nor within a break.
    """
    whole = (now - MINUTE - session.opens_at) // MINUTE
    until = min(max(session.opens_at + whole * MINUTE, session.opens_at), session.closes_at)
    is_in_break = (
        session.breaks_at is not None
        and session.resumes_at is not None
        and session.breaks_at < until < session.resumes_at
    )
    return session.breaks_at if is_in_break and session.breaks_at is not None else until


def collect_minutes(
    source: HistorySource,
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    symbols: Sequence[str],
    session: TradingSession,
    clock: Clock,
    progress: Callable[[str], None],
    provenance: str = SOURCE,
) -> MinuteReport:
    """Fetch the final minutes that the store lacks, with those just before them, store them and judge them.

    Everything is fetched before anything is stored. A minute that is not final yet is left for the next time, whatever
    the source says of it. Gaps are registered when the session is over. Raises InputError for no symbols or an unknown
    one, DataError when no minute is final yet, and what the source raises; then nothing has been stored.
    """
    if not symbols:
        raise InputError("symbols: none given; there is nothing to collect")
    now = clock.now()
    until = final_until(session, now)
    if until == session.opens_at:
        raise DataError(
            f"session {session.day}: no minute is final; it opens at {session.opens_at.isoformat()}, "
            f"now is {now.isoformat()}"
        )
    with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="minutes") as pool:
        instruments, is_new = _resolve(source, store, symbols, pool)
        starts = _starts(store, instruments, session, until)
        futures = [pool.submit(source.fetch_bars, one, BarSize.MINUTE, starts[one.conid], until) for one in instruments]
        try:
            parts = [split_fetch(one, future.result(), None) for one, future in zip(instruments, futures, strict=True)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    parts = [(_final(bars, starts[one.conid], until), bad) for one, (bars, bad) in zip(instruments, parts, strict=True)]
    bars = pd.concat([good for good, _ in parts], ignore_index=True)
    rejected = pd.concat(
        [bad.assign(asked_conid=one.conid) for one, (_, bad) in zip(instruments, parts, strict=True)],
        ignore_index=True,
    )
    store.save_instruments(is_new)
    store.save_rejected(rejected, BarSize.MINUTE, source=provenance, known_from=now)
    saved = store.save_bars(bars[list(BAR_COLUMNS)], BarSize.MINUTE, source=provenance, known_from=now)
    save_delays(store, bars, BarSize.MINUTE, now)
    counts = {one: len(good) + len(bad) for one, (good, bad) in zip(instruments, parts, strict=True)}
    store.save_holds(fetches_to_hold_for(counts, rejected, at=now))
    accepted, quarantined, late = _judge(store, calendar, instruments, session, min(starts.values()), until, now)
    progress(
        f"{len(bars)} minutes up to {until.isoformat()}: {saved.inserted} new, {saved.revised} revised, "
        f"{saved.unchanged} unchanged"
    )
    return MinuteReport(until, instruments, len(bars), saved, accepted, quarantined, rejected, late)


def _resolve(
    source: HistorySource, store: BarStore, symbols: Sequence[str], pool: ThreadPoolExecutor
) -> tuple[list[Instrument], list[Instrument]]:
    """Instruments of the symbols, and those of them that the store does not know yet."""
    known = {instrument.symbol: instrument for instrument in store.instruments()}
    wanted = list(dict.fromkeys(symbols))
    new = list(pool.map(source.resolve, [symbol for symbol in wanted if symbol not in known]))
    known |= {instrument.symbol: instrument for instrument in new}
    return [known[symbol] for symbol in wanted], new


def _starts(
    store: BarStore, instruments: Sequence[Instrument], session: TradingSession, until: datetime
) -> dict[int, datetime]:
    """From where each instrument is fetched."""
    starts = dict.fromkeys((one.conid for one in instruments), session.opens_at)
    if until == session.closes_at:
        return starts
    stored = store.load_bars(list(starts), BarSize.MINUTE, session.opens_at, until, has_versions=False)
    for conid, last in stored.groupby("conid")["opened_at"].max().items():
        starts[int(str(conid))] = max(session.opens_at, min(last.to_pydatetime() + MINUTE, until) - AGAIN)
    return starts


def _final(bars: pd.DataFrame, start: datetime, until: datetime) -> pd.DataFrame:
    """A source may give more than it was asked for, and a minute that is still forming."""
    return bars[(bars["opened_at"] >= start) & (bars["opened_at"] < until)].reset_index(drop=True)


def _judge(
    store: BarStore,
    calendar: ExchangeCalendar,
    instruments: Sequence[Instrument],
    session: TradingSession,
    start: datetime,
    until: datetime,
    now: datetime,
) -> tuple[int, pd.DataFrame, dict[str, datetime | None]]:
    """Store the verdicts on bars opened in [start, until). How many were accepted, which were not, and who is late."""
    conids = [one.conid for one in instruments]
    reach = _context_start(calendar, session, start)
    bars = store.load_bars(conids, BarSize.MINUTE, reach, until)
    good = store.load_bars(conids, BarSize.MINUTE, reach, start, is_validated=True, has_versions=False)
    good_before = good[["conid", "opened_at"]]
    evidence = find_evidence(store, bars, BarSize.MINUTE, calendar)
    found = judge(
        bars, calendar=calendar, sessions=[session], instruments=instruments, size=BarSize.MINUTE, now=now,
        evidence=evidence,
    )  # fmt: skip
    verdict = as_decided(store, BarSize.MINUTE, found)
    accepted, quarantined = (
        frame[frame["opened_at"] >= start].reset_index(drop=True) for frame in (verdict.accepted, verdict.quarantined)
    )
    store.save_verdicts(BarSize.MINUTE, accepted, quarantined)
    store.save_holds(bars_to_hold_for(bars, verdict, good_before))
    if until == session.closes_at:
        store.save_gaps(BarSize.MINUTE, verdict.missing, conids=conids, sessions=[session.day])
    newest = bars[bars["opened_at"] >= session.opens_at].groupby("conid")["opened_at"].max().to_dict()
    late = {
        one.symbol: None if (last := newest.get(one.conid)) is None else last.to_pydatetime()
        for one in instruments
        if (last := newest.get(one.conid)) is None or last < until - MINUTE
    }
    return len(accepted), quarantined, late


def _context_start(calendar: ExchangeCalendar, session: TradingSession, start: datetime) -> datetime:
    """Far enough before `start` to know what is usual, in the session before where this one has just begun."""
    if start - CONTEXT >= session.opens_at:
        return start - CONTEXT
    before = calendar.sessions_up_to(session.opens_at, 1)
    return max(before[0].opens_at, before[0].closes_at - CONTEXT) if before else session.opens_at


def newest_boundary(session: TradingSession, now: datetime, every: timedelta) -> datetime | None:
    """The newest end of a whole number of `every` since the opening, or the close, whose minutes are final at `now`.

    None where the session has none yet.
    """
    until = final_until(session, now)
    if until == session.closes_at:
        return until
    steps = (until - session.opens_at) // every
    return session.opens_at + steps * every if steps else None
