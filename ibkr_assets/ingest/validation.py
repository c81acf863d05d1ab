"""Stored bars judged: load them with enough of the past, judge, store the verdicts.

What goes here: the order of effects over the store. What is wrong with a bar is `market.validation`'s work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.decisions import as_decided, bars_to_hold_for
from ibkr_assets.ingest.evidence import find_evidence
from ibkr_assets.market.jumps import USUAL_BARS
from ibkr_assets.market.validation import judge

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.ports import BarStore

#: Sessions read before the first judged one: what is usual, and room for a few that have no bar.
CONTEXT_SESSIONS = USUAL_BARS + 30


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The verdict on the wanted sessions: bars with `version` and `row_sha`, `quarantined` also with `reason`.

    `missing` lists (symbol, session) without any bar. `warm_up_accepted` and `warm_up_quarantined` count bars of
    earlier sessions that had no verdict yet and got one.
    """

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    missing: list[tuple[str, date]]
    warm_up_accepted: int = 0
    warm_up_quarantined: int = 0


def validate_sessions(
    store: BarStore,
    calendar: ExchangeCalendar,
    *,
    instruments: Sequence[Instrument],
    sessions: Sequence[TradingSession],
) -> ValidationReport:
    """Judge the bars of these sessions, and earlier ones that have no verdict, and store what was found.

    A bar that came for the warm-up of indicators is judged with the first sessions that need it. The same bars get
    the same verdict again. Sessions without a bar are gaps until they have one; an instrument whose bar looks like a
    corporate action is held until an operator resumes it. Raises InputError for no sessions or no instruments,
    DataError for a frame that is none.
    """
    if not sessions or not instruments:
        raise InputError(f"{'instruments' if sessions else 'sessions'}: none given; there is nothing to judge")
    wanted = sorted(set(sessions), key=lambda session: session.day)
    bars, is_settled, judged = _load(store, calendar, instruments, wanted)
    good_before = bars.loc[is_settled, ["conid", "opened_at"]]
    evidence = np.zeros(len(bars), dtype=np.int8)
    evidence[~is_settled] = find_evidence(store, bars[~is_settled], BarSize.DAY, calendar)
    found = judge(bars, calendar=calendar, sessions=judged, instruments=instruments, evidence=evidence)
    verdict = as_decided(store, BarSize.DAY, found)
    store.save_verdicts(BarSize.DAY, verdict.accepted, verdict.quarantined)
    store.save_gaps(
        BarSize.DAY,
        verdict.missing,
        conids=[instrument.conid for instrument in instruments],
        sessions=[session.day for session in judged],
    )
    store.save_holds(bars_to_hold_for(bars, verdict, good_before))

    opens = {session.opens_at for session in judged} - {session.opens_at for session in wanted}
    is_early = [frame["opened_at"].isin(opens) for frame in (verdict.accepted, verdict.quarantined)]
    days = {session.day for session in wanted}
    return ValidationReport(
        accepted=verdict.accepted.loc[~is_early[0]].reset_index(drop=True),
        quarantined=verdict.quarantined.loc[~is_early[1]].reset_index(drop=True),
        missing=[(symbol, day) for symbol, day in verdict.missing if day in days],
        warm_up_accepted=int(is_early[0].sum()),
        warm_up_quarantined=int(is_early[1].sum()),
    )


def _load(
    store: BarStore, calendar: ExchangeCalendar, instruments: Sequence[Instrument], wanted: Sequence[TradingSession]
) -> tuple[pd.DataFrame, npt.NDArray[np.bool_], list[TradingSession]]:
    """Bars with context, which of them were accepted in an earlier session's turn, and the sessions to judge.

    These are the wanted ones and those before them without a verdict.

    Looks back further as long as bars without verdict stand where there is too little context for them.
    """
    conids = [instrument.conid for instrument in instruments]
    end = wanted[-1].closes_at
    reach, bars_before = CONTEXT_SESSIONS, -1
    while True:
        past = _sessions_before(calendar, wanted[0].day, reach)
        start = (past or wanted)[0].opens_at
        bars = store.load_bars(conids, BarSize.DAY, start, end, has_verdicts=True)
        is_early = (bars["opened_at"] < wanted[0].opens_at).to_numpy()
        is_settled = is_early & bars.pop("is_accepted").to_numpy(dtype=bool)
        moments = set(bars.loc[is_early & ~is_settled, "opened_at"].unique())
        unjudged = [session for session in past if session.opens_at in moments]
        is_covered = not unjudged or unjudged[0].opens_at >= (past[CONTEXT_SESSIONS:] or wanted)[0].opens_at
        if is_covered or len(bars) == bars_before or len(past) < reach:
            return bars, is_settled, [*unjudged, *wanted]
        reach, bars_before = reach * 2, len(bars)


def _sessions_before(calendar: ExchangeCalendar, day: date, count: int) -> list[TradingSession]:
    """As many of them as the calendar has."""
    known = calendar.sessions(calendar.first_day, day)
    before = [session for session in known[-count - 1 :] if session.day < day]
    return before[-count:]
