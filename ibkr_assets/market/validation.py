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

from ibkr_assets.domain.bar import BAR_COLUMNS
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import ExchangeCalendar
from ibkr_assets.market.jumps import find_jumps
from ibkr_assets.market.reasons import Reason

Flags = npt.NDArray[np.bool_]
Nanoseconds = npt.NDArray[np.int64]

PRICES = ("open", "high", "low", "close")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
) -> Verdict:
    """Judge the daily bars of `sessions`; bars of other sessions only say what is usual, and are in no frame.

    `bars` has BAR_COLUMNS and may have more; prices in the instrument's currency, `opened_at` aware UTC. A bar that
    starts at no session's opening is judged when it lies within the span of `sessions`. A verdict depends on the
    bar and on earlier bars only. Raises DataError for a missing, non-numeric or naive column and for a conid that
    is not among `instruments`, InputError for no sessions at all.
    """
    if not sessions:
        raise InputError("sessions: none given; there is nothing to judge")
    _check_columns(bars)
    _check_conids(bars, instruments)
    opened_at = _nanoseconds(bars["opened_at"])
    is_wanted = _wanted(opened_at, bars["opened_at"].isna().to_numpy(), calendar, sessions)

    reasons = np.full(len(bars), "", dtype=object)
    for reason, is_wrong in _own_faults(bars, opened_at, calendar):
        reasons[is_wrong & (reasons == "")] = reason
    for row, reason in find_jumps(bars, is_usable=reasons == "", is_judged=is_wanted):
        reasons[row] = reason

    is_accepted = reasons == ""
    accepted = bars.loc[is_wanted & is_accepted].reset_index(drop=True)
    quarantined = bars.loc[is_wanted & ~is_accepted].assign(reason=[str(r) for r in reasons[is_wanted & ~is_accepted]])
    return Verdict(
        accepted, quarantined.reset_index(drop=True), _missing(bars["conid"], opened_at, sessions, instruments)
    )


def _own_faults(
    bars: pd.DataFrame, opened_at: Nanoseconds, calendar: ExchangeCalendar
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
    yield Reason.OUTSIDE_SESSION, is_dated & ~np.isin(opened_at, _session_opens(opened_at[is_dated], calendar))
    yield Reason.DUPLICATE_IN_FETCH, _duplicates(bars) & is_dated
    yield Reason.OUT_OF_ORDER, _out_of_order(bars["conid"], opened_at) & is_dated
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


def _wanted(
    opened_at: Nanoseconds, is_undated: Flags, calendar: ExchangeCalendar, sessions: Sequence[TradingSession]
) -> Flags:
    """Bars of the wanted sessions, and bars of no session at all between the first and the last of them."""
    wanted = np.array([_ns(s.opens_at) for s in sessions], dtype=np.int64)
    first_day = min(s.opens_at for s in sessions).date()
    start = _ns(datetime.combine(first_day, time.min, tzinfo=UTC))
    end = max(_ns(s.closes_at) for s in sessions)
    is_between = (opened_at >= start) & (opened_at < end)
    is_stray = is_between & ~np.isin(opened_at, _session_opens(opened_at[is_between], calendar))
    flags: Flags = np.isin(opened_at, wanted) | is_stray | is_undated
    return flags


def _session_opens(opened_at: Nanoseconds, calendar: ExchangeCalendar) -> Nanoseconds:
    """Openings of all sessions in the range of these instants, as far as the calendar reaches."""
    if opened_at.size == 0:
        return np.array([], dtype=np.int64)
    first, last = (pd.Timestamp(int(value), tz="UTC").date() for value in (opened_at.min(), opened_at.max()))
    if last < calendar.first_day or first > calendar.last_day:
        return np.array([], dtype=np.int64)
    known = calendar.sessions(max(first, calendar.first_day), min(last, calendar.last_day))
    return np.array([_ns(s.opens_at) for s in known], dtype=np.int64)


def _missing(
    conids: pd.Series, opened_at: Nanoseconds, sessions: Sequence[TradingSession], instruments: Sequence[Instrument]
) -> list[tuple[str, date]]:
    missing: list[tuple[str, date]] = []
    opens = np.array([_ns(s.opens_at) for s in sessions], dtype=np.int64)
    for instrument in instruments:
        has_bar = np.isin(opens, opened_at[conids.to_numpy() == instrument.conid])
        missing += [(instrument.symbol, sessions[i].day) for i in np.flatnonzero(~has_bar).tolist()]
    return sorted(missing)


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


def _ns(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds()) * 1_000_000_000
