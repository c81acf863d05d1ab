"""The pass over rows beside the list of reasons said once more, one row and one reason at a time."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market import scan
from ibkr_assets.market.calendar import ExchangeCalendar, exchange_calendar
from ibkr_assets.market.reasons import CODES, Reason, words_of
from ibkr_assets.market.validation import find_reasons

INF, NAN = float("inf"), float("nan")
NYSE, TOKYO = exchange_calendar("XNYS"), exchange_calendar("XTKS")
DAY = date(2012, 10, 2)
GOOD = (10.0, 12.0, 8.0, 11.0, 100.0)
NUMBERS = st.sampled_from([NAN, INF, -INF, -1.0, -0.5, 0.0, -0.0, 5.0, 10.5, 13.0, 1e308, -1e308])
CHANGES = st.lists(st.tuples(st.integers(0, 4), NUMBERS), max_size=2)


AWAY = [
    *["0s"] * 20,
    *("1s", "30s", "60s", "-60s", "3h", "150min", "209min", "210min", "5h", "389min", "390min"),
    *("23h", "1D", "-30D", "3000D"),
]


def first_reason(
    opened_at: pd.Timestamp, values: tuple[float, ...], session: TradingSession, size: BarSize, now: pd.Timestamp
) -> str:
    """What is wrong with a bar that lies in this session or in none."""
    _, high, low, _, volume = values
    length, begins, over_at = pd.Timedelta(size.length), session.opens_at, opened_at + size.length
    is_inside = opened_at == begins
    if size is BarSize.MINUTE:
        breaks, resumes = session.breaks_at or session.closes_at, session.resumes_at or session.closes_at
        is_inside = begins <= opened_at < breaks or resumes <= opened_at < session.closes_at
        begins = resumes if opened_at >= resumes else begins
    elif is_inside:
        over_at = pd.Timestamp(session.closes_at)
    found = {
        Reason.MISSING_FIELD: pd.isna(opened_at) or any(math.isnan(value) for value in values),
        Reason.NOT_FINITE: any(math.isinf(value) for value in values),
        Reason.FUTURE: over_at > now and opened_at >= now,
        Reason.PARTIAL_BAR: over_at > now and opened_at < now and is_inside,
        Reason.OUTSIDE_SESSION: not is_inside,
        Reason.OFF_GRID: is_inside and (opened_at - begins) % length != pd.Timedelta(0),
        Reason.NOT_POSITIVE: not all(value > 0 for value in values[:4]),
        Reason.NEGATIVE_VOLUME: volume < 0,
        Reason.OHLC_ORDER: max(values[:4]) > high or min(values[:4]) < low,
        Reason.ZERO_VOLUME_MOVE: volume == 0 and high != low,
    }
    return next((reason for reason in Reason if found.get(reason, False)), "")


@given(
    st.lists(st.tuples(st.sampled_from(AWAY), CHANGES), min_size=1, max_size=30),
    st.sampled_from([NYSE, TOKYO]),
    st.sampled_from(list(BarSize)),
    st.sampled_from([*AWAY, *["3100D"] * 20]),
    st.sampled_from([None, 0, 1]),
)
@settings(max_examples=60, deadline=None)
def test_of_several_faults_the_first_of_the_list_is_given(
    rows: list[tuple[str, list[tuple[int, float]]]],
    calendar: ExchangeCalendar,
    size: BarSize,
    now_after: str,
    undated: int | None,
) -> None:
    session = calendar.session(DAY)
    opened_at = pd.DatetimeIndex([session.opens_at + pd.Timedelta(after) for after, _ in rows]).as_unit("ns")
    values = [tuple(({**dict(enumerate(GOOD)), **dict(changes)}).values()) for _, changes in rows]
    bars = pd.DataFrame(values, columns=["open", "high", "low", "close", "volume"])
    # Each is an instrument of its own: nothing is a copy, and nothing is usual.
    bars = bars.assign(conid=range(1, len(bars) + 1), symbol="X", opened_at=opened_at)
    if undated is not None and undated < len(bars):
        bars.loc[undated, "opened_at"] = pd.NaT
    now = session.opens_at + pd.Timedelta(now_after)
    codes = find_reasons(bars, is_judged=np.ones(len(bars), dtype=bool), calendar=calendar, size=size, now=now)
    expected = []
    for row, moment in zip(values, bars["opened_at"], strict=True):
        day = DAY if pd.isna(moment) else moment.date()
        own = calendar.sessions(day, day) if calendar.first_day <= day <= calendar.last_day else []
        expected.append(first_reason(moment, row, (own or [session])[0], size, pd.Timestamp(now)))
    assert words_of(codes) == expected


def test_faults_have_the_names_and_the_order_of_the_reasons() -> None:
    codes = [CODES[Reason(name)] for name in scan.Faults._fields]
    assert codes == sorted(codes)


@pytest.mark.parametrize("loop", ["scan", "mark_wanted", "count_bars", "fill_places"])
def test_the_loops_are_kept_for_the_next_process(loop: str) -> None:
    assert getattr(scan, loop).stats.cache_path
