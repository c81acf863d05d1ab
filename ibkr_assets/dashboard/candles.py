"""A few candles as SVG, made on the server: one of them is marked, and none of them needs a script.

What goes here: from bars to shapes. What does not: the large chart of an instrument, which a script draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from markupsafe import Markup

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 720.0, 260.0, 12.0, 24.0, 8.0, 64.0

Candle = tuple[datetime, tuple[float | None, ...]]


def draw_candles(candles: Sequence[Candle], *, marked: datetime | None) -> Markup:
    """Open, high, low and close at each opening, oldest first. One without all four is a gap; the marked one has a
    band behind it either way. Empty where there is nothing to draw.
    """
    prices = [value for _, values in candles for value in values if value is not None]
    if len(prices) < 4:
        return Markup("")
    low, high = min(prices), max(prices)
    span = (high - low) or abs(high) or 1.0
    low, high = low - span * 0.04, high + span * 0.04
    step = (_WIDTH - _LEFT - _RIGHT) / len(candles)

    def down(price: float) -> float:
        return _TOP + (high - price) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    shapes = [_grid(low + span * 0.04 + span * part, down) for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for place, (at, values) in enumerate(candles):
        middle = _LEFT + (place + 0.5) * step
        if at == marked:
            shapes.append(
                Markup('<rect class="band" x="{:.1f}" y="{}" width="{:.1f}" height="{:.1f}"/>').format(
                    middle - step / 2, _TOP, step, _HEIGHT - _TOP - _BOTTOM
                )
            )
        if at == marked or place in (0, len(candles) - 1):
            anchor = "start" if place == 0 else "end" if place == len(candles) - 1 else "middle"
            edge = middle + (-step / 2 if place == 0 else step / 2 if anchor == "end" else 0)
            shapes.append(
                Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{:%Y-%m-%d}</text>').format(
                    edge, _HEIGHT - 6, anchor, at
                )
            )
        opened, highest, lowest, closed = values
        if opened is None or highest is None or lowest is None or closed is None:
            continue
        top, bottom = sorted((down(opened), down(closed)))
        shapes.append(
            Markup(
                '<g class="{}"><title>{:%Y-%m-%d}: {:,.6g} {:,.6g} {:,.6g} {:,.6g}</title>'
                '<path d="M{:.1f} {:.1f}V{:.1f}"/><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></g>'
            ).format(
                "up" if closed >= opened else "down", at, opened, highest, lowest, closed, middle, down(highest),
                down(lowest), middle - step * 0.32, top, step * 0.64, max(bottom - top, 1.0),
            )
        )  # fmt: skip
    label = f"{len(candles)} bars from {candles[0][0]:%Y-%m-%d} to {candles[-1][0]:%Y-%m-%d}"
    return Markup('<svg class="candles" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("").join(shapes)
    )


def _grid(price: float, down: Callable[[float], float]) -> Markup:
    return Markup('<path class="grid" d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}">{:,.6g}</text>').format(
        _LEFT, down(price), _WIDTH - _RIGHT, _WIDTH - _RIGHT + 6, down(price) + 4, price
    )
