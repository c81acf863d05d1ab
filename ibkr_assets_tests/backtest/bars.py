"""Bars for backtests: drawn by hypothesis, and as tapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pandas as pd
from hypothesis import strategies as st

from ibkr_assets.backtest.tape import Tape, tapes_of

Cents = tuple[int, int, int, int]


@st.composite
def cents(draw: st.DrawFn, *, longest: int = 25) -> list[Cents]:
    """Bars (open, high, low, close) in cents that jump enough to pass through stops, and tie often."""
    count = draw(st.integers(2, longest))
    steps = st.integers(-40, 40).map(lambda step: step * 10)
    price, rows = 5000, []
    for _ in range(count):
        opened = max(100, price + draw(steps))
        close = max(100, opened + draw(steps))
        high = max(opened, close) + abs(draw(steps))
        low = max(50, min(opened, close) - abs(draw(steps)))
        rows.append((opened, high, low, close))
        price = close
    return rows


def directions(count: int, lowest: int = -1) -> st.SearchStrategy[list[int]]:
    """A direction a bar that stays for some bars."""
    runs = st.lists(st.tuples(st.integers(lowest, 1), st.integers(1, 9)), min_size=1, max_size=9)
    return runs.map(lambda pairs: ([want for want, length in pairs for _ in range(length)] + [0] * count)[:count])


def frame_of(rows: list[Cents], symbol: str = "XYZ", conid: int = 1, first_day: int = 0) -> pd.DataFrame:
    start = datetime(2020, 1, 1, 14, 30, tzinfo=UTC) + timedelta(days=first_day)
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"]) / 100
    frame.insert(0, "opened_at", pd.Series(pd.date_range(start, periods=len(rows), freq="D")))
    frame.insert(0, "symbol", symbol)
    frame.insert(0, "conid", conid)
    return frame.assign(volume=1e6)


def tape_of(rows: list[Cents], symbol: str = "XYZ", conid: int = 1, first_day: int = 0) -> Tape:
    (tape,) = tapes_of(frame_of(rows, symbol, conid, first_day))
    return tape


def exact(rows: list[Cents]) -> list[tuple[Fraction, Fraction, Fraction, Fraction]]:
    return [tuple(Fraction(price, 100) for price in row) for row in rows]  # type: ignore[misc]
