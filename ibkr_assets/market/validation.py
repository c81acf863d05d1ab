"""What is wrong with a batch of bars: each row accepted, or quarantined with one reason, and what is missing.

What goes here: tests of the bars themselves, over whole columns. Tests against what is usual for the instrument
are in `market.jumps`. Which bars are loaded and where the verdict is stored is `ingest.validation`'s work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import numpy as np
import numpy.typing as npt
import pandas as pd

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import ExchangeCalendar
from ibkr_assets.market.grid import (
    NOWHEN,
    Flags,
    Nanoseconds,
    Places,
    bars_expected,
    instants_of,
    is_ordered,
    last_opened,
    nanoseconds,
    place,
)
from ibkr_assets.market.jumps import find_jumps
from ibkr_assets.market.reasons import Reason

PRICES = ("open", "high", "low", "close")
Reasons = npt.NDArray[np.object_]


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
    evidence: Reasons | None = None,
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
    opened_at = _nanoseconds(bars["opened_at"])
    places = place(opened_at, calendar, size)
    is_wanted = _wanted(places, sessions)
    reasons = find_reasons(
        bars, is_judged=is_wanted, calendar=calendar, size=size, now=now, evidence=evidence, places=places
    )
    missing = find_missing(bars["conid"], opened_at, sessions, instruments, size)
    return Verdict(*split_by_reason(bars, reasons, is_wanted), missing)


def split_by_reason(bars: pd.DataFrame, reasons: Reasons, is_judged: Flags) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The judged bars without a reason, and those with one, which has a column `reason` besides."""
    is_good: Flags = ~reasons.astype(bool)
    if is_good.all() and is_judged.all():  # the rule, and a quarter of the time of judging if rows were picked
        is_numbered = isinstance(bars.index, pd.RangeIndex) and bars.index.equals(pd.RangeIndex(len(bars)))
        good = bars.copy(deep=False) if is_numbered else bars.reset_index(drop=True)
        return good, bars.head(0).assign(reason=[]).reset_index(drop=True)
    bad = bars.loc[is_judged & ~is_good].assign(reason=[str(reason) for reason in reasons[is_judged & ~is_good]])
    return bars.loc[is_judged & is_good].reset_index(drop=True), bad.reset_index(drop=True)


def find_reasons(
    bars: pd.DataFrame,
    *,
    is_judged: Flags,
    calendar: ExchangeCalendar,
    size: BarSize,
    now: datetime | None = None,
    evidence: Reasons | None = None,
    places: Places | None = None,
) -> Reasons:
    """For each bar the first reason of `Reason` that applies, or "". Jumps are looked for where `is_judged` only.

    `evidence` is, for each bar, a reason that its values do not show, or "" (`ingest.evidence`): it goes before others.
    `places` is where the bars lie, if that has been found already.
    """
    places = places or place(_nanoseconds(bars["opened_at"]), calendar, size)
    opened_at = places.opened_at
    is_sorted = is_ordered(bars["conid"].to_numpy(), opened_at)
    reasons = np.full(len(bars), "", dtype=object) if evidence is None else evidence.copy()
    is_usable: Flags = np.ones(len(bars), dtype=bool) if evidence is None else ~reasons.astype(bool)
    # A copy is no fault that a row shows by itself: where bars are not in order, all are asked.
    suspects = _suspects(bars, places, now) if is_sorted else np.arange(len(bars))
    if suspects.size:
        own, may_be, whys = bars.iloc[suspects], is_usable[suspects], reasons[suspects]
        copies = None if is_sorted else (_duplicates(bars), _out_of_order(bars["conid"], opened_at))
        for reason, is_wrong in _own_faults(own, place(opened_at[suspects], calendar, size), now, copies):
            whys[is_wrong & may_be] = reason
            may_be &= ~is_wrong
        reasons[suspects], is_usable[suspects] = whys, may_be
    for row, reason in find_jumps(bars, opened_at, is_usable=is_usable, is_judged=is_judged, is_sorted=is_sorted):
        reasons[row] = reason
    return reasons


def _suspects(bars: pd.DataFrame, places: Places, now: datetime | None) -> npt.NDArray[np.int64]:
    """Rows that may have a fault of their own: one look at every bar finds the few that are asked for each reason."""
    open_, high, low, close = (bars[name].to_numpy(dtype=np.float64) for name in PRICES)
    volume = bars["volume"].to_numpy(dtype=np.float64)
    is_good = places.is_inside & places.is_on_grid & (low > 0) & (high < np.inf)  # nothing compares with a hole
    for price in (open_, close):
        is_good &= (low <= price) & (price <= high)
    is_good &= (low <= high) & (volume >= 0) & (volume < np.inf)
    is_good &= (volume > 0) | (high == low)
    if now is not None:
        is_good &= places.over_at() <= nanoseconds(now)
    return np.flatnonzero(~is_good)


