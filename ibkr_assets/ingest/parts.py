"""Runs over many sessions of many instruments, some instruments at a time: as many as fit in memory with their bars.

What goes here: how a large run is cut, and what its parts report together. What does not: fetching (`ingest.bars`) and
judging (`ingest.validation`). A run of one session is one part; of a large one, what its parts stored stays stored when
a later one fails, and the same run again writes only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from ibkr_assets.ingest.bars import IngestReport, ingest_sessions
from ibkr_assets.ingest.validation import ValidationReport, validate_sessions
from ibkr_assets.ports import BarsSaved

if TYPE_CHECKING:
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.ingest.sources import HistorySource
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore, Clock

#: Bars that one part may have.
BARS_AT_A_TIME = 250_000

T = TypeVar("T")


def in_parts(items: Sequence[T], sessions: int) -> list[Sequence[T]]:
    """The items, so many at a time that as many bars of `sessions` sessions fit into one part."""
    size = max(1, BARS_AT_A_TIME // max(1, sessions))
    return [items[first : first + size] for first in range(0, len(items), size)]


def ingest_in_parts(
    source: HistorySource,
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    symbols: Sequence[str],
    sessions: Sequence[TradingSession],
    warm_up_sessions: int,
    clock: Clock,
    progress: Callable[[str], None],
    provenance: str,
) -> IngestReport:
    """As `ingest_sessions`; of several parts, `bars` are those of the last. Raises as it does, also for nothing."""
    reports: list[IngestReport] = []
    for part in in_parts(symbols, len(sessions) + warm_up_sessions) or [symbols]:
        reports.append(
            ingest_sessions(
                source,
                store,
                calendar,
                symbols=part,
                sessions=sessions,
                warm_up_sessions=warm_up_sessions,
                clock=clock,
                progress=progress,
                provenance=provenance,
            )
        )
        reports[:-1] = [replace(report, bars=report.bars.head(0)) for report in reports[:-1]]
        if len(part) < len(symbols):
            progress(f"{sum(len(report.instruments) for report in reports)} of {len(symbols)} symbols stored")
    saved = [report.saved for report in reports]
    return IngestReport(
        [instrument for report in reports for instrument in report.instruments],
        BarsSaved(sum(s.inserted for s in saved), sum(s.revised for s in saved), sum(s.unchanged for s in saved)),
        reports[-1].bars,
        pd.concat([report.rejected for report in reports], ignore_index=True),
    )


def validate_in_parts(
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
    progress: Callable[[str], None],
) -> ValidationReport:
    """As `validate_sessions`; of several parts, `accepted` has the columns conid and opened_at alone."""
    reports: list[ValidationReport] = []
    for part in in_parts(instruments, len(sessions)) or [instruments]:
        report = validate_sessions(store, calendar, instruments=part, sessions=sessions)
        if len(part) < len(instruments):
            report = replace(report, accepted=report.accepted[["conid", "opened_at"]])
            done = sum(len(one.accepted) + len(one.quarantined) for one in (*reports, report))
            progress(f"{done} bars judged, to {part[-1].symbol}")
        reports.append(report)
    return ValidationReport(
        accepted=pd.concat([report.accepted for report in reports], ignore_index=True),
        quarantined=pd.concat([report.quarantined for report in reports], ignore_index=True),
        missing=[gap for report in reports for gap in report.missing],
        warm_up_accepted=sum(report.warm_up_accepted for report in reports),
        warm_up_quarantined=sum(report.warm_up_quarantined for report in reports),
    )
