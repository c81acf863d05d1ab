"""Reads daily bars from CSV or Parquet files: one symbol a file, or several with a column `symbol`.

Columns are opened_at (a date, or a moment of the New York day, ISO 8601), open, high, low, close, volume, and
optionally adj_close, out of which splits and dividends are found. Prices are kept to the last digit of the file.
What is refused is refused with file, row, column and value; which days have a session is `tape_files`'s question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import InputError
from ibkr_assets.simulator.bar_columns import PRICES, read_numbers, read_symbols, read_table, read_values
from ibkr_assets.simulator.bars import TapeBar
from ibkr_assets.simulator.hours import NEW_YORK


@dataclass(slots=True)
class DaySeries:
    """One symbol's bars by day, in order; `adjusted` is empty where the source has no adjusted closes."""

    bars: dict[date, TapeBar] = field(default_factory=dict)
    adjusted: list[float] = field(default_factory=list)


def read_days(files: Sequence[Path]) -> dict[str, DaySeries]:
    """Series by symbol. Raises InputError for the first row that cannot be."""
    series: dict[str, DaySeries] = {}
    for path in files:
        _read_file(path, series)
    return {symbol: _in_order(one) for symbol, one in series.items()}


def _read_file(path: Path, series: dict[str, DaySeries]) -> None:
    table = read_table(path)
    values, days = read_values(table, path), _days(table["opened_at"].to_pylist(), path)
    exact = [[Decimal(str(value).strip()) for value in table[name].to_pylist()] for name in PRICES]
    bars = list(map(TapeBar, *exact, values["volume"].astype("int64").tolist()))
    adjusted: list[float] = []
    if "adj_close" in table.column_names:
        adjusted = read_numbers(table, "adj_close", path, is_zero_fine=False).tolist()
    for symbol, chosen in read_symbols(table, path).items():
        one, rows = series.setdefault(symbol, DaySeries()), chosen.tolist()
        known = len(one.bars)
        one.bars |= {days[i]: bars[i] for i in rows}
        if len(one.bars) != known + len(rows):
            _refuse_second(symbol, [days[i] for i in rows], rows, list(one.bars)[:known], path)
        one.adjusted += [adjusted[i] for i in rows] if adjusted else []
        if one.adjusted and len(one.adjusted) != len(one.bars):
            raise InputError(f"{path.name}: only some bars of {symbol} carry adj_close")


def _refuse_second(symbol: str, days: list[date], rows: list[int], known: list[date], path: Path) -> None:
    seen = set(known)
    for day, row in zip(days, rows, strict=True):
        if day in seen:
            raise InputError(
                f"{path.name} row {row + 1}: a second bar of {symbol} for {day}; minute bars go into minutes/"
            )
        seen.add(day)


def _in_order(one: DaySeries) -> DaySeries:
    days = list(one.bars)
    order = sorted(range(len(days)), key=days.__getitem__)
    adjusted = [one.adjusted[i] for i in order] if one.adjusted else []
    return DaySeries(dict(sorted(one.bars.items())), adjusted)


def _days(values: list[Any], path: Path) -> list[date]:
    try:
        return [date.fromisoformat(value) for value in values]
    except (TypeError, ValueError):  # moments, or one that is wrong
        return [_day(value, path, number) for number, value in enumerate(values, start=1)]


def _day(value: Any, path: Path, number: int) -> date:
    try:
        moment = value if isinstance(value, datetime | date) else datetime.fromisoformat(str(value))
    except ValueError:
        raise InputError(f"{path.name} row {number}: opened_at is not ISO 8601: {value}") from None
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None or moment.astimezone(UTC).time() == datetime.min.time():
        return moment.date()
    return moment.astimezone(NEW_YORK).date()