def _own_faults(
    bars: pd.DataFrame, places: Places, now: datetime | None, copies: tuple[Flags, Flags] | None
) -> Iterable[tuple[Reason, Flags]]:
    """Faults that a bar shows by itself or beside its copies, in the order of `Reason`."""
    open_, high, low, close = (bars[name].to_numpy(dtype=np.float64) for name in PRICES)
    volume = bars["volume"].to_numpy(dtype=np.float64)
    fields = np.stack([open_, high, low, close, volume])
    is_dated = ~bars["opened_at"].isna().to_numpy()

    is_incomplete: Flags = np.isnan(fields).any(axis=0) | ~is_dated
    is_infinite: Flags = np.asarray(np.isinf(fields).any(axis=0))
    has_no_price: Flags = np.asarray((fields[:4] <= 0).any(axis=0))

    yield Reason.MISSING_FIELD, is_incomplete
    yield Reason.NOT_FINITE, is_infinite
    if now is not None:
        is_unfinished = is_dated & (places.over_at() > nanoseconds(now))
        has_begun: Flags = places.opened_at < nanoseconds(now)
        yield Reason.FUTURE, is_unfinished & ~has_begun
        yield Reason.PARTIAL_BAR, is_unfinished & places.is_inside & has_begun
    yield Reason.OUTSIDE_SESSION, is_dated & ~places.is_inside
    yield Reason.OFF_GRID, ~places.is_on_grid
    if copies is not None:
        yield Reason.DUPLICATE_IN_FETCH, copies[0] & is_dated
        yield Reason.OUT_OF_ORDER, copies[1] & is_dated
    yield Reason.NOT_POSITIVE, has_no_price
    yield Reason.NEGATIVE_VOLUME, volume < 0
    yield Reason.OHLC_ORDER, (high < fields[:4].max(axis=0)) | (low > fields[:4].min(axis=0))
    yield Reason.ZERO_VOLUME_MOVE, (volume == 0) & (high != low)


def _duplicates(bars: pd.DataFrame) -> Flags:
    """Later copies of a bar; every copy where they do not agree, because nobody knows which is right."""
    key = ["conid", "opened_at"]
    is_repeated: Flags = bars.duplicated(key, keep=False).to_numpy()
    if not is_repeated.any():
        return is_repeated
    is_later = bars.duplicated(key, keep="first").to_numpy()
    different = bars.loc[is_repeated, [*key, *PRICES, "volume"]].drop_duplicates()
    contested = pd.MultiIndex.from_frame(different.loc[different.duplicated(key, keep=False), key])
    is_contested = pd.MultiIndex.from_frame(bars[key]).isin(contested)
    flags: Flags = is_later | is_contested
    return flags


def _out_of_order(conids: pd.Series, opened_at: Nanoseconds) -> Flags:
    """Bars that came after a later bar of the same instrument."""
    by_conid = np.argsort(conids.to_numpy(), kind="stable")
    flags = np.zeros(len(opened_at), dtype=bool)
    edges = np.flatnonzero(np.diff(conids.to_numpy()[by_conid])) + 1
    for rows in np.split(by_conid, edges):
        own = opened_at[rows]
        flags[rows] = own < np.maximum.accumulate(own)
    return flags


def _wanted(places: Places, sessions: Sequence[TradingSession]) -> Flags:
    """Bars of the wanted sessions, bars of no session at all between the first and the last of them, and undated ones.

    A bar in the break of a session is of none.
    """
    opened_at = places.opened_at
    instants = instants_of(sessions)
    first_day = datetime.fromtimestamp(int(instants.opens.min()) // 1_000_000_000, UTC).date()
    start = nanoseconds(datetime.combine(first_day, time.min, tzinfo=UTC))
    end = int(instants.closes.max())
    is_chosen = np.isin(places.opens, instants.opens)
    is_wanted: Flags = places.is_inside.copy()
    if not is_chosen.all():
        is_wanted &= is_chosen[places.own]
    rest = np.flatnonzero(~places.is_inside)
    is_wanted[rest] = (opened_at[rest] >= start) & (opened_at[rest] < end) | (opened_at[rest] == NOWHEN)
    return is_wanted


def find_missing(
    conids: pd.Series,
    opened_at: Nanoseconds,
    sessions: Sequence[TradingSession],
    instruments: Sequence[Instrument],
    size: BarSize,
) -> list[tuple[str, date]]:
    """Sessions that have fewer bars than they must, as (symbol, day), by symbol and day."""
    instants = instants_of(sessions)
    if (instants.opens[1:] < instants.opens[:-1]).any():
        instants = instants_of(sorted(sessions, key=lambda session: session.opens_at))
    ordered, opens, closes, breaks, resumes = instants
    own = last_opened(opens, opened_at)
    if size is BarSize.DAY:
        expected = np.ones(len(ordered), dtype=np.int64)
        is_there = opens[own] == opened_at
    else:
        expected = np.array([bars_expected(s, size) for s in ordered], dtype=np.int64)
        is_there = (opens[own] <= opened_at) & (opened_at < closes[own])
        is_there &= (opened_at - opens[own]) % (int(size.length.total_seconds()) * 1_000_000_000) == 0
        if (breaks < closes).any():
            is_there &= (opened_at < breaks[own]) | (resumes[own] <= opened_at)
    if not is_ordered(conids.to_numpy(), opened_at):
        is_there &= ~pd.DataFrame({"conid": conids.to_numpy(), "opened_at": opened_at}).duplicated().to_numpy()
    known = np.array(sorted({i.conid for i in instruments}), dtype=np.int64)
    there = conids.to_numpy()
    if not is_there.all():
        own, there = own[is_there], there[is_there]
    first = np.flatnonzero(np.diff(there, prepend=-1))  # instruments stand together as a rule
    row = np.repeat(np.searchsorted(known, there[first]), np.diff(first, append=there.size))
    cells = np.bincount(row * len(ordered) + own, minlength=known.size * len(ordered))
    counts = cells.reshape(known.size, len(ordered))
    symbols = {i.conid: i.symbol for i in instruments}
    lacking = np.argwhere(counts < expected)
    return sorted((symbols[int(known[i])], ordered[j].day) for i, j in lacking.tolist())


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
    unknown = sorted(set(bars["conid"].unique().tolist()) - {i.conid for i in instruments})
    if unknown:
        raise DataError(f"column 'conid': bars of {unknown}, which are not among the instruments")


def _nanoseconds(moments: pd.Series) -> Nanoseconds:
    values: Nanoseconds = moments.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return values
