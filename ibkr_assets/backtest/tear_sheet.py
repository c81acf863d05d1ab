"""A page about one backtest that stands alone: figures, equity, drawdown, months, rolling Sharpe ratio, trades, rules.

What goes here: what the page says. What does not: its form (`templates/tear_sheet.html`), the drawings
(`backtest.drawing`) and the figures (`backtest.metrics`). The page has no script, needs nothing from elsewhere and is
light or dark as its reader's system is; the same result gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from ibkr_assets.backtest.drawing import draw_histogram, draw_line
from ibkr_assets.backtest.figures import PERIODS_A_YEAR
from ibkr_assets.backtest.metrics import CONVENTIONS, COUNTS, Returns, daily_returns, drawdowns
from ibkr_assets.backtest.result import Result, Trade
from ibkr_assets.features.frame import Floats

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Said by the title, or too long to read; `metrics.json` has them.
_IN_TITLE = {"strategy", "params", "source_sha256"}
_TILES = ("total_return", "cagr", "sharpe", "max_drawdown", "volatility", "sortino", "hit_rate", "profit_factor")
_SIGNED = {"total_return", "cagr", "sharpe", "sortino", "max_drawdown"}
_PERCENT = {
    "total_return", "cagr", "volatility", "max_drawdown", "value_at_risk_95", "positive_days", "hit_rate", "exposure",
}  # fmt: skip
#: A month that gained or lost this much has the full colour.
_FULL_COLOUR = 0.10
#: Half a year of days.
WINDOW = 126
#: So many of the largest gains and as many of the largest losses are listed.
_LISTED = 6
RULES = (
    ("decision", "after the close of a bar, from this bar and those before it"),
    ("fill", "at the open of the next bar; a decision on the last bar never fills"),
    ("reversal", "closes, then opens, as two orders at the same open"),
    ("stop and target", "the stop first where one bar touches both; at the open where a gap has passed them"),
    ("equity", "cash + position x close after the fills of the bar; what is open at the end stays open"),
)


def draw_tear_sheet(
    result: Result, metrics: Mapping[str, float | None], *, title: str, about: Mapping[str, Any], doubt: str = ""
) -> str:
    """The page as HTML. `about` is shown as written: what was run, on what; `doubt` stands out at the top."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    returns = daily_returns(result)
    template = files("ibkr_assets.backtest").joinpath("templates", "tear_sheet.html").read_text(encoding="utf-8")
    drawings = {name: Markup(text) for name, text in _drawings(result, returns, metrics["sharpe"]).items()}  # noqa: S704 our own
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    return page.render(
        title=title,
        doubt=doubt,
        facts=[
            (key.replace("_", " "), f"{value:,.15g}" if isinstance(value, int | float) else value)
            for key, value in about.items()
            if value != "" and key not in _IN_TITLE
        ],
        tiles=[_figure(name, metrics[name]) for name in _TILES],
        figures=[_figure(name, metrics[name]) for name in CONVENTIONS],
        month_names=_MONTHS,
        months=_months(result, returns),
        window=WINDOW,
        trade_words=_trade_words(result),
        best=[_trade(trade) for trade in _listed(result.trades)],
        rules=RULES,
        **drawings,
    )


