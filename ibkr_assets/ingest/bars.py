"""Daily bars from the broker into the store: which are needed, fetch them, store them in one go.

What goes here: the order of effects over the ports. What does not: the wire (`adapters.ibkr`), versions
(`adapters.postgres.bars`) and judging (`ingest.validation`). Everything is fetched before anything is stored, so a
run that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import DataError, InputError

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.ingest.sources import HistorySource
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarsSaved, BarStore, Clock

#: IBKR answers at most five requests for history at a time.
FETCHES_AT_ONCE = 5
SOURCE = "ibkr"


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was fetched (`bars`, BAR_COLUMNS, warm-up included) and what storing it did."""

    instruments: list[Instrument]
    saved: BarsSaved
    bars: pd.DataFrame


@dataclass(frozen=True, slots=True)
class _Fetch:
    instrument: Instrument
    start: datetime
    end: datetime


def ingest_sessions(
    source: HistorySource,
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    symbols: Sequence[str],
    sessions: Sequence[TradingSession],
    warm_up_sessions: int,
    clock: Clock,
    progress: Callable[[str], None],
    provenance: str = SOURCE,
) -> IngestReport:
    """Fetch the wanted sessions, and those before them that the store lacks, and store them as from `provenance`.

    The wanted sessions are always fetched again, so that a correction is seen. Before them: up to
    `warm_up_sessions`, from the one after the newest bar that is stored, or all of them where there is none. A
    session without a bar is told to `progress` and left out; nothing is invented. Raises InputError for an unknown
    symbol and for nothing to do, DataError for a session that is not over or a bar that was not asked for, and what
    the source raises; in all these cases nothing has been stored.
    """
    if not symbols or not sessions:
        raise InputError(f"{'sessions' if symbols else 'symbols'}: none given; there is nothing to fetch")
    wanted = sorted(set(sessions), key=lambda session: session.day)
    now = clock.now()
    unfinished = [session for session in wanted if session.closes_at > now]
    if unfinished:
        first = unfinished[0]
        raise DataError(
            f"session {first.day}: not over; it closes at {first.closes_at.isoformat()}, now is {now.isoformat()}"
        )
    with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="fetch") as pool:
        instruments = _resolve(source, store, list(dict.fromkeys(symbols)), pool)
        fetches = _plan(store, calendar, instruments, wanted, warm_up_sessions)
        frames = _fetch_all(source, fetches, pool, progress, wanted)
    bars = pd.concat(frames, ignore_index=True)
    store.save_instruments(instruments)
    saved = store.save_bars(bars, BarSize.DAY, source=provenance, known_from=now)
    progress(f"{len(bars)} bars: {saved.inserted} new, {saved.revised} revised, {saved.unchanged} unchanged")
    return IngestReport(instruments, saved, bars)


def _resolve(
    source: HistorySource, store: BarStore, symbols: Sequence[str], pool: ThreadPoolExecutor
) -> list[Instrument]:
    """Instruments in the order of the symbols. Known ones are not asked for again: the conid is the identity."""
    known = {instrument.symbol: instrument for instrument in store.instruments()}
    unknown = [symbol for symbol in symbols if symbol not in known]
    known |= dict(zip(unknown, pool.map(source.resolve, unknown), strict=True))
    return [known[symbol] for symbol in symbols]


def _plan(
    store: BarStore,
    calendar: ExchangeCalendar,
    instruments: Sequence[Instrument],
    wanted: Sequence[TradingSession],
    warm_up_sessions: int,
) -> list[_Fetch]:
    """One range an instrument, from the first session that the store lacks to the last one wanted."""
    first, end = wanted[0], wanted[-1].closes_at
    warm_up = calendar.sessions_before(first.day, warm_up_sessions)
    if not warm_up:
        return [_Fetch(instrument, first.opens_at, end) for instrument in instruments]
    stored = store.load_bars([i.conid for i in instruments], BarSize.DAY, warm_up[0].opens_at, first.opens_at)
    newest = stored.groupby("conid")["opened_at"].max().to_dict()
    fetches = []
    for instrument in instruments:
        last = newest.get(instrument.conid)
        lacking = [session for session in warm_up if last is None or session.opens_at > last]
        fetches.append(_Fetch(instrument, (lacking or [first])[0].opens_at, end))
    return fetches


def _fetch_all(
    source: HistorySource,
    fetches: Sequence[_Fetch],
    pool: ThreadPoolExecutor,
    progress: Callable[[str], None],
    wanted: Sequence[TradingSession],
) -> list[pd.DataFrame]:
    futures = [pool.submit(source.fetch_bars, f.instrument, BarSize.DAY, f.start, f.end) for f in fetches]
    frames = []
    try:
        for fetch, future in zip(fetches, futures, strict=True):
            bars = future.result()
            _check_answer(fetch, bars)
            frames.append(bars[list(BAR_COLUMNS)])
            progress(_describe(fetch, bars, wanted))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return frames


def _check_answer(fetch: _Fetch, bars: pd.DataFrame) -> None:
    """Only bars that were asked for may be stored: of this instrument, and of sessions that are over."""
    symbol = fetch.instrument.symbol
    missing = [name for name in BAR_COLUMNS if name not in bars.columns]
    if missing:
        raise DataError(f"bars of {symbol}: columns {missing} are missing")
    strange = bars.loc[bars["conid"] != fetch.instrument.conid, "conid"]
    if not strange.empty:
        raise DataError(f"bars of {symbol}: conid {strange.iloc[0]} came, {fetch.instrument.conid} was asked for")
    outside = bars.loc[(bars["opened_at"] < fetch.start) | (bars["opened_at"] >= fetch.end), "opened_at"]
    if not outside.empty:
        raise DataError(
            f"bars of {symbol}: opened_at {outside.iloc[0].isoformat()} came, which is not within "
            f"[{fetch.start.isoformat()}, {fetch.end.isoformat()})"
        )


def _describe(fetch: _Fetch, bars: pd.DataFrame, wanted: Sequence[TradingSession]) -> str:
    there = set(bars["opened_at"])
    absent = [session.day.isoformat() for session in wanted if session.opens_at not in there]
    text = f"{fetch.instrument.symbol}: {len(bars)} bars from {fetch.start.date()} to {fetch.end.date()}"
    return f"{text}; none of {', '.join(absent)}" if absent else text
