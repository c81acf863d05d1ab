"""Runs over the past as pages show them, from the files that a run left: pictures, months, trades, a grid of sets.

What goes here: from bytes to what a template draws. What does not: the files themselves (`backtest.files`), the figures
(`backtest.metrics`), and where runs are kept (`adapters.postgres.past_runs`).
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from markupsafe import Markup

from ibkr_assets.backtest.drawing import draw_line
from ibkr_assets.backtest.metrics import CONVENTIONS, Returns, drawdowns, last_of_days
from ibkr_assets.backtest.tear_sheet import WINDOW, monthly_returns, rolling_sharpe, show
from ibkr_assets.domain.errors import DataError

if TYPE_CHECKING:
    from ibkr_assets.dashboard.strategy_draft import Draft

#: A month that gained or lost this much, as a fraction, has the full colour; colours have so many depths.
_FULL, _DEPTHS = 0.10, 7
#: Fewer points of a ratio over a window are no picture: a month of days.
_LEAST_DRAWN = 21
SUMMARY = ("total_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown", "hit_rate",
           "profit_factor", "exposure", "turnover")  # fmt: skip
#: Of these a smaller value is the better one.
LOWER_IS_BETTER = {"volatility", "turnover", "commission", "not_opened"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One backtest's pictures, and its months by year, newest first: (year, twelve cells and the year's), each a depth
    class and a text, or None.
    """

    equity: Markup
    drawdown: Markup
    rolling: Markup
    months: list[tuple[int, list[tuple[str, str] | None]]]
    first_day: str
    last_day: str


def read_equity(content: bytes) -> Returns:
    """`equity.csv` as equity at the end of each day. Raises DataError for a file of another form."""
    rows = read_table(content)
    try:
        times = np.array([row["time"].removesuffix("Z") for row in rows], dtype="datetime64[s]")
        equity = np.array([float(row["equity"]) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"equity.csv: cannot be read: {error}") from None
    if not rows:
        raise DataError("equity.csv: it has no rows")
    days = times.astype("datetime64[D]")
    is_last = last_of_days(days)
    ends = equity[is_last]
    return Returns(days[is_last], ends, ends[1:] / ends[:-1] - 1 if (ends > 0).all() else np.empty(0))


def draw_sheet(returns: Returns, starting_cash: float, sharpe: float | None) -> Sheet:
    """The pictures and months of a backtest."""
    days, below = returns.days, drawdowns(starting_cash, returns)
    is_deep = below.min() < -0.05
    equity = draw_line(
        days, returns.equity, label="Equity by day", show=_money, height=280, level=starting_cash,
    )  # fmt: skip
    drawdown = draw_line(
        days, below, label="Drawdown by day", height=150, kind="under", is_filled=True,
        show=lambda value: f"{value:.0%}" if is_deep else f"{value:.1%}",
    )  # fmt: skip
    rolling = ""
    if returns.values.size >= WINDOW + _LEAST_DRAWN:
        rolling = draw_line(
            days[1:], rolling_sharpe(returns.values), height=170, level=sharpe,
            label=f"Sharpe ratio of the last {WINDOW} days", show=lambda value: f"{value:.1f}",
        )  # fmt: skip
    return Sheet(
        # Shapes and numbers of ours, with no word of anybody else's in them.
        equity=Markup(equity),  # noqa: S704
        drawdown=Markup(drawdown),  # noqa: S704
        rolling=Markup(rolling),  # noqa: S704
        months=_months(starting_cash, returns),
        first_day=str(days[0]),
        last_day=str(days[-1]),
    )


def draw_equities(lines: Sequence[tuple[str, Returns, float]]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Each equity as a multiple of its starting cash by day number, for curves over each other."""
    return [
        (name, list(zip(returns.days.astype(np.int64).tolist(), (returns.equity / cash).tolist(), strict=True)))
        for name, returns, cash in lines
    ]


def read_table(content: bytes) -> list[dict[str, str]]:
    """A CSV with a head, row by row as text."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace"))))