def show(name: str, value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    if name in _PERCENT:
        return f"{value:,.2%}"
    return f"{value:,.0f}" if name in COUNTS else f"{value:,.2f}"


def monthly_returns(starting_cash: float, returns: Returns) -> dict[tuple[int, int], float]:
    """By year and month: equity at its last day over that of the month before, minus one; first over starting cash."""
    months = returns.days.astype("datetime64[M]").astype(np.int64)
    is_last = np.append(months[1:] != months[:-1], [True])
    ends = returns.equity[is_last]
    changes = ends / np.concatenate(([starting_cash], ends[:-1])) - 1
    keys = ((1970 + month // 12, month % 12 + 1) for month in months[is_last].tolist())
    return dict(zip(keys, changes.tolist(), strict=True))


def rolling_sharpe(values: Floats, window: int = WINDOW) -> Floats:
    """Mean over sample deviation of the last `window` returns, annualised; NaN before there are so many."""
    found = np.full(values.size, np.nan)
    if values.size >= window:
        windows = np.lib.stride_tricks.sliding_window_view(values, window)
        with np.errstate(all="ignore"):
            found[window - 1 :] = windows.mean(axis=1) / windows.std(axis=1, ddof=1) * math.sqrt(PERIODS_A_YEAR)
    found[~np.isfinite(found)] = np.nan
    return found


def _drawings(result: Result, returns: Returns, sharpe: float | None) -> dict[str, str]:
    days, below = returns.days, drawdowns(result.starting_cash, returns)
    rolling, changes = rolling_sharpe(returns.values), returns.values[returns.values != 0]
    return {
        "equity": draw_line(
            days, returns.equity, label="Equity by day", show=_money, height=300, level=result.starting_cash,
        ),
        "drawdown": draw_line(
            days, below, label="Drawdown by day", show=lambda v: f"{v:.0%}" if below.min() < -0.05 else f"{v:.1%}",
            height=150, kind="under", is_filled=True,
        ),
        "rolling": draw_line(
            days[1:], rolling, label=f"Sharpe ratio of the last {WINDOW} days", show=lambda v: f"{v:.1f}", height=170,
            level=sharpe,
        ),
        "returns": draw_histogram(changes, label="Daily returns", show=lambda v: f"{v:.1%}"),
        "trades": draw_histogram([t.pnl_net for t in result.trades], label="Results of trades", show=_money),
    }  # fmt: skip


def _money(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):,.4g}{letter}"
    return f"{value:,.4g}"


def _figure(name: str, value: float | None) -> dict[str, str]:
    side = "" if value is None or name not in _SIGNED or not value else "up" if value > 0 else "down"
    words = {"cagr": "CAGR", "value_at_risk_95": "value at risk, 95 %"}
    said = words.get(name, name.title() if name in {"sharpe", "sortino", "calmar"} else name.replace("_", " "))
    return {"name": said, "value": show(name, value), "convention": CONVENTIONS[name], "side": side}


def _months(result: Result, returns: Returns) -> list[tuple[int, list[dict[str, str] | None]]]:
    by_month = monthly_returns(result.starting_cash, returns)
    rows = []
    for year in sorted({year for year, _ in by_month}, reverse=True):
        of_year = [by_month.get((year, month)) for month in range(1, 13)]
        whole = float(np.prod([1 + value for value in of_year if value is not None])) - 1
        rows.append((year, [_cell(value) for value in (*of_year, whole)]))
    return rows


def _cell(value: float | None) -> dict[str, str] | None:
    if value is None:
        return None
    depth = round(min(1.0, abs(value) / _FULL_COLOUR) * 70)
    text = f"{value * 100:+.1f}"
    return {
        "side": "g" if value >= 0 else "l",
        "depth": str(depth),
        "text": "0.0" if text in ("+0.0", "-0.0") else text,
    }


def _listed(trades: Sequence[Trade]) -> list[Trade]:
    """The largest gains, then the largest losses; all where there are few."""
    ordered = sorted(trades, key=lambda trade: (-trade.pnl_net, trade.entry_bar))
    return ordered if len(ordered) <= 2 * _LISTED else [*ordered[:_LISTED], *ordered[-_LISTED:]]


def _trade(trade: Trade) -> dict[str, str]:
    return {
        "symbol": trade.symbol,
        "side": "long" if trade.direction > 0 else "short",
        "size": f"{trade.size:,.0f}",
        "opened": _moment(trade.entry_time),
        "closed": _moment(trade.exit_time),
        "bars": f"{trade.exit_bar - trade.entry_bar:,}",
        "entry": f"{trade.entry_price:,.6g}",
        "exit": f"{trade.exit_price:,.6g}",
        "commission": f"{trade.commission:,.2f}",
        "pnl": f"{trade.pnl_net:+,.2f}",
        "direction": "up" if trade.pnl_net > 0 else "down",
    }


def _trade_words(result: Result) -> str:
    count = len(result.trades)
    if not count:
        return "none was closed"
    gains = [trade.pnl_net for trade in result.trades if trade.pnl_net > 0]
    losses = [trade.pnl_net for trade in result.trades if trade.pnl_net <= 0]
    bars = sum(trade.exit_bar - trade.entry_bar for trade in result.trades) / count
    words = [f"{count:,} closed" + (f", {len(result.open_positions)} still open" if result.open_positions else "")]
    words += [f"average gain {sum(gains) / len(gains):,.2f}"] if gains else []
    words += [f"average loss {sum(losses) / len(losses):,.2f}"] if losses else []
    words.append(f"held {bars:,.1f} bars on average")
    if count > 2 * _LISTED:
        words.append(f"listed: the {_LISTED} largest gains and losses")
    return " · ".join(words)


def _moment(time: np.datetime64) -> str:
    text = str(np.datetime_as_string(time, unit="m")).replace("T", " ")
    return text.removesuffix(" 00:00")
