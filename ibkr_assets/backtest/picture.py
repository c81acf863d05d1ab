"""The tear sheet as one picture, for pages that cannot show a page: figures, equity, drawdown and the months.

What goes here: the drawing. What does not: the page (`backtest.tear_sheet`) and the figures (`backtest.metrics`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from ibkr_assets.backtest.metrics import daily_returns, drawdowns
from ibkr_assets.backtest.result import Result
from ibkr_assets.backtest.tear_sheet import monthly_returns, show

_BACKGROUND, _PANEL, _GRID, _INK, _QUIET, _LINE = "#14171f", "#1b1f2a", "#2b3140", "#e8eaf0", "#a3abbd", "#4ea8f5"
_GAIN, _LOSS = "#3fb68b", "#e5647a"
_FIGURES = ("total_return", "cagr", "sharpe", "sortino", "max_drawdown", "hit_rate", "profit_factor", "trades")


def draw_picture(result: Result, metrics: Mapping[str, float | None], *, title: str) -> bytes:
    """A PNG; the same result gives the same bytes."""
    from matplotlib.figure import Figure

    returns = daily_returns(result)
    figure = Figure(figsize=(9.5, 7.2), dpi=100, facecolor=_BACKGROUND)
    rows = figure.add_gridspec(
        3, 1, height_ratios=(3, 1.2, 1.4), left=0.1, right=0.97, top=0.82, bottom=0.06, hspace=0.3
    )
    equity, below, months = (figure.add_subplot(rows[place]) for place in range(3))
    figure.text(0.1, 0.955, title, color=_INK, fontsize=13, weight="bold")
    for place, name in enumerate(_FIGURES):
        across = 0.1 + place * 0.11
        figure.text(across, 0.905, name.replace("_", " "), color=_QUIET, fontsize=8)
        figure.text(across, 0.87, show(name, metrics[name]), color=_INK, fontsize=12)
    for panel in (equity, below, months):
        panel.set_facecolor(_PANEL)
        panel.grid(color=_GRID, linewidth=0.6)
        panel.tick_params(colors=_QUIET, labelsize=8)
        for edge in panel.spines.values():
            edge.set_visible(False)
    days = returns.days.astype("datetime64[s]")
    equity.plot(days, returns.equity, color=_LINE, linewidth=1.2)
    equity.axhline(result.starting_cash, color=_QUIET, linewidth=0.8, linestyle=":")
    equity.set_title("equity by day, USD", color=_QUIET, fontsize=8, loc="left")
    below.fill_between(days, drawdowns(result.starting_cash, returns) * 100, 0, color=_LOSS, alpha=0.5, linewidth=0)
    below.set_title("below the highest so far, percent", color=_QUIET, fontsize=8, loc="left")
    _draw_months(months, result, returns)
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=_BACKGROUND, metadata={"Software": None})
    return file.getvalue()


def _draw_months(panel: Any, result: Result, returns: Any) -> None:
    by_month = monthly_returns(result.starting_cash, returns)
    values = np.array(list(by_month.values())) * 100
    starts = np.array([np.datetime64(f"{year:04d}-{month:02d}-01", "s") for year, month in by_month])
    colours = [_GAIN if value >= 0 else _LOSS for value in values.tolist()]
    panel.bar(starts, values, width=np.timedelta64(24, "D").astype("timedelta64[s]"), color=colours)
    panel.set_title("by month, percent", color=_QUIET, fontsize=8, loc="left")
