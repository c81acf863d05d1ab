"""A picture of a sweep: the ranked figure over one or two parameters.

Where the grid has more parameters, each cell shows the best over the others. What the figures mean is said by
`backtest.metrics`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ibkr_assets.backtest.sweep import Sweep

_BACKGROUND, _PANEL, _GRID, _INK, _QUIET, _LINE = "#14171f", "#1b1f2a", "#2b3140", "#e8eaf0", "#a3abbd", "#4ea8f5"
_MOST_LABELS = 16
#: Up to so many cells, each shows its number.
_MOST_NUMBERS = 150


def draw_heat_map(sweep: Sweep, grid: Mapping[str, Sequence[Any]], *, title: str) -> bytes:
    """A PNG; the best combination is framed. The two parameters with the most values make the axes."""
    from matplotlib.figure import Figure

    names = sorted(sorted(grid, key=lambda name: -len(grid[name]))[:2], key=list(grid).index)
    figure = Figure(figsize=(9.5, 6.4), dpi=110, facecolor=_BACKGROUND)
    figure.subplots_adjust(left=0.1, right=0.94, top=0.86, bottom=0.11)
    panel = figure.subplots()
    panel.set_facecolor(_PANEL)
    figure.text(0.1, 0.945, title, color=_INK, fontsize=13, weight="bold")
    others = [name for name in grid if name not in names]
    best_of = f"; best over {', '.join(others)}" if others else ""
    count = f"{len(sweep.rows)} combinations" + (f", {sweep.refused} refused" if sweep.refused else "")
    figure.text(0.1, 0.9, f"{sweep.ranked_by.replace('_', ' ')} of {count}{best_of}", color=_QUIET, fontsize=10)
    if len(names) == 1:
        _draw_line(panel, sweep, names[0])
    else:
        _draw_cells(figure, panel, sweep, (names[0], names[1]), grid)
    panel.tick_params(colors=_QUIET, labelsize=9, length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _draw_line(panel: Any, sweep: Sweep, name: str) -> None:
    points = sorted(
        ((row.params[name], row.metrics[sweep.ranked_by]) for row in sweep.rows), key=lambda point: point[0]
    )
    panel.plot([str(x) for x, _ in points], [np.nan if y is None else y for _, y in points], color=_LINE, marker="o")
    panel.grid(color=_GRID, linewidth=0.6)
    panel.set_xticks(panel.get_xticks()[:: max(1, len(points) // _MOST_LABELS)])
    panel.set_xlabel(name, color=_QUIET)
    panel.set_ylabel(sweep.ranked_by, color=_QUIET)


def _draw_cells(
    figure: Any, panel: Any, sweep: Sweep, names: tuple[str, str], grid: Mapping[str, Sequence[Any]]
) -> None:
    from matplotlib.patches import Rectangle

    down, across = (list(grid[name]) for name in names)
    cells = np.full((len(down), len(across)), np.nan)
    for row in reversed(sweep.rows):  # so that the best of a cell is written last
        value = row.metrics[sweep.ranked_by]
        if value is not None:
            cells[down.index(row.params[names[0]]), across.index(row.params[names[1]])] = value
    image = panel.imshow(cells, aspect="auto", origin="lower", cmap="viridis", interpolation="nearest")
    for axis, values, set_ticks, set_label in (
        (names[1], across, panel.set_xticks, panel.set_xlabel),
        (names[0], down, panel.set_yticks, panel.set_ylabel),
    ):
        every = max(1, -(-len(values) // _MOST_LABELS))
        set_ticks(range(0, len(values), every), [f"{value:g}" if not isinstance(value, str) else value
                                                 for value in values[::every]])  # fmt: skip
        set_label(axis, color=_QUIET)
    if cells.size <= _MOST_NUMBERS and np.isfinite(cells).any():
        middle = np.nanmean(cells)
        for (y, x), value in np.ndenumerate(cells):
            if np.isfinite(value):
                ink = _INK if value < middle else _BACKGROUND
                panel.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
    best = sweep.rows[0].params
    corner = across.index(best[names[1]]) - 0.5, down.index(best[names[0]]) - 0.5
    panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=_INK, linewidth=2))
    bar = figure.colorbar(image, ax=panel, fraction=0.04, pad=0.02)
    bar.ax.tick_params(colors=_QUIET, labelsize=9, length=0)
    bar.outline.set_visible(False)
