"""What a history can be made to say: bars missing, doubled, shifted, revised, cut.

Pure functions of the bars of an answer, oldest first. Which fault strikes is the board's work, its line is in `data`.
The bars belong to the venue, so every function makes new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

Bars = list[dict[str, Any]]
#: Changes a list of bars; the number says which bar is meant, counted from the end, 1 being the last.
Change = Callable[[Bars, int], Bars]
_PRICES = ("o", "h", "l", "c")
_DAY_MS = 86_400_000


def _replaced(bars: Bars, back: int, *instead: dict[str, Any]) -> Bars:
    at = len(bars) - back
    return [*bars[:at], *instead, *bars[at + 1 :]]


def _missing(bars: Bars, back: int) -> Bars:
    return _replaced(bars, back)


def _duplicate(bars: Bars, back: int) -> Bars:
    return _replaced(bars, back, bars[-back], bars[-back])


def _contradicting(bars: Bars, back: int) -> Bars:
    return _replaced(bars, back, bars[-back], bars[-back] | {"c": bars[-back]["l"]})


def _out_of_order(bars: Bars, _back: int) -> Bars:
    return bars[::-1]


def _future(bars: Bars, _back: int) -> Bars:
    return [*bars, bars[-1] | {"t": bars[-1]["t"] + 14 * _DAY_MS}]


def _off_grid(bars: Bars, back: int) -> Bars:
    return _replaced(bars, back, bars[-back] | {"t": bars[-back]["t"] + 17 * 60_000})


def _no_session(bars: Bars, back: int) -> Bars:
    """The bar stands on the Sunday before its day."""
    bar = bars[-back]
    weekday = datetime.fromtimestamp(bar["t"] / 1000, UTC).isoweekday()
    return _replaced(bars, back, bar | {"t": bar["t"] - weekday % 7 * _DAY_MS})


def _partial(bars: Bars, _back: int) -> Bars:
    """The bar of the next day is there already, and is still forming: one price and no volume."""
    last = bars[-1]
    return [*bars, dict.fromkeys(_PRICES, last["c"]) | {"v": 0.0, "t": last["t"] + _DAY_MS}]


def _cut(bars: Bars, back: int) -> Bars:
    """The newest bars alone, as many as `back` says."""
    return bars[-back:]


def _cut_front(bars: Bars, back: int) -> Bars:
    """The oldest bars alone: those before the last `back`."""
    return bars[:-back]


#: F47: what is wrong with the bars.
WRONGS: dict[str, Change] = {
    "missing": _missing,
    "duplicate": _duplicate,
    "contradicting": _contradicting,
    "out_of_order": _out_of_order,
    "future": _future,
    "off_grid": _off_grid,
    "no_session": _no_session,
    "partial": _partial,
    "cut": _cut,
    "cut_front": _cut_front,
}


def shifted(bars: Bars, factor: float, day: date | None) -> Bars:
    """Prices times `factor` from `day` (UTC) on, as after a split that was not adjusted; without a day the last bar."""
    begins = bars[-1]["t"] if day is None else _millis(day)
    return [_times(bar, factor) if bar["t"] >= begins else bar for bar in bars]


def revised(bars: Bars, factor: float, day: date | None) -> Bars:
    """The close of one day's bar, or of the last one, times `factor`; high and low make room for it."""
    begins = bars[-1]["t"] if day is None else _millis(day)
    ends = begins + timedelta(days=1) / timedelta(milliseconds=1)
    return [_close(bar, bar["c"] * factor) if begins <= bar["t"] < ends else bar for bar in bars]


def _millis(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _times(bar: dict[str, Any], factor: float) -> dict[str, Any]:
    return bar | {name: round(bar[name] * factor, 4) for name in _PRICES}


def _close(bar: dict[str, Any], close: float) -> dict[str, Any]:
    close = round(close, 4)
    return bar | {"c": close, "h": max(bar["h"], close), "l": min(bar["l"], close)}
