"""A picture of prices, averages, bands and signals, one panel an instrument.

Drawn with matplotlib's Figure alone: without pyplot and without its global settings there is no state between two
charts, so threads may draw at the same time, and the same data gives the same bytes. What the numbers mean is
`features.definition`'s work.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import DataError
from ibkr_assets.domain.signal import Direction, Signal

if TYPE_CHECKING:
    import pandas as pd

#: More panels would be too small to read; the rest is named in the title.
MOST_PANELS = 6
FAST, SLOW, UPPER, LOWER = "sma_10", "sma_50", "bb_upper", "bb_lower"

_BACKGROUND, _PANEL, _GRID, _INK, _QUIET = "#14171f", "#1b1f2a", "#2b3140", "#e8eaf0", "#a3abbd"
_CLOSE, _FAST, _SLOW, _BAND = "#e8eaf0", "#4ea8f5", "#f2a541", "#7d8bb0"
_MARKERS = {
    Direction.LONG: ("^", "#3ecf8e", "long"),
    Direction.FLAT: ("o", "#c9ced9", "flat"),
    Direction.SHORT: ("v", "#f26d6d", "short"),
}
_LEGEND = ["close", "SMA 10", "SMA 50", "Bollinger 20, 2σ", *(f"to {word}" for _, _, word in _MARKERS.values())]


def draw_chart(
    bars: pd.DataFrame,
    features: pd.DataFrame,
    signals: Sequence[Signal],
    *,
    sessions: int = 90,
    currency: str = "USD",
    left_out: int = 0,
) -> bytes:
    """A PNG of the last `sessions` bars of each instrument, up to six, by symbol.

    `bars` has BAR_COLUMNS, `features` the features' columns where they are known; both may be empty. A signal is
    marked at the close it was decided on, where its direction differs from the one before it of the same
    strategy. Raises DataError for a missing column.
    """
    from matplotlib.figure import Figure

    _check_columns("bars", bars, ("conid", "symbol", "opened_at", "close"))
    _check_columns("features", features, ("conid", "opened_at"))
    symbols = dict(zip(bars["conid"].tolist(), bars["symbol"].tolist(), strict=True))
    conids = sorted(symbols, key=lambda conid: symbols[conid])
    shown = conids[:MOST_PANELS]
    columns = 1 if len(shown) < 2 else 2
    rows = max(1, math.ceil(len(shown) / columns))
    width, height = (9.0 if columns == 1 else 11.4), 2.9 * rows + 0.9
    figure = Figure(figsize=(width, height), dpi=100, facecolor=_BACKGROUND)
    # Margins in inches, set by hand: a layout engine draws everything twice, and the chart is a run's largest part.
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 0.2 / width, bottom=0.75 / height, top=1 - 0.65 / height,
        wspace=0.17, hspace=0.32,
    )  # fmt: skip
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(max(1, len(shown)))]
    for panel, conid in zip(axes, shown, strict=False):
        own = bars.loc[bars["conid"] == conid].tail(sessions)
        key = ["conid", "opened_at"]
        names = [name for name in (FAST, SLOW, UPPER, LOWER) if name in features.columns]
        frame = own.merge(features[[*key, *names]], on=key, how="left")
        _draw_panel(panel, frame, [s for s in signals if s.conid == conid], currency)
    _draw_frame(figure, axes, bars, left_out + len(conids) - len(shown))
    target = io.BytesIO()
    # The library would write its own version into the file, and bytes would change with it.
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _draw_panel(panel: Any, frame: pd.DataFrame, signals: Sequence[Signal], currency: str) -> None:
    days = frame["opened_at"].dt.tz_convert(None).dt.normalize()
    if {UPPER, LOWER} <= set(frame.columns):
        panel.fill_between(
            days, frame[LOWER], frame[UPPER], color=_BAND, alpha=0.28, linewidth=0, label="Bollinger 20, 2σ"
        )
    for name, color, label in ((SLOW, _SLOW, "SMA 50"), (FAST, _FAST, "SMA 10")):
        if name in frame.columns:
            panel.plot(days, frame[name], color=color, linewidth=1.2, label=label)
    panel.plot(days, frame["close"], color=_CLOSE, linewidth=1.5, label="close")
    closes = dict(zip(days.dt.date, frame["close"], strict=True))
    for direction, (shape, color, label) in _MARKERS.items():
        marked = [s for s in _changes(signals) if s.direction is direction and s.session_date in closes]
        panel.scatter(
            [s.session_date for s in marked], [closes[s.session_date] for s in marked],
            marker=shape, s=64, color=color, edgecolors=_BACKGROUND, linewidths=0.9, zorder=5, label=f"to {label}",
        )  # fmt: skip
    _dress_panel(panel, str(frame["symbol"].iloc[-1]), f"{frame['close'].iloc[-1]:,.2f}", currency)


def _dress_panel(panel: Any, symbol: str, last: str, currency: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panel.yaxis.set_major_locator(MaxNLocator(nbins=6))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    panel.set_facecolor(_PANEL)
    panel.set_ylabel(currency, color=_QUIET, fontsize=9)
    panel.tick_params(colors=_QUIET, labelsize=9)
    panel.xaxis.get_offset_text().set(color=_QUIET, fontsize=9)
    # At a height of their own, titles need not be laid out around all labels first, twice for each panel.
    panel.set_title(symbol, loc="left", y=1.0, fontweight="bold", fontsize=11, color=_INK)
    panel.set_title(f"{last} {currency}", loc="right", y=1.0, color=_QUIET, fontsize=9)
    panel.grid(visible=True, linewidth=0.6, color=_GRID)
    panel.margins(x=0.02)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["bottom", "left"]].set_color(_GRID)


def _draw_frame(figure: Any, axes: Sequence[Any], bars: pd.DataFrame, left_out: int) -> None:
    if bars.empty:
        figure.suptitle("no bars", color=_QUIET)
        return
    last = bars["opened_at"].max().date()
    more = f" ({left_out} more not shown)" if left_out else ""
    figure.suptitle(f"Daily bars to {last}{more}", x=0.01, y=0.995, ha="left", va="top", color=_QUIET, fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: _LEGEND.index(labels[i]))
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order],
        loc="lower center", ncols=len(labels), frameon=False, fontsize=9, labelcolor=_INK,
    )  # fmt: skip


def _changes(signals: Sequence[Signal]) -> list[Signal]:
    """Signals whose direction differs from the one before it of the same strategy, in order of time."""
    last: dict[str, Direction] = {}
    changed = []
    for signal in sorted(signals, key=lambda s: (s.session_date, s.strategy_id)):
        if last.get(signal.strategy_id) is not signal.direction:
            changed.append(signal)
        last[signal.strategy_id] = signal.direction
    return changed


def _check_columns(what: str, frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what}: columns {missing} are missing; the frame has {list(frame.columns)}")
