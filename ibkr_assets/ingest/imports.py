"""Files of bars into the store: read, name their instruments, store in versions, judge, register gaps.

What goes here: the order of effects over the store, file by file in batches that fit in memory. What does not: reading
a file (`ingest.bar_files`), and judging (`market.validation`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.ingest.bar_files import FileRows, bar_files, read_rows
from ibkr_assets.ingest.claims import split_by_claims
from ibkr_assets.ingest.decisions import as_decided, bars_to_hold_for
from ibkr_assets.ingest.evidence import find_evidence
from ibkr_assets.ingest.validation import CONTEXT_SESSIONS
from ibkr_assets.market.validation import Verdict, find_missing, find_reasons, split_by_reason

if TYPE_CHECKING:
    from ibkr_assets.domain.bar_file import ReadFile
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, Clock

SOURCE = "file"

#: Rows stored and judged at a time.
BATCH_ROWS = 250_000

#: How long a bar says what is usual: surely so many sessions as are read before a bar to know it.
INFLUENCE = timedelta(days=2 * CONTEXT_SESSIONS)


class Remember(Protocol):
    """Where files are noted that need not be read again: see `adapters.postgres.read_files`."""

    def __call__(self, files: Sequence[ReadFile], size: BarSize, *, now: datetime) -> None:
        """These were read as bars of this size, and every row of them is stored and judged."""


@dataclass(slots=True)
class ImportReport:
    """Counts of an import. `rows` of the files = bars (new, revised, unchanged) + `repeated` + `rejected`, by reason.

    Of `files` those counted by `files_unchanged` were not read again. `accepted` and `quarantined` (by reason) are the
    verdicts on all bars that the other files name, as they are stored now; `judged_again` counts bars that they do
    not name, and that were judged anew because they come soon after those.
    """

    files: int = 0
    files_unchanged: int = 0
    rows: int = 0
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    repeated: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    judged_again: int = 0
    gaps: int = 0


def import_bars(
    store: BarStore,
    calendar: ExchangeCalendar,
    path: Path,
    *,
    size: BarSize,
    resolve: Callable[[str], Instrument],
    clock: Clock,
    progress: Callable[[str], None],
) -> ImportReport:
    """Store and judge the bars of a file, or of all files of a directory: see `import_rows`.

    Raises InputError for a file that is none.
    """
    files = bar_files(path)
    return import_rows(
        store, calendar, (read_rows(file, size, calendar) for file in files), parts=f"{len(files)} files", size=size,
        source=SOURCE, resolve=resolve, clock=clock, progress=progress,
    )  # fmt: skip


def import_rows(
    store: BarStore,
    calendar: ExchangeCalendar,
    rows: Iterable[FileRows],
    *,
    parts: str,
    size: BarSize,
    source: str,
    resolve: Callable[[str], Instrument],
    clock: Clock,
    progress: Callable[[str], None],
    remember: Remember | None = None,
) -> ImportReport:
    """Store and judge the bars of several parts, which are files or pieces of a table; `parts` says of how many.

    A symbol that the store does not know is given to `resolve`, before anything of its batch is stored. The same bars
    again write nothing, whatever their source; other values are the next version, which carries `source`. A file is
    given to `remember` once all of its rows are stored and judged. Raises what `rows` and `resolve` raise; batches
    before it stay stored.
    """
    report = ImportReport()
    known = {instrument.symbol: instrument for instrument in store.instruments()}
    for batch in _batches(rows, report):
        read = pd.concat([part.bars for part in batch], ignore_index=True)
        no_bars = pd.concat([part.unreadable for part in batch], ignore_index=True)
        symbols = sorted({*read["symbol"], *no_bars["symbol"].dropna()})
        new = [resolve(symbol) for symbol in symbols if symbol not in known]
        store.save_instruments(new)
        known |= {instrument.symbol: instrument for instrument in new}
        conids = {symbol: known[symbol].conid for symbol in symbols}
        bars, strange = split_by_claims(read, known)
        bars.insert(0, "conid", bars["symbol"].map(conids).astype("int64"))
        kept = [frame for frame in (no_bars, strange) if len(frame)]
        unreadable = pd.concat(kept, ignore_index=True) if kept else no_bars
        unreadable = unreadable.assign(conid=unreadable["symbol"].map(conids))
        _save(store, bars, unreadable, size, clock.now(), report, source)
        if len(bars):
            _judge(store, calendar, bars, [known[symbol] for symbol in symbols], size, clock.now(), report)
        if remember is not None:
            remember(_to_remember(batch, strange), size, now=clock.now())
        progress(
            f"{report.files} of {parts}, {report.rows} rows: {report.inserted} new, {report.revised} revised, "
            f"{report.unchanged} unchanged, {report.quarantined.total() + report.rejected.total()} in quarantine"
        )
    if report.files_unchanged:
        progress(f"{report.files_unchanged} of {parts} unchanged, and not read again")
    return report


def _batches(rows: Iterable[FileRows], report: ImportReport) -> Iterator[list[FileRows]]:
    """Some parts together, as many as fit in memory with what is made of them; all of them are counted."""
    batch: list[FileRows] = []
    for part in rows:
        report.files += 1
        if part.is_unchanged:
            report.files_unchanged += 1
            continue
        batch.append(part)
        if sum(len(one.bars) for one in batch) >= BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _to_remember(batch: Sequence[FileRows], strange: pd.DataFrame) -> list[ReadFile]:
    """The files of the batch, without those of which a row was refused for what its instrument is, not the file."""
    doubtful = set(strange["symbol"])
    return [
        part.read for part in batch if part.read and not (doubtful and doubtful & set(part.bars["symbol"].unique()))
    ]


def _save(
    store: BarStore,
    bars: pd.DataFrame,
    unreadable: pd.DataFrame,
    size: BarSize,
    now: datetime,
    report: ImportReport,
    source: str,
) -> None:
    store.save_rejected(unreadable, size, source=source, known_from=now)
    saved = store.save_bars(bars[list(BAR_COLUMNS)], size, source=source, known_from=now)
    report.rows += len(bars) + len(unreadable)
    report.inserted += saved.inserted
    report.revised += saved.revised
    report.unchanged += saved.unchanged
    report.rejected.update(unreadable["reason"].tolist())
    if len(bars) > saved.inserted + saved.revised + saved.unchanged:
        repeats = bars.duplicated(["conid", "opened_at"], keep="last")
        same = bars.duplicated([name for name in BAR_COLUMNS if name != "symbol"], keep="last")
        report.repeated += int(same.sum())
        report.rejected.update({"duplicate_in_fetch": int((repeats & ~same).sum())} if (repeats & ~same).any() else {})


def _judge(
    store: BarStore,
    calendar: ExchangeCalendar,
    batch: pd.DataFrame,
    instruments: Sequence[Instrument],
    size: BarSize,
    now: datetime,
    report: ImportReport,
) -> None:
    """Judge what the batch names; bars before it that are stored say what is usual.

    Those after it for which it says what is usual are judged again: they may lie in files that are not read again.
    """
    start, end = batch["opened_at"].min().to_pydatetime(), batch["opened_at"].max().to_pydatetime()
    conids = [instrument.conid for instrument in instruments]
    past = calendar.sessions_up_to(start, CONTEXT_SESSIONS)
    until = max(end + timedelta(microseconds=1), min(end + INFLUENCE, now))
    bars = store.load_bars(conids, size, past[0].opens_at if past else start, until, has_verdicts=True)
    was_good = bars.pop("is_accepted").to_numpy(dtype=bool)
    is_named = _is_among(bars, batch)
    is_judged = is_named | _is_after_the_first(bars, batch)
    earlier = bars.loc[was_good & ~is_judged, ["conid", "opened_at"]]
    evidence = np.zeros(len(bars), dtype=np.int8)
    evidence[is_judged] = find_evidence(store, bars[is_judged], size, calendar)
    reasons = find_reasons(bars, is_judged=is_judged, calendar=calendar, size=size, now=now, evidence=evidence)
    accepted, quarantined = split_by_reason(bars, reasons, is_judged)
    verdict = as_decided(store, size, Verdict(accepted, quarantined, []))
    store.save_verdicts(size, verdict.accepted, verdict.quarantined)
    store.save_holds(bars_to_hold_for(bars, verdict, earlier))
    again = int(is_judged.sum() - is_named.sum())
    named, bad = (
        frame[_is_among(frame, batch)] if again else frame for frame in (verdict.accepted, verdict.quarantined)
    )
    report.accepted += len(named)
    report.quarantined.update(bad["reason"].tolist())
    report.judged_again += again
    sessions = [s for s in calendar.sessions_between(start, end) if s.closes_at <= now]
    if sessions:
        missing = find_missing(bars["conid"], _nanoseconds(bars["opened_at"]), sessions, instruments, size)
        missing = _within_listing(missing, named)
        store.save_gaps(size, missing, conids=conids, sessions=[s.day for s in sessions])
        report.gaps += len(missing)


def _is_among(bars: pd.DataFrame, batch: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of the stored bars the batch names; of a first import all of them, which shows without a search."""
    key = ["conid", "opened_at"]
    if len(bars) == len(batch):
        ours, theirs = ([frame["conid"].to_numpy(), _nanoseconds(frame["opened_at"])] for frame in (bars, batch))
        order = np.lexsort(theirs[::-1])
        if all(np.array_equal(stored, named[order]) for stored, named in zip(ours, theirs, strict=True)):
            return np.ones(len(bars), dtype=bool)
    found: npt.NDArray[np.bool_] = pd.MultiIndex.from_frame(bars[key]).isin(pd.MultiIndex.from_frame(batch[key]))
    return found


def _is_after_the_first(bars: pd.DataFrame, batch: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of the stored bars are not before the first that the batch names of their instrument."""
    first = bars["conid"].map(batch.groupby("conid")["opened_at"].min())
    found: npt.NDArray[np.bool_] = (bars["opened_at"] >= first).to_numpy(dtype=bool)
    return found


def _nanoseconds(moments: pd.Series) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = moments.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return values


def _within_listing(missing: list[tuple[str, date]], accepted: pd.DataFrame) -> list[tuple[str, date]]:
    """Only gaps between an instrument's own first and last good bar: outside of them it may not be listed."""
    span = accepted.groupby("symbol")["opened_at"].agg(["min", "max"])
    first = {symbol: moment.date() for symbol, moment in span["min"].items()}
    last = {symbol: moment.date() for symbol, moment in span["max"].items()}
    return [(symbol, day) for symbol, day in missing if symbol in first and first[symbol] <= day <= last[symbol]]
