"""Small drawings as SVG that take their colours from the page around them: lines over days, and histograms.

What goes here: scales, ticks and shapes. What does not: what is drawn and the page (`backtest.tear_sheet`). A line of
more points than can be seen keeps the lowest and the highest of each stretch. The same values give the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ibkr_assets.features.frame import Floats

_WIDTH, _HALF_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 1040, 500, 66, 8, 8, 24
_MOST_POINTS = 1_000


def draw_line(
    days: npt.NDArray[np.datetime64],
    values: Floats,
    *,
    label: str,
    show: Callable[[float], str],
    height: int = 240,
    kind: str = "line",
    level: float | None = None,
    is_filled: bool = False,
) -> str:
    """Values over days; where one is not finite the line is broken. `level` is a dotted line across."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return _nothing(label, height)
    marks = [*known.tolist(), *([] if level is None else [level])]
    low, high = _padded(min(marks), max(marks))
    inner, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    places = np.arange(values.size)
    across = _LEFT + places / max(1, values.size - 1) * inner
    down = _TOP + (high - values) / (high - low) * tall
    shapes = [_grid(low, high, height, show), _calendar(days, across, height)]
    if level is not None:
        y = _TOP + (high - level) / (high - low) * tall
        shapes.append(f'<path class="level" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
    for stretch in _stretches(np.isfinite(values)):
        at = stretch[_seen(values[stretch])]
        points = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(across[at].tolist(), down[at].tolist(), strict=True))
        if is_filled:
            zero = _TOP + (high - min(max(0.0, low), high)) / (high - low) * tall
            around = f"M{across[at[0]]:.1f} {zero:.1f}L{points}L{across[at[-1]]:.1f} {zero:.1f}Z"
            shapes.append(f'<path class="{kind} area" d="{around}"/>')
        shapes.append(f'<path class="{kind}" d="M{points}"/>')
    return _svg(label, height, shapes)


def draw_histogram(values: Sequence[float] | Floats, *, label: str, show: Callable[[float], str]) -> str:
    """How often values fall where, losses and gains apart; what is far outside stands in the outermost bars."""
    height, wide, found = 220, _HALF_WIDTH, np.asarray(values, dtype=np.float64)
    if found.size < 2 or not found.any():
        return _nothing(label, height, wide)
    low, high = np.quantile(found, (0.005, 0.995)).tolist()
    reach = max(abs(low), abs(high)) or 1.0
    half = 20
    width = reach / half
    counts, edges = np.histogram(np.clip(found, -reach, reach), bins=2 * half, range=(-reach, reach))
    tallest, inner, tall = int(counts.max()), wide - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    step = inner / (2 * half)
    shapes = [_grid(0.0, float(tallest), height, lambda value: f"{value:,.3g}", wide)]
    for place, count in enumerate(counts.tolist()):
        if count:
            tall_one = max(1.0, count / tallest * tall)
            side = "down" if edges[place] < -width / 2 else "up"
            box = f'x="{_LEFT + place * step + 1:.1f}" y="{_TOP + tall - tall_one:.1f}" width="{step - 2:.1f}"'
            shapes.append(f'<rect class="{side}" {box} height="{tall_one:.1f}"/>')
    for mark in (-reach, -reach / 2, 0.0, reach / 2, reach):
        x = _LEFT + (mark + reach) / (2 * reach) * inner
        anchor = "start" if mark == -reach else "end" if mark == reach else "middle"
        shapes.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="{anchor}">{show(mark)}</text>')
    return _svg(label, height, shapes, wide)


def _svg(label: str, height: int, shapes: Sequence[str], wide: int = _WIDTH) -> str:
    return f'<svg viewBox="0 0 {wide} {height}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def _nothing(label: str, height: int, wide: int = _WIDTH) -> str:
    said = f'<text x="{wide / 2:.0f}" y="{height / 2:.0f}" text-anchor="middle">none</text>'
    return _svg(label, height, [said], wide)


def _padded(low: float, high: float) -> tuple[float, float]:
    if low == high:
        return low - (abs(low) or 1.0) * 0.01, high + (abs(high) or 1.0) * 0.01
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _grid(low: float, high: float, height: int, show: Callable[[float], str], wide: int = _WIDTH) -> str:
    tall = height - _TOP - _BOTTOM
    parts = []
    for value in _ticks(low, high):
        y = _TOP + (high - value) / (high - low) * tall
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{wide - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{show(value)}</text>')
    return "".join(parts)


def _calendar(days: npt.NDArray[np.datetime64], across: Floats, height: int) -> str:
    """A label where a year begins, or a month where there are few."""
    years = days.astype("datetime64[Y]")
    unit = "Y" if np.unique(years).size > 3 else "M"
    periods = days.astype(f"datetime64[{unit}]")
    begins = np.flatnonzero(np.append([False], periods[1:] != periods[:-1]))
    every = max(1, -(-begins.size // 13))
    return "".join(
        f'<text x="{across[at]:.1f}" y="{height - 5}" text-anchor="middle">{periods[at]}</text>'
        for at in begins[::every].tolist()
        if _LEFT + 14 < across[at] < _WIDTH - 26
    )


def _stretches(is_known: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    places = np.flatnonzero(is_known)
    return [part for part in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if part.size > 1]


def _seen(values: Floats) -> npt.NDArray[np.int64]:
    """Places of the points that are drawn: all, or the first, lowest, highest and last of as many equal parts."""
    if values.size <= _MOST_POINTS:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, _MOST_POINTS // 2 + 1).astype(int).tolist()
    chosen = {0, values.size - 1}
    for begin, end in pairwise(edges):
        chosen |= {begin + int(values[begin:end].argmin()), begin + int(values[begin:end].argmax())}
    return np.array(sorted(chosen))