def grid_names(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The parameters of a sweep that took more than one value, the one with the most values last."""
    names = [name for name in (rows[0] if rows else {}) if name != "rank" and name not in CONVENTIONS]
    counts = {name: len({row[name] for row in rows}) for name in names}
    return sorted((name for name in names if counts[name] > 1), key=lambda name: counts[name])


def heat_map(rows: Sequence[Mapping[str, str]], figure: str) -> dict[str, Any] | None:
    """A figure over the two widest parameters of a sweep, the best of a cell; None for fewer than two parameters.

    `rows` are best first. Each cell has a depth from 0 (lowest) to 9 (highest) and its text, or is None.
    """
    names = grid_names(rows)
    if len(names) < 2:
        return None
    down, across = names[-2:]
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.get(figure):
            found.setdefault((row[down], row[across]), float(row[figure]))
    if not found:
        return None
    low, high = min(found.values()), max(found.values())
    columns, lines = (sorted({row[name] for row in rows}, key=_by_number) for name in (across, down))
    best = max(found, key=lambda place: found[place])

    def cell(place: tuple[str, str]) -> dict[str, Any] | None:
        if place not in found:
            return None
        depth = round((found[place] - low) / ((high - low) or 1.0) * 9)
        return {"depth": depth, "text": show(figure, found[place]), "is_best": place == best}

    return {
        "down": down, "across": across, "columns": columns,
        "lines": [(name, [cell((name, column)) for column in columns]) for name in lines],
    }  # fmt: skip


def starting_cash(about: Mapping[str, Any]) -> float:
    """What a run began with. Raises DataError where it does not say."""
    try:
        return float(str(about["cash"]).replace(",", ""))
    except (KeyError, ValueError):
        raise DataError(f"cash: a run says with what it began, got {about.get('cash')!r}") from None


def costs_fraction(metrics: Mapping[str, float | None], about: Mapping[str, Any]) -> float | None:
    """Commissions over what a run began with."""
    paid = metrics.get("commission")
    return None if paid is None else paid / starting_cash(about)


def parameters_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a run names, from its own words: `fast=10, slow=30`, or of a sweep the best set.

    Raises DataError for words of another form.
    """
    best = str(about.get("best", "")).strip()
    if best:
        try:
            found = ast.literal_eval(best)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise DataError(f"best: expected the parameters of a set, got {best[:100]!r}")
        return found
    pairs = [part.partition("=") for part in str(about.get("params", "")).split(", ") if part]
    try:
        return {name.strip(): yaml.safe_load(value) for name, _, value in pairs}
    except yaml.YAMLError:
        raise DataError(f"params: expected name=value, got {str(about.get('params'))[:100]!r}") from None


def promoted(draft: Draft, about: Mapping[str, Any]) -> Draft:
    """A strategy's form with the kind, parameters, and where it is a new one the symbols of a run.

    Raises DataError for a run that names no kind.
    """
    from dataclasses import replace

    kind = str(about.get("strategy", "")).strip()
    if not kind:
        raise DataError("strategy: this run names no kind of strategy, so there is nothing to promote")
    params = parameters_of(about)
    if draft.kind == kind:  # what the run does not name stays as it is
        before = yaml.safe_load(draft.params) or {}
        params = {**before, **params}
    text = yaml.safe_dump(params, sort_keys=False).strip() if params else ""
    symbols = draft.symbols or str(about.get("symbols", "")).partition(" and ")[0]
    return replace(draft, kind=kind, params=text, symbols=symbols)


def _months(cash: float, returns: Returns) -> list[tuple[int, list[tuple[str, str] | None]]]:
    by_month = monthly_returns(cash, returns)
    rows = []
    for year in sorted({year for year, _ in by_month}, reverse=True):
        of_year = [by_month.get((year, month)) for month in range(1, 13)]
        whole = float(np.prod([1 + value for value in of_year if value is not None])) - 1
        rows.append((year, [_month(value) for value in (*of_year, whole)]))
    return rows


def _month(value: float | None) -> tuple[str, str] | None:
    if value is None:
        return None
    text = f"{value * 100:+.1f}".replace("-", "−")
    depth = round(min(1.0, abs(value) / _FULL) * _DEPTHS)
    return f"{'gain' if value >= 0 else 'loss'}-{depth}", "0.0" if text[1:] == "0.0" else text


def _by_number(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def _money(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):,.4g}{letter}"
    return f"{value:,.4g}"
