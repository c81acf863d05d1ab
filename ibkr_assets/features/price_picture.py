"""A small picture of prices for a model that sees: closes against the newest one, without a name and without a date.

What goes here: drawing it. What does not: the chart for people (`features.chart`). The same closes give the same bytes,
because the picture is part of what an answer is found by.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def draw_prices(history: pd.DataFrame) -> bytes:
    """A PNG of the column `close` of one instrument, oldest first, in percent of the newest, with its mean of 20."""
    from matplotlib.figure import Figure

    closes = history["close"].astype("float64")
    percent = (closes / closes.iloc[-1] * 100).to_numpy()
    mean = (closes.rolling(20).mean() / closes.iloc[-1] * 100).to_numpy()
    before = list(range(1 - len(percent), 1))
    figure = Figure(figsize=(4.8, 3.2), dpi=80, facecolor="white")
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.15, top=0.95)
    panel = figure.add_subplot()
    panel.plot(before, percent, color="#1b1f2a", linewidth=1.4, label="close")
    panel.plot(before, mean, color="#c46a00", linewidth=1.2, label="mean of 20")
    panel.set_xlabel("bars before the newest")
    panel.set_ylabel("percent of the newest close")
    panel.legend(loc="best", frameon=False, fontsize=8)
    target = io.BytesIO()
    # The library would write its own version into the file, and bytes would change with it.
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
