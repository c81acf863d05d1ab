"""A page about one backtest that stands alone: figures, equity and drawdown, returns by month, and the conventions.

What goes here: the page and its picture. What does not: the figures (`backtest.metrics`). The page has no script and
needs nothing from elsewhere; the same result gives the same bytes.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from ibkr_assets.backtest.metrics import CONVENTIONS, Returns, daily_returns, drawdowns
from ibkr_assets.backtest.result import Result

_BACKGROUND, _PANEL, _GRID, _INK, _QUIET = "#14171f", "#1b1f2a", "#2b3140", "#e8eaf0", "#a3abbd"
_GOOD, _BAD, _LINE = "#3ecf8e", "#f26d6d", "#4ea8f5"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Said by the title, or too long to read; `metrics.json` has them.
_IN_TITLE = {"strategy", "params", "source_sha256"}
#: A month that gained or lost this much has the full colour.
_FULL_COLOUR = 0.10
_PERCENT = {
    "total_return", "cagr", "volatility", "max_drawdown", "value_at_risk_95", "positive_days", "hit_rate", "exposure",
}  # fmt: skip
_COUNTS = {"trades", "not_opened"}

_STYLE = f"""
body {{ background: {_BACKGROUND}; color: {_INK}; font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 2rem;
  max-width: 1100px; }}
h1 {{ font-size: 1.6rem; margin: 0; }} h2 {{ font-size: 1.1rem; margin: 2rem 0 .6rem; }}
p, dd {{ color: {_QUIET}; margin: .2rem 0 0; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem; margin: 1.4rem 0; }}
.tile {{ background: {_PANEL}; border-radius: 8px; padding: .7rem .9rem; }}
.tile b {{ display: block; font-size: 1.25rem; font-weight: 600; }} .tile span {{ color: {_QUIET}; font-size: .85rem; }}
img {{ width: 100%; border-radius: 8px; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }}
th, td {{ padding: .35rem .5rem; text-align: right; }} th {{ color: {_QUIET}; font-weight: 500; }}
th:first-child {{ text-align: left; }} dt {{ margin-top: .5rem; }}
"""


def draw_tear_sheet(
    result: Result, metrics: Mapping[str, float | None], *, title: str, about: Mapping[str, Any]
) -> str:
    """The page as HTML. `about` is shown as written: what was run, on what."""
    returns = daily_returns(result)
    picture = base64.b64encode(draw_equity(result)).decode()
    tiles = "".join(
        f'<div class="tile" title="{escape(CONVENTIONS[name])}"><b>{show(name, value)}</b>'
        f"<span>{escape(_words(name))}</span></div>"
        for name, value in metrics.items()
    )
    facts = " · ".join(
        f"{escape(str(key).replace('_', ' '))} {escape(str(value))}"
        for key, value in about.items()
        if value != "" and key not in _IN_TITLE
    )
    conventions = "".join(f"<dt>{escape(_words(n))}</dt><dd>{escape(text)}</dd>" for n, text in CONVENTIONS.items())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1><p>{facts}</p>\n"
        f'<div class="tiles">{tiles}</div>\n'
        f'<img alt="Equity and drawdown by day" src="data:image/png;base64,{picture}">\n'
        f"<h2>Returns by month</h2>{_months(result, returns)}\n"
        f"<h2>How the figures are computed</h2><dl>{conventions}</dl>\n</body></html>\n"
    )


def draw_equity(result: Result) -> bytes:
    """A PNG of equity over drawdown, by day."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter, StrMethodFormatter

    returns = daily_returns(result)
    below = drawdowns(result.starting_cash, returns)
    figure = Figure(figsize=(11, 5.6), dpi=110, facecolor=_BACKGROUND)
    figure.subplots_adjust(left=0.085, right=0.985, top=0.95, bottom=0.08, hspace=0.12)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    upper.plot(returns.days, returns.equity, color=_LINE, linewidth=1.4)
    upper.axhline(result.starting_cash, color=_QUIET, linewidth=0.8, linestyle=":")
    upper.set_ylabel("equity, USD", color=_QUIET)
    upper.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.fill_between(returns.days, below, 0, color=_BAD, alpha=0.55, linewidth=0)
    lower.set_ylabel("drawdown", color=_QUIET)
    lower.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    locator = AutoDateLocator(minticks=4, maxticks=12)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    lower.xaxis.get_offset_text().set_color(_QUIET)
    for panel in (upper, lower):
        panel.set_facecolor(_PANEL)
        panel.grid(color=_GRID, linewidth=0.6)
        panel.tick_params(colors=_QUIET, labelsize=9)
        panel.margins(x=0.01)
        for spine in panel.spines.values():
            spine.set_visible(False)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def show(name: str, value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    if name in _PERCENT:
        return f"{value:.2%}"
    if name in _COUNTS:
        return f"{value:,.0f}"
    return f"{value:,.2f}"


def monthly_returns(result: Result, returns: Returns) -> dict[tuple[int, int], float]:
    """By year and month: equity at its last day over that of the month before, minus one; first over starting cash."""
    months = returns.days.astype("datetime64[M]").astype(np.int64)
    is_last = np.append(months[1:] != months[:-1], [True])
    ends = returns.equity[is_last]
    changes = ends / np.concatenate(([result.starting_cash], ends[:-1])) - 1
    keys = ((1970 + month // 12, month % 12 + 1) for month in months[is_last].tolist())
    return dict(zip(keys, changes.tolist(), strict=True))


def _months(result: Result, returns: Returns) -> str:
    by_month = monthly_returns(result, returns)
    head = "".join(f"<th>{month}</th>" for month in (*_MONTHS, "Year"))
    rows = []
    for year in sorted({year for year, _ in by_month}, reverse=True):
        of_year = [by_month.get((year, month)) for month in range(1, 13)]
        whole = float(np.prod([1 + value for value in of_year if value is not None])) - 1
        rows.append(f"<tr><th>{year}</th>{''.join(_cell(value) for value in (*of_year, whole))}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _cell(value: float | None) -> str:
    if value is None:
        return "<td></td>"
    depth = min(1.0, abs(value) / _FULL_COLOUR) * 0.75
    colour = _GOOD if value >= 0 else _BAD
    return f'<td style="background:{colour}{round(depth * 255):02x}">{value:+.1%}</td>'.replace("-0.0%", "+0.0%")


def _words(name: str) -> str:
    named = {"cagr": "CAGR", "value_at_risk_95": "value at risk, 95 %"}
    return named.get(name, name.title() if name in {"sharpe", "sortino", "calmar"} else name.replace("_", " "))
