"""What is wrong with a batch of bars: each row accepted, or quarantined with one reason, and what is missing.

What goes here: from frames and sessions to verdicts. What does not: the pass over all rows (`market.scan`), tests
against what is usual for the instrument (`market.jumps`), which bars are loaded, and where the verdict is stored
(`ingest.validation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.features.frame import Ints, frozen
from ibkr_assets.market.batch import (
    PRICES,
    Columns,
    Walk,
    columns_of,
    find_copies,
    walk_of,
)
from ibkr_assets.market.calendar import ExchangeCalendar
from ibkr_assets.market.grid import (
    Flags,
    Hours,
    Nanoseconds,
    bars_expected,
    hours_around,
    hours_of,
    instants_of,
    nanoseconds,
)
from ibkr_assets.market.jumps import SMALLEST_CHANGE, STUCK_BARS, find_jumps
from ibkr_assets.market.places import find_places
from ibkr_assets.market.reasons import CODES, Reason, words_of

if TYPE_CHECKING:
    from ibkr_assets.market.reasons import Codes

#: Later than every instant.
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every judged bar is in exactly one of the two frames, with all its columns and in the order it came.

    `quarantined` has a column `reason` besides (a value of `Reason`). `missing` lists the sessions for which there
    is no bar at all, as (symbol, day), by symbol and day.
    """

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    missing: list[tuple[str, date]]


def judge(
    bars: pd.DataFrame,
    *,
    calendar: ExchangeCalendar,
    sessions: Sequence[TradingSession],
    instruments: Sequence[Instrument],
    size: BarSize = BarSize.DAY,
    now: datetime | None = None,
    evidence: Codes | None = None,
) -> Verdict:
    """Judge the bars of `sessions`; bars of other sessions only say what is usual, and are in no frame.

    `bars` has BAR_COLUMNS and may have more; prices in the instrument's currency, `opened_at` aware UTC. A bar that
    has no place in any session is judged when it lies within the span of `sessions`. A verdict depends on the
    bar and on earlier bars only. With `now` (aware) a bar that is not over by then is none yet. `evidence` is as
    in `find_reasons`.

    Raises DataError for a missing, non-numeric or naive column and for a conid that
    is not among `instruments`, InputError for no sessions at all.
    """
    if not sessions:
        raise InputError("sessions: none given; there is nothing to judge")
    _check_columns(bars)
    _check_conids(bars, instruments)
    columns = columns_of(bars)
    conids, hours = bars["conid"].to_numpy(dtype=np.int64), hours_around(columns.opened_at, calendar, size)
    walk = walk_of(conids, columns.opened_at)
    is_wanted = _find_wanted(columns.opened_at, hours, sessions)
    codes = _find_codes(bars, columns, walk, hours, is_wanted, now, evidence)
    missing = _find_missing(conids, columns.opened_at, walk, sessions, instruments, size)
    return Verdict(*split_by_reason(bars, codes, is_wanted), missing)


