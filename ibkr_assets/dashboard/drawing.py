"""Small drawings as SVG, made on the server: a page has its pictures without any script.

What goes here: from numbers to a path. What does not: colours, which are the style sheet's, and the large chart, which
a script draws over the table that holds the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

_WIDTH, _HEIGHT, _EDGE = 720.0, 180.0, 6.0


def curve(
    points: Sequence[tuple[datetime, float]],
    *,
    label: str = "Net asset value",
    beside: Sequence[tuple[datetime, float]] = (),
) -> Markup:
    """A line over time with its area, and a dashed one `beside` it; empty for fewer than two points."""
    if len(points) < 2:
        return Markup("")
    both = [*points, *beside]
    low, high = min(value for _, value in both), max(value for _, value in both)
    start, end = min(at for at, _ in both).timestamp(), max(at for at, _ in both).timestamp()
    across = (_WIDTH - 2 * _EDGE) / ((end - start) or 1.0)
    up = (_HEIGHT - 2 * _EDGE) / ((high - low) or 1.0)
    places = [(_EDGE + (at.timestamp() - start) * across, _HEIGHT - _EDGE - (value - low) * up) for at, value in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    other = " ".join(
        f"{_EDGE + (at.timestamp() - start) * across:.1f},{_HEIGHT - _EDGE - (value - low) * up:.1f}"
        for at, value in beside
    )
    area = f"{places[0][0]:.1f},{_HEIGHT} {line} {places[-1][0]:.1f},{_HEIGHT}"
    kind = "up" if points[-1][1] >= points[0][1] else "down"
    text = f"{label} from {points[0][1]:,.2f} to {points[-1][1]:,.2f}, lowest {low:,.2f}, highest {high:,.2f}"
    return Markup(
        '<svg class="curve {}" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" preserveAspectRatio="none">'
        '<polygon class="area" points="{}"/><polyline class="line" points="{}"/>'
        '<polyline class="beside" points="{}"/></svg>'
    ).format(kind, _WIDTH, _HEIGHT, text, area, line, other)


def curves(lines: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> Markup:
    """Several lines over the same steps, each with its name; what has one point is left out."""
    drawn = [(name, points) for name, points in lines if len(points) > 1]
    values = [value for _, points in drawn for _, value in points]
    steps = [step for _, points in drawn for step, _ in points]
    low, high, start = min(values), max(values), min(steps)
    across = (_WIDTH - 2 * _EDGE) / ((max(steps) - start) or 1)
    up = (_HEIGHT - 2 * _EDGE) / ((high - low) or 1.0)
    parts = [
        Markup('<polyline class="line line-{}" points="{}"><title>{}</title></polyline>').format(
            index,
            " ".join(
                f"{_EDGE + (step - start) * across:.1f},{_HEIGHT - _EDGE - (value - low) * up:.1f}"
                for step, value in points
            ),
            name,
        )
        for index, (name, points) in enumerate(drawn)
    ]
    text = f"{len(drawn)} curves from {low:g} to {high:g}"
    return Markup(
        '<svg class="curve" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
    ).format(_WIDTH, _HEIGHT, text, Markup("").join(parts))
