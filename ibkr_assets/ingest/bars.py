"""Daily bars from their source into the store: which are needed, fetch them, store them in one go.

What goes here: the order of effects over the ports. What does not: the wire (`adapters.ibkr`), which rows are bars of
the instrument (`ingest.acceptance`), versions (`adapters.postgres.bars`) and judging (`ingest.validation`). Everything
is fetched before anything is stored, so a run that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.ingest.acceptance import fetches_to_hold_for, split_fetch

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
    """What was fetched (`bars`, BAR_COLUMNS, warm-up included) and what storing it did.

    `rejected` are rows that are no bars of their instrument, each with a `reason`.
    """

    instruments: list[Instrument]
    saved: BarsSaved
    bars: pd.DataFrame
    rejected: pd.DataFrame


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
    session without a bar is told to `progress` and left out; nothing is invented. A row that is no bar of the
    instrument goes into quarantine, and the instrument is held where they are more than 2 % of its fetch.
    Raises InputError for an unknown symbol and for nothing to do, DataError for a session that is not over or a bar of
    another time, and what the source raises; in all these cases nothing has been stored.
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
        instruments, described = _resolve(source, store, list(dict.fromkeys(symbols)), pool)
        fetches = _plan(store, calendar, instruments, wanted, warm_up_sessions)
        frames, rejects = _fetch_all(source, fetches, described, pool, progress, wanted)
    bars, strange = pd.concat(frames, ignore_index=True), pd.concat(rejects, ignore_index=True)
    store.save_instruments([i for i in instruments if described.get(i.conid) == (i.symbol, i.currency)])
    store.save_rejected(strange, BarSize.DAY, source=provenance, known_from=now)
    saved = store.save_bars(bars[list(BAR_COLUMNS)], BarSize.DAY, source=provenance, known_from=now)
    save_delays(store, bars, BarSize.DAY, now)
    counts = {f.instrument: len(a) + len(b) for f, a, b in zip(fetches, frames, rejects, strict=True)}
    store.save_holds(fetches_to_hold_for(counts, strange, at=now))
    progress(f"{len(bars)} bars: {saved.inserted} new, {saved.revised} revised, {saved.unchanged} unchanged")
    return IngestReport(instruments, saved, bars[list(BAR_COLUMNS)], strange)


def _resolve(
    source: HistorySource, store: BarStore, symbols: Sequence[str], pool: ThreadPoolExecutor
) -> tuple[list[Instrument], dict[int, tuple[str, str]]]:
    """Instruments in the order of the symbols, and what the source calls them now, with their currency.

    Known ones are not looked up by symbol again: the conid is the identity.
    """
    known = {instrument.symbol: instrument for instrument in store.instruments()}
    described = source.describe([known[symbol] for symbol in symbols if symbol in known])
    unknown = [symbol for symbol in symbols if symbol not in known]
    new = dict(zip(unknown, pool.map(source.resolve, unknown), strict=True))
    described |= {instrument.conid: (instrument.symbol, instrument.currency) for instrument in new.values()}
    known |= new
    return [known[symbol] for symbol in symbols], described


def save_delays(store: BarStore, bars: pd.DataFrame, size: BarSize, now: datetime) -> None:
    """Mark what came late. A feed without delay is told too: it confirms what an earlier one gave."""
    marked = bars[["conid", "opened_at"]].assign(availability="", delay_s=float("nan"))
    for name in ("availability", "delay_s"):
        if name in bars.columns:
            marked[name] = bars[name]
    store.save_delays(marked.assign(availability=marked["availability"].fillna("")), size, now=now)


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
    conids = [instrument.conid for instrument in instruments]
    stored = store.load_bars(conids, BarSize.DAY, warm_up[0].opens_at, first.opens_at, has_versions=False)
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
    described: Mapping[int, tuple[str, str]],
    pool: ThreadPoolExecutor,
    progress: Callable[[str], None],
    wanted: Sequence[TradingSession],
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    futures = [pool.submit(source.fetch_bars, f.instrument, BarSize.DAY, f.start, f.end) for f in fetches]
    frames, rejects = [], []
    try:
        for fetch, future in zip(fetches, futures, strict=True):
            bars, rejected = split_fetch(fetch.instrument, future.result(), described.get(fetch.instrument.conid))
            _check_range(fetch, bars)
            frames.append(bars)
            rejects.append(rejected.assign(asked_conid=fetch.instrument.conid))
            progress(_describe(fetch, bars, rejected, wanted))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return frames, rejects


def _check_range(fetch: _Fetch, bars: pd.DataFrame) -> None:
    """Only bars that were asked for may be stored: of sessions that are over."""
    symbol = fetch.instrument.symbol
    outside = bars.loc[(bars["opened_at"] < fetch.start) | (bars["opened_at"] >= fetch.end), "opened_at"]
    if not outside.empty:
        raise DataError(
            f"bars of {symbol}: opened_at {outside.iloc[0].isoformat()} came, which is not within "
            f"[{fetch.start.isoformat()}, {fetch.end.isoformat()})"
        )


def _describe(fetch: _Fetch, bars: pd.DataFrame, rejected: pd.DataFrame, wanted: Sequence[TradingSession]) -> str:
    there = set(bars["opened_at"])
    absent = [session.day.isoformat() for session in wanted if session.opens_at not in there]
    text = f"{fetch.instrument.symbol}: {len(bars)} bars from {fetch.start.date()} to {fetch.end.date()}"
    if len(rejected):
        text += f"; {len(rejected)} rows in quarantine: {', '.join(sorted(set(rejected['reason'])))}"
    return f"{text}; none of {', '.join(absent)}" if absent else text