def split_by_reason(bars: pd.DataFrame, codes: Codes, is_judged: Flags) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The judged bars without a reason, and those with one, which has a column `reason` besides."""
    is_bad: Flags = (codes != 0) & is_judged
    if is_judged.all() and not is_bad.any():  # the rule, and picking rows takes longer than judging them
        is_numbered = isinstance(bars.index, pd.RangeIndex) and bars.index.equals(pd.RangeIndex(len(bars)))
        good = bars.copy(deep=False) if is_numbered else bars.reset_index(drop=True)
        return good, good.iloc[:0].assign(reason=np.empty(0, dtype=object))
    reasons = np.array(words_of(codes[is_bad]), dtype=object)
    return _pick(bars, is_judged & ~is_bad), _pick(bars, is_bad).assign(reason=reasons)


def _pick(bars: pd.DataFrame, is_picked: Flags) -> pd.DataFrame:
    """Some rows, numbered anew without copying them a second time."""
    picked = bars.take(np.flatnonzero(is_picked)).copy(deep=False)
    picked.index = pd.RangeIndex(len(picked))
    return picked


def find_reasons(
    bars: pd.DataFrame,
    *,
    is_judged: Flags,
    calendar: ExchangeCalendar,
    size: BarSize,
    now: datetime | None = None,
    evidence: Codes | None = None,
) -> Codes:
    """For each bar the code of the first reason that applies, or 0. Jumps are looked for where `is_judged` only.

    `evidence` is, for each bar, a reason that its values do not show, or 0 (`ingest.evidence`): it goes before others.
    """
    columns = columns_of(bars)
    walk = walk_of(bars["conid"].to_numpy(dtype=np.int64), columns.opened_at)
    hours = hours_around(columns.opened_at, calendar, size)
    return _find_codes(bars, columns, walk, hours, is_judged, now, evidence)


def _find_codes(
    bars: pd.DataFrame,
    columns: Columns,
    walk: Walk,
    hours: Hours,
    is_judged: Flags,
    now: datetime | None,
    evidence: Codes | None,
) -> Codes:
    from ibkr_assets.market.scan import Faults, Limits, scan  # brings the compiler

    codes = np.zeros(len(bars), dtype=np.int8) if evidence is None else evidence.copy()
    copies = find_copies(bars, columns.opened_at) if walk.order.size else np.empty(0, dtype=np.int8)
    is_odd = np.empty(walk.starts.size - 1, dtype=np.bool_)
    faults = Faults(*(CODES[Reason(name)] for name in Faults._fields))
    limits = Limits(_NEVER if now is None else nanoseconds(now), SMALLEST_CHANGE, STUCK_BARS)
    scan(columns, walk, frozen(copies), hours, faults, limits, codes, is_odd)
    for number in np.flatnonzero(is_odd).tolist():
        rows = walk.rows_of(number)
        for row, reason in find_jumps(columns, rows[codes[rows] == 0]):
            if is_judged[row]:
                codes[row] = CODES[reason]
    return codes


def _find_wanted(opened_at: Nanoseconds, hours: Hours, sessions: Sequence[TradingSession]) -> Flags:
    """Bars of the wanted sessions, bars of no session at all between the first and the last of them, and undated ones.

    A bar in the break of a session is of none.
    """
    from ibkr_assets.market.scan import mark_wanted  # brings the compiler

    instants = instants_of(sessions)
    first_day = datetime.fromtimestamp(int(instants.opens.min()) // 1_000_000_000, UTC).date()
    start = nanoseconds(datetime.combine(first_day, time.min, tzinfo=UTC))
    wanted = np.sort(instants.opens)
    is_chosen: Flags = wanted.take(np.searchsorted(wanted, hours.opens), mode="clip") == hours.opens
    is_wanted = np.empty(opened_at.size, dtype=np.bool_)
    mark_wanted(opened_at, hours, frozen(is_chosen), start, int(instants.closes.max()), is_wanted)
    return is_wanted


def find_missing(
    conids: pd.Series,
    opened_at: Nanoseconds,
    sessions: Sequence[TradingSession],
    instruments: Sequence[Instrument],
    size: BarSize,
) -> list[tuple[str, date]]:
    """Sessions that have fewer bars than they must, as (symbol, day), by symbol and day."""
    own, moments = conids.to_numpy(dtype=np.int64), frozen(opened_at)
    return _find_missing(own, moments, walk_of(own, moments), sessions, instruments, size)


def _find_missing(
    conids: Ints,
    opened_at: Nanoseconds,
    walk: Walk,
    sessions: Sequence[TradingSession],
    instruments: Sequence[Instrument],
    size: BarSize,
) -> list[tuple[str, date]]:
    from ibkr_assets.market.scan import count_bars  # brings the compiler

    instants = instants_of(sessions)
    if (instants.opens[1:] < instants.opens[:-1]).any():
        instants = instants_of(sorted(sessions, key=lambda session: session.opens_at))
    ordered = instants.sessions
    expected = 1 if size is BarSize.DAY else np.array([bars_expected(session, size) for session in ordered])
    counts = np.zeros((walk.starts.size - 1, len(ordered)), dtype=np.int32)
    count_bars(opened_at, walk, hours_of(instants, size), counts)
    rows = walk.starts[:-1]
    there = conids[walk.order[rows] if walk.order.size else rows].tolist()
    symbols = {instrument.conid: instrument.symbol for instrument in instruments}
    lacking = [(symbols[there[n]], ordered[m].day) for n, m in np.argwhere(counts < expected).tolist()]
    for conid in symbols.keys() - there:
        lacking += [(symbols[conid], session.day) for session in ordered]
    return sorted(lacking)


def _check_columns(bars: pd.DataFrame) -> None:
    for name in BAR_COLUMNS:
        if name not in bars.columns:
            raise DataError(f"column {name!r}: missing; the frame has {list(bars.columns)}")
    for name in ("conid", *PRICES, "volume"):
        if not pd.api.types.is_numeric_dtype(bars[name].dtype):
            raise DataError(f"column {name!r}: must be numeric, got {bars[name].dtype}")
    if not isinstance(bars["opened_at"].dtype, pd.DatetimeTZDtype):
        raise DataError(f"column 'opened_at': must be aware UTC, got {bars['opened_at'].dtype}")


def _check_conids(bars: pd.DataFrame, instruments: Sequence[Instrument]) -> None:
    conids = bars["conid"].to_numpy()
    each = conids[:1].tolist() + conids[1:][conids[1:] != conids[:-1]].tolist()
    unknown = sorted(set(each) - {instrument.conid for instrument in instruments})
    if unknown:
        raise DataError(f"column 'conid': bars of {unknown}, which are not among the instruments")


def load_machine_code() -> None:
    """Load the loops, which takes a quarter of a second in each process, or compile them: seconds, once a machine."""
    opens_at = datetime(2024, 1, 2, tzinfo=UTC)
    session = TradingSession("XNYS", opens_at.date(), opens_at, opens_at + BarSize.DAY.length)
    calendar = ExchangeCalendar("XNYS", [session])
    bars = pd.DataFrame({name: np.empty(0) for name in BAR_COLUMNS}).assign(opened_at=pd.DatetimeIndex([], tz="UTC"))
    judge(bars, calendar=calendar, sessions=[session], instruments=[])
    find_places(np.empty(0, dtype=np.int64), calendar, BarSize.DAY)
